//! All tests from outside the library, in one program; the rooms are those of `src/`, and each folder's name says what is tried.
//!
//! They run as threads of one process (`cargo test`) or each in a process of its own (`cargo nextest run`), so no test changes
//! what a process has once: its environment, its current folder, its limits, its signals. What needs them changed is done
//! in a child process.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod advice;
mod cli;
mod git;
mod http;
mod mirror;
mod notify;
mod server;
mod support;
mod trigger;
mod up;
