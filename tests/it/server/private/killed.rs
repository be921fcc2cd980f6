//! A server that is killed while it publishes: a version is published whole or not at all.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::{Registry, Version, entry, get};
use crate::support::daemon::GitDaemon;
use crate::support::proxy::{Action, Proxy};
use crate::support::repo::git;
use crate::support::s3::S3;
use crate::support::server::{Server, files_in};

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
    publish_to_and_kill(registry.serve(&[]), token, || reached.exists());
}

/// Publishes to a server that is killed when this is so.
fn publish_to_and_kill(server: Server, token: &str, is_reached: impl Fn() -> bool) {
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            server.ask(
                "PUT",
                "/private/api/v1/crates/new",
                &[("authorization", token)],
                &CORE.body(),
            )
        });
        server.wait_for("reached", is_reached);
        server.signal("KILL");
        assert!(publishing.join().unwrap().is_err());
    });
}

/// Stalls each connection that sends this, and says that there was one.
fn stall_at(proxy: &Proxy, sent: &'static [u8]) -> Arc<AtomicBool> {
    let reached = Arc::<AtomicBool>::default();
    let seen = Arc::clone(&reached);
    proxy.watch(
        move |passing| match passing.bytes.windows(sent.len()).any(|part| part == sent) {
            true => {
                seen.store(true, Ordering::SeqCst);
                Action::Stall
            }
            false => Action::Pass,
        },
    );
    reached
}

#[test]
fn killed_while_its_file_is_stored_nothing_is_published() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let folder = registry.site.folder.path().join("s3");
    let s3 = S3::start(&folder);
    let proxy = Proxy::before(s3.address().port());
    let endpoint = format!("http://127.0.0.1:{}", proxy.port());
    let pairs = s3.variables();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("AWS_ENDPOINT_URL", endpoint.as_str())])
        .collect();
    let server = registry.serve(&pairs);
    let reached = stall_at(&proxy, b"PUT /crates/kept/here/private/");
    publish_to_and_kill(server, &token, || reached.load(Ordering::SeqCst));
    proxy.watch(|_| Action::Pass);
    let private = folder.join("crates/kept/here/private");
    assert!(files_in(&private).is_empty());
    let server = registry.serve(&pairs);
    assert_eq!(entry(&server, &token, "acme-core").status, 404);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    assert_eq!(files_in(&private).len(), 1);
    registry.fsck();
}

#[test]
fn killed_before_the_push_nothing_is_published_and_after_the_answer_all_is() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let daemon = GitDaemon::start(registry.site.folder.path());
    let proxy = Proxy::before(daemon.port());
    let url = format!("git://127.0.0.1:{}/private.git", proxy.port());
    let serve = || registry.site.serve(&[("FERRY_PRIVATE_INDEX", &url)]);
    let server = serve();
    stall_at(&proxy, b"git-receive-pack");
    publish_to_and_kill(server, &token, || registry.files().len() == 1);
    proxy.watch(|_| Action::Pass);
    let server = serve();
    assert_eq!(entry(&server, &token, "acme-core").status, 404);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    server.kill();
    let server = serve();
    server.wait_for("shown", || {
        entry(&server, &token, "acme-core").status == 200
    });
    let path = "/private/api/v1/crates/acme-core/1.0.0/download";
    assert_eq!(get(&server, &token, path).body, CORE.file());
    assert_eq!(
        (registry.files().len(), registry.lines("acme-core").len()),
        (1, 1)
    );
    registry.fsck();
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
    let seen = registry.site.data().join("private-unlisted.json");
    // It counts since when a server has seen it so.
    let server = registry.serve(&[]);
    server.wait_for("seen", || seen.is_file());
    drop(server);
    assert!(old.exists());
    let text = std::fs::read_to_string(&seen).unwrap();
    let unlisted: std::collections::BTreeMap<String, Timestamp> =
        serde_json::from_str(&text).unwrap();
    assert_eq!(unlisted.len(), 2, "{text}");
    let long_ago = |_: &Timestamp| Timestamp::try_from(yesterday).unwrap();
    let unlisted: std::collections::BTreeMap<_, _> = unlisted
        .iter()
        .map(|(path, at)| (path, long_ago(at)))
        .collect();
    std::fs::write(&seen, serde_json::to_vec(&unlisted).unwrap()).unwrap();
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

#[test]
fn no_file_is_swept_where_the_repository_is_another_one() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let server = registry.serve(&[]);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    drop(server);
    let listed = registry.files().remove(0);
    let folder = listed.parent().unwrap().parent().unwrap().to_owned();
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    let mut unlisted = std::collections::BTreeMap::new();
    // As many as a mistake leaves without a line.
    for number in 0..21 {
        let file = format!("acme-core-1.0.{number}/{}.crate", "ab".repeat(32));
        let path = folder.join(&file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "bytes").unwrap();
        let opened = std::fs::File::options().write(true).open(&path).unwrap();
        opened.set_modified(yesterday).unwrap();
        let at = Timestamp::try_from(yesterday).unwrap();
        unlisted.insert(format!("ac/me/acme-core/{file}"), at);
    }
    let seen = registry.site.data().join("private-unlisted.json");
    std::fs::write(&seen, serde_json::to_vec(&unlisted).unwrap()).unwrap();
    let server = registry.serve(&[]);
    server.wait_for("told", || {
        server
            .log()
            .contains("21 of the 22 private files have none")
    });
    assert_eq!(registry.files().len(), 22);
}

#[test]
fn a_repository_that_lost_its_branch_is_not_taken_for_a_new_one() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let server = registry.serve(&[]);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    let tip = git(&registry.repository, &["rev-parse", "HEAD"]);
    let next = Version {
        version: "1.1.0",
        ..CORE
    };
    git(
        &registry.repository,
        &["update-ref", "-d", "refs/heads/master"],
    );
    let got = next.publish(&server, &token);
    assert_eq!(got.status, 503);
    assert!(
        got.detail().contains("has no branch master"),
        "{}",
        got.text()
    );
    drop(server);
    let server = registry.serve(&[]);
    let got = next.publish(&server, &token);
    assert!(
        got.status == 503 && got.detail().contains("has no branch master any more"),
        "{}",
        got.text()
    );
    assert_eq!(entry(&server, &token, "acme-core").status, 200);
    git(
        &registry.repository,
        &["update-ref", "refs/heads/master", &tip],
    );
    assert_eq!(next.publish(&server, &token).status, 200);
}

#[test]
fn a_hook_that_hangs_stops_its_own_push_and_no_other() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let reached = registry.site.folder.path().join("reached");
    let script = registry.repository.join("hooks/pre-receive");
    let place = reached.display();
    let text = format!("#!/bin/sh\n[ -e '{place}' ] && exit 0\ntouch '{place}'\nexec sleep 60\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let server = registry.serve(&[("FERRY_NETWORK_TIMEOUT", "3s")]);
    let got = CORE.publish(&server, &token);
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(reached.exists());
    assert!(
        server.log().contains("did not answer a push"),
        "{}",
        server.log()
    );
    assert_eq!(registry.lines("acme-core").len(), 1);
}
