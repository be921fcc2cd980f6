//! What this program takes of the servers of `tests/it`: nothing that uses the library, so that there is little to link.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "tests/it uses every part of these files, and is where an unused one is found"
)]

#[path = "../it/support/daemon.rs"]
pub mod daemon;
#[path = "../it/support/data.rs"]
pub mod data;
#[path = "../it/support/ferry.rs"]
pub mod ferry;
#[path = "../it/support/repo.rs"]
pub mod repo;
#[path = "../it/support/skip.rs"]
pub mod skip;
#[path = "../it/support/upstream/mod.rs"]
pub mod upstream;
