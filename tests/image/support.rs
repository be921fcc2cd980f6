//! What this program takes of the servers of `tests/it`.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "tests/it uses every part of these files, and is where an unused one is found"
)]

#[path = "../it/support/certificate.rs"]
pub mod certificate;
#[path = "../it/support/daemon.rs"]
pub mod daemon;
#[path = "../it/support/ferry.rs"]
pub mod ferry;
#[path = "../it/support/frames.rs"]
pub mod frames;
#[path = "../it/support/gitlab/mod.rs"]
pub mod gitlab;
#[path = "../it/support/lighttpd.rs"]
pub mod lighttpd;
#[path = "../it/support/mirror.rs"]
pub mod mirror;
#[path = "../it/support/proxy.rs"]
pub mod proxy;
#[path = "../it/support/repo.rs"]
pub mod repo;
#[path = "../it/support/scene.rs"]
pub mod scene;
#[path = "../it/support/sshd.rs"]
pub mod sshd;
#[path = "../it/support/trigger.rs"]
pub mod trigger;
#[path = "../it/support/upstream/mod.rs"]
pub mod upstream;
#[path = "../it/support/world.rs"]
pub mod world;
