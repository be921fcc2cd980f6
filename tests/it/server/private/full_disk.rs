//! Disks that are full while a version is published: the store's, the server's own, and the host's.

use std::path::{Path, PathBuf};

use super::{Registry, Version, entry};
use crate::support::mount::Tmpfs;
use crate::support::server::{Got, Server, noise};
use crate::support::skip::skip;

/// A crate file that does not compress.
fn version(version: &str) -> Version<'_> {
    Version {
        name: "acme-core",
        version,
        content: "",
    }
}

/// Fills a disk to its last byte; dropping it makes room.
struct Filled(Vec<PathBuf>);

impl Filled {
    fn fill(folder: &Path) -> Self {
        let mut files = Vec::new();
        for size in [1 << 20, 1 << 16, 1 << 12, 1] {
            let bytes = noise(size, 1);
            loop {
                let path = folder.join(format!("filler-{}", files.len()));
                let written = std::fs::write(&path, &bytes);
                files.push(path);
                if written.is_err() {
                    break;
                }
            }
        }
        Self(files)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Mounts a small disk; `None` where this user may not.
fn mount(at: &Path) -> Option<Tmpfs> {
    let mounted = Tmpfs::mount(at, "4m");
    if mounted.is_none() {
        skip("no tmpfs can be mounted by this user");
    }
    mounted
}

fn lives(registry: &Registry, server: &Server, token: &str) {
    let got = version("9.0.0").publish(server, token);
    assert_eq!(got.status, 200, "{}", got.text());
    server.wait_for("shown", || {
        entry(server, token, "acme-core").text().contains("9.0.0")
    });
    registry.fsck();
}

fn check_told(got: &Got, what: &str) {
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.detail().contains(what), "{}", got.text());
}

#[test]
fn a_full_store_publishes_nothing() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let store = registry.site.folder.path().join("store");
    let Some(_disk) = mount(&store) else {
        return;
    };
    let server = registry.serve(&[("FERRY_SERVE_STORE", &store.display().to_string())]);
    let filled = Filled::fill(&store);
    let got = version("1.0.0").publish(&server, &token);
    check_told(&got, "No space left");
    assert_eq!(entry(&server, &token, "acme-core").status, 404);
    assert!(
        !store
            .join("private/ac/me/acme-core/acme-core-1.0.0")
            .join(format!("{}.crate", version("1.0.0").checksum()))
            .exists()
    );
    drop(filled);
    lives(&registry, &server, &token);
    assert_eq!(version("1.0.0").publish(&server, &token).status, 200);
}

#[test]
fn a_full_disk_of_the_host_publishes_nothing() {
    let mut registry = Registry::new();
    let folder = registry.site.folder.path().join("host");
    let Some(_disk) = mount(&folder) else {
        return;
    };
    registry.repository = crate::support::upstream::bare(&folder, "private.git");
    let token = registry.publisher("alice");
    let server = registry.serve(&[]);
    assert_eq!(version("0.1.0").publish(&server, &token).status, 200);
    let filled = Filled::fill(&folder);
    let got = version("1.0.0").publish(&server, &token);
    check_told(&got, "the private index was not changed");
    assert!(got.detail().contains("No space left"), "{}", got.text());
    assert_eq!(
        entry(&server, &token, "acme-core").text().lines().count(),
        1
    );
    drop(filled);
    lives(&registry, &server, &token);
    assert_eq!(version("1.0.0").publish(&server, &token).status, 200);
}

#[test]
fn what_a_server_without_room_has_published_is_published() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let data = registry.site.folder.path().join("small");
    let Some(_disk) = mount(&data) else {
        return;
    };
    let store = registry
        .site
        .folder
        .path()
        .join("store")
        .display()
        .to_string();
    let tokens = registry.site.data().join("tokens").display().to_string();
    let server = registry.serve(&[
        ("FERRY_SERVE_DATA_DIR", &data.display().to_string()),
        ("FERRY_SERVE_STORE", &store),
        ("FERRY_SERVE_AUTH", &tokens),
    ]);
    assert_eq!(version("0.1.0").publish(&server, &token).status, 200);
    let filled = Filled::fill(&data);
    // The host has it, whatever becomes of the copy.
    let got = version("1.0.0").publish(&server, &token);
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(registry.lines("acme-core").len(), 2);
    assert!(server.log().contains("No space left"), "{}", server.log());
    assert_eq!(entry(&server, &token, "acme-core").status, 200);
    drop(filled);
    server.wait_for("shown", || {
        entry(&server, &token, "acme-core").text().contains("1.0.0")
    });
    lives(&registry, &server, &token);
    assert!(!server.log().contains("damaged"), "{}", server.log());
}
