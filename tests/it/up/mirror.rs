//! A mirror beside the server: made when that is asked for, kept fresh, and never in the server's way.

use super::{said, start, wait_until_ready};
use crate::support::exim::{Exim, Options};
use crate::support::mirror::Mirror;
use crate::support::repo::{git, git_command};
use crate::support::server::{Got, HOOK_TOKEN, Server, Site};

/// Makes a site of one crate, and an empty mirror beside it.
fn site() -> (Site, Mirror, String) {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"foo");
    let mirror = Mirror::empty(site.folder.path(), "mirror.git");
    let path = mirror.path().display().to_string();
    (site, mirror, path)
}

/// Says that upstream was pushed to.
fn hook(server: &Server) -> Got {
    let headers = [("X-Gitlab-Token", HOOK_TOKEN)];
    let body = br#"{"object_kind":"push","ref":"refs/heads/master"}"#;
    server.ask("POST", "/hooks/push", &headers, body).unwrap()
}

fn serves(server: &Server, name: &str) -> bool {
    server.entry(name).status == 200
}

#[test]
fn it_is_made_as_a_snapshot_and_kept_fresh_by_webhooks() {
    let (mut site, mirror, path) = site();
    let pairs = [
        ("FERRY_MIRROR_URL", path.as_str()),
        ("FERRY_UP_EVERY", "1h"),
    ];
    let server = start(&site, &pairs, &["--init"]);
    wait_until_ready(&site, &server);
    assert!(said(&site).contains(&format!("mirror       {path}, synced every 1h\n")));
    assert!(serves(&server, "foo"));
    // One tree, and none of upstream's commits.
    let upstream = git(site.index.path(), &["rev-parse", "master"]);
    let seen = git_command(mirror.path())
        .args(["cat-file", "-e", upstream.trim()])
        .output();
    assert!(
        !seen.unwrap().status.success(),
        "upstream's commit was carried"
    );
    assert!(
        !server.log().contains("cannot fetch the index"),
        "{}",
        server.log()
    );
    site.publish("bar", "1.0.0", b"bar");
    let answer = hook(&server);
    assert_eq!(answer.status, 202);
    assert!(answer.text().contains("syncing"), "{}", answer.text());
    server.wait_for("bar", || serves(&server, "bar"));
    assert!(mirror.read("3/b/bar").is_some());
    // A push to the mirror itself refreshes what is served.
    assert!(server.push_hook().text().contains("refreshing"));
}

#[test]
fn it_is_kept_fresh_by_the_clock() {
    let (mut site, mirror, path) = site();
    let pairs = [
        ("FERRY_MIRROR_URL", path.as_str()),
        ("FERRY_UP_EVERY", "50ms"),
        ("FERRY_UP_INIT", "true"),
    ];
    let server = start(&site, &pairs, &[]);
    wait_until_ready(&site, &server);
    for name in ["bar", "qux"] {
        site.publish(name, "1.0.0", b"bytes");
        server.wait_for(name, || serves(&server, name));
    }
    assert!(mirror.read("3/q/qux").is_some());
}

#[test]
fn an_empty_mirror_is_not_touched_unasked() {
    let (site, mirror, path) = site();
    let pairs = [
        ("FERRY_MIRROR_URL", path.as_str()),
        ("FERRY_UP_EVERY", "10ms"),
    ];
    let server = start(&site, &pairs, &[]);
    let told = || server.log().matches("the mirror was not synced").count();
    server.wait_for("told", || told() == 1);
    // The clock goes on; the same failure is not told again.
    assert_eq!(hook(&server).status, 202);
    assert_eq!(told(), 1, "{}", server.log());
    assert!(
        server.log().contains("crates-ferry init"),
        "{}",
        server.log()
    );
    assert_eq!(git(mirror.path(), &["for-each-ref"]), "");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_mirror_that_is_gone_does_not_stop_serving() {
    let (mut site, mirror, path) = site();
    let pairs = [
        ("FERRY_MIRROR_URL", path.as_str()),
        ("FERRY_UP_EVERY", "1h"),
    ];
    let server = start(&site, &pairs, &["--init"]);
    wait_until_ready(&site, &server);
    let aside = site.folder.path().join("aside.git");
    std::fs::rename(mirror.path(), &aside).unwrap();
    site.publish("bar", "1.0.0", b"bar");
    hook(&server);
    server.wait_for("told", || {
        server.log().contains("the mirror was not synced")
    });
    server.push_hook();
    server.wait_for("told", || server.log().contains("cannot refresh the index"));
    assert!(serves(&server, "foo"));
    assert_eq!(server.download("foo", "1.0.0").body, b"foo");
    std::fs::rename(&aside, mirror.path()).unwrap();
    hook(&server);
    server.wait_for("bar", || serves(&server, "bar"));
    server.wait_for("told", || server.log().contains("can be synced again"));
}

#[test]
fn an_index_that_cannot_be_served_does_not_stop_the_syncs() {
    let (mut site, mirror, path) = site();
    let nowhere = site.folder.path().join("nowhere").display().to_string();
    let pairs = [
        ("FERRY_MIRROR_URL", path.as_str()),
        ("FERRY_SERVE_INDEX", nowhere.as_str()),
        ("FERRY_UP_EVERY", "1h"),
    ];
    let server = start(&site, &pairs, &["--init"]);
    server.wait_for("made", || mirror.read("3/f/foo").is_some());
    site.publish("bar", "1.0.0", b"bar");
    hook(&server);
    server.wait_for("carried", || mirror.read("3/b/bar").is_some());
    assert_eq!(server.get("/readyz").status, 503);
    let waits = "INFO waiting for the next try";
    server.wait_for("told", || server.log().contains(waits));
    assert!(!server.log().contains("asking for the index"));
}

#[test]
fn a_failure_is_mailed_once() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let (site, _mirror, path) = site();
    let mail = exim.variables();
    let mail = mail.iter().map(|(name, value)| (&**name, &**value));
    let pairs = [
        ("FERRY_MIRROR_URL", path.as_str()),
        ("FERRY_UP_EVERY", "10ms"),
    ];
    let pairs: Vec<(&str, &str)> = pairs.into_iter().chain(mail).collect();
    let server = start(&site, &pairs, &[]);
    let recorded = || std::fs::read_to_string(site.data().join("mails.json")).unwrap_or_default();
    server.wait_for("several failures", || {
        recorded().contains("\"failures\": 5")
    });
    assert_eq!(exim.messages(1).len(), 1);
}
