//! The shapes that an upstream and a mirror may take, each in a small pair of repositories behind a git daemon.

mod adopting;
mod initialising;
mod lagging;
mod losses;
mod misleading;
mod modes;
mod moving;
mod people;
mod remaking;
mod reserving;
mod rewriting;
mod squashes;
