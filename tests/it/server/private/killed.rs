//! A server that is killed while it publishes: a version is published whole or not at all.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Registry, Version, entry, get};

const CORE: Version<'static> = Version {
    name: "acme-core",
    version: "1.0.0",
    content: "",
};

/// Installs a hook that says that it runs, and then waits for the end of the world.
fn hook(registry: &Registry, name: &str) -> std::path::PathBuf {
    let reached = registry.site.folder.path().join(name);
    let script = registry.repository.join("hooks").join(name);
    let place = reached.display();
    // It ends with the pipe from the server.
    let text = format!("#!/bin/sh\ntouch '{place}'\ncat >/dev/null\nexec sleep 60\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    reached
}

fn remove_hooks(registry: &Registry) {
    for name in ["pre-receive", "post-receive"] {
        let _ = std::fs::remove_file(registry.repository.join("hooks").join(name));
    }
}

/// Publishes to a server that is killed when this file is there.
fn publish_and_kill(registry: &Registry, token: &str, reached: &Path) {
    let server = registry.serve(&[]);
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            server.ask(
                "PUT",
                "/private/api/v1/crates/new",
                &[("authorization", token)],
                &CORE.body(),
            )
        });
        server.wait_for("reached", || reached.exists());
        server.signal("KILL");
        assert!(publishing.join().unwrap().is_err());
    });
}

#[test]
fn killed_before_the_branch_moves_nothing_is_published() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let reached = hook(&registry, "pre-receive");
    publish_and_kill(&registry, &token, &reached);
    remove_hooks(&registry);
    let server = registry.serve(&[]);
    assert_eq!(entry(&server, &token, "acme-core").status, 404);
    // Its file was stored before, and is taken by the next one.
    assert_eq!(registry.files().len(), 1);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    assert_eq!(registry.files().len(), 1);
    assert_eq!(registry.lines("acme-core").len(), 1);
    registry.fsck();
}

#[test]
fn killed_after_the_branch_moved_all_is_published() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let reached = hook(&registry, "post-receive");
    publish_and_kill(&registry, &token, &reached);
    remove_hooks(&registry);
    let server = registry.serve(&[]);
    server.wait_for("shown", || {
        entry(&server, &token, "acme-core").status == 200
    });
    let got = get(
        &server,
        &token,
        "/private/api/v1/crates/acme-core/1.0.0/download",
    );
    assert_eq!(got.body, CORE.file());
    let again = CORE.publish(&server, &token);
    assert!(
        again
            .detail()
            .contains("crate version `1.0.0` is already uploaded"),
        "{}",
        again.text()
    );
    registry.fsck();
}

#[test]
fn a_file_that_no_line_names_is_swept_after_a_day_and_no_other() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let server = registry.serve(&[]);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    let listed = registry.files().remove(0);
    drop(server);
    let folder = listed.parent().unwrap().parent().unwrap();
    let place = |version: &str, byte: &str| {
        folder.join(format!("acme-core-{version}/{}.crate", byte.repeat(32)))
    };
    let (old, young, foreign) = (
        place("1.0.0", "ab"),
        place("1.1.0", "cd"),
        folder.join("note.txt"),
    );
    for path in [&old, &young, &foreign] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "bytes").unwrap();
    }
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    for path in [&old, &foreign, &listed] {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(yesterday).unwrap();
    }
    let server = registry.serve(&[]);
    server.wait_for("swept", || !old.exists());
    assert!(young.exists() && foreign.exists() && listed.exists());
    drop(server);
    // Not while the index cannot be read.
    std::fs::create_dir_all(old.parent().unwrap()).unwrap();
    std::fs::write(&old, "bytes").unwrap();
    std::fs::File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(yesterday)
        .unwrap();
    std::fs::rename(
        &registry.repository,
        registry.site.folder.path().join("away.git"),
    )
    .unwrap();
    let server = registry.serve(&[]);
    server.wait_for("told", || server.log().contains("were not swept"));
    assert!(old.exists() && listed.exists());
}
