//! What other users of the machine may read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Registry, Version};
use crate::support::server::Server;

#[test]
fn nobody_else_reads_private_crates_their_index_or_who_fetched_what() {
    let registry = Registry::new();
    let announced = registry.site.folder.path().join("announced");
    // With a repository of its own, which `up` makes.
    let server = Server::up(&registry.site.variables(), &[], &announced);
    server.wait_until_ready();
    let version = Version {
        name: "acme-core",
        version: "1.0.0",
        content: "",
    };
    let alice = registry.publisher("alice");
    assert_eq!(version.publish(&server, &alice).status, 200);
    let mode = |path: &str| {
        let about = fs::metadata(registry.site.data().join(path)).unwrap();
        about.permissions().mode() & 0o777
    };
    for folder in ["private", "private-index.git", "crates/private"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    for file in ["audit.sqlite", "audit.sqlite-wal", "tokens"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}
