//! A program of its own, so that `ci/check-image` builds no other tests than these.
//!
//! The programs as they are deployed: in the container image, and in the pipelines of a GitLab project.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod image;
mod pipeline;
mod support;
