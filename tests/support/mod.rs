//! Real servers for tests: on loopback ports, in temporary folders, ended by process id.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr
)]

pub mod daemon;
pub mod repo;
pub mod sshd;
