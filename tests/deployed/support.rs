//! What this program takes of the servers of `tests/it`: nothing that uses the library, so that there is little to link.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "tests/it uses every part of these files, and is where an unused one is found"
)]

#[path = "../it/support/certificate.rs"]
pub mod certificate;
#[path = "../it/support/crate_archive.rs"]
pub mod crate_archive;
#[path = "../it/support/crate_host.rs"]
pub mod crate_host;
#[path = "../it/support/daemon.rs"]
pub mod daemon;
#[path = "../it/support/exim.rs"]
pub mod exim;
#[path = "../it/support/ferry.rs"]
pub mod ferry;
#[path = "../it/support/gitlab/mod.rs"]
pub mod gitlab;
#[path = "../footprint/incompressible.rs"]
pub mod incompressible;
#[path = "../it/support/issuer.rs"]
pub mod issuer;
#[path = "../it/support/lighttpd.rs"]
pub mod lighttpd;
#[path = "../it/support/mirror.rs"]
pub mod mirror;
#[path = "../it/support/repo.rs"]
pub mod repo;
#[path = "../it/support/server.rs"]
pub mod server;
#[path = "../it/support/sides.rs"]
pub mod sides;
#[path = "../it/support/skip.rs"]
pub mod skip;
#[path = "../it/support/sshd.rs"]
pub mod sshd;
#[path = "../it/support/trigger.rs"]
pub mod trigger;
#[path = "../it/support/upstream/mod.rs"]
pub mod upstream;
