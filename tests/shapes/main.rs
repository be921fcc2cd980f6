//! The shapes that an upstream and a mirror may take, each in a small pair of repositories behind a git daemon.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod initialising;
mod lagging;
mod losses;
mod misleading;
mod modes;
mod moving;
mod people;
mod rewriting;
mod squashes;

#[path = "../support/mod.rs"]
mod support;
