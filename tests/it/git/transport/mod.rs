//! The ways to a repository: smart HTTP, ssh, `git://` and a folder.

mod git_and_local;
pub mod http;
mod local;
mod ssh;
mod ssh_trust;
