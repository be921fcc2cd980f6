//! The sparse index and downloads.

use super::{MIN_AGE, day, publish, site};
use crate::support::clocked::ClockedServer;
use crate::support::repo::git;
use crate::support::server::{Got, Site};

/// Returns the file of `foo` as the index has it, where these versions are not shown as yanked.
fn original(site: &Site) -> String {
    format!("{}\n", git(site.index.path(), &["show", "master:3/f/foo"]))
}

/// Returns it with the line of a version yanked, and nothing else changed.
fn with_yanked(content: &str, version: &str) -> String {
    let mark = format!("\"vers\":\"{version}\"");
    let lines = content
        .split_inclusive('\n')
        .map(|line| match line.contains(&mark) {
            true => line.replace("\"yanked\":false", "\"yanked\":true"),
            false => line.to_owned(),
        });
    lines.collect()
}

fn validators(got: &Got) -> [(&'static str, String); 2] {
    let of = |name| got.header(name).unwrap().to_owned();
    [
        ("if-none-match", of("etag")),
        ("if-modified-since", of("last-modified")),
    ]
}

#[test]
fn a_hold_that_ends_shows_without_a_commit_and_through_conditions() {
    let site = site();
    let server = ClockedServer::start(&site, &[MIN_AGE], day(1));
    let original = original(&site);
    let held = server.entry("foo");
    assert_eq!(held.text(), with_yanked(&original, "1.1.0"));
    for (name, value) in validators(&held) {
        let again = server.get_with("/index/3/f/foo", &[(name, &value)]);
        assert_eq!(again.status, 304, "{name}");
    }
    // Its crate file is there for whoever has it in a lockfile. A cache in between asks again: it may be denied tomorrow.
    let file = server.download("foo", "1.1.0");
    assert_eq!(
        (file.status, file.header("cache-control")),
        (200, Some("public, max-age=3600"))
    );
    let known = [("if-none-match", file.header("etag").unwrap())];
    let again = server.get_with("/api/v1/crates/foo/1.1.0/download", &known);
    assert_eq!(
        (again.status, again.header("cache-control")),
        (304, Some("public, max-age=3600"))
    );
    server.set_clock(day(7));
    server.wait_for("shown", || server.entry("foo").text() == original);
    let shown = server.entry("foo");
    for (got, knows) in [(&held, 200), (&shown, 304)] {
        for (name, value) in validators(got) {
            let again = server.get_with("/index/3/f/foo", &[(name, &value)]);
            assert_eq!(again.status, knows, "{name}: {value}");
        }
    }
    let blob = git(site.index.path(), &["rev-parse", "master:3/f/foo"]);
    assert_eq!(shown.header("etag"), Some(format!("\"{blob}\"").as_str()));
    // A clock that jumps back releases nothing early.
    server.set_clock(day(6));
    server.wait_for("held again", || server.entry("foo").text() == held.text());
}

#[test]
fn a_version_that_comes_later_is_on_hold_when_it_is_first_shown() {
    let mut site = site();
    let server = ClockedServer::start(&site, &[MIN_AGE], day(8));
    assert_eq!(server.entry("foo").text(), original(&site));
    publish(&mut site, "foo", "1.2.0", Some(day(8)));
    publish(&mut site, "bar", "1.0.0", Some(day(2)));
    server.refresh();
    server.wait_for("fetched", || server.entry("bar").status == 200);
    assert_eq!(
        server.entry("foo").text(),
        with_yanked(&original(&site), "1.2.0")
    );
    assert!(server.entry("bar").text().contains("\"yanked\":true"));
    server.set_clock(day(9));
    server.wait_for("older", || {
        server.entry("bar").text().contains("\"yanked\":false")
    });
    assert_eq!(
        server.entry("foo").text(),
        with_yanked(&original(&site), "1.2.0")
    );
}

#[test]
fn a_denied_version_is_refused_with_the_reason_and_whom_to_ask() {
    let site = site();
    let pairs = [
        ("FERRY_POLICY_DENY", "other; foo@<1.1 why=it leaks"),
        ("FERRY_SERVE_CONTACT", "ops@example.com"),
    ];
    let server = ClockedServer::start(&site, &pairs, day(0));
    assert_eq!(
        server.entry("foo").text(),
        with_yanked(&original(&site), "1.0.0")
    );
    let refused = server.download("foo", "1.0.0");
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    let said = "foo 1.0.0 is denied since 2026-11-01 00:00 UTC: it leaks (policy.deny: foo@<1.1); ask ops@example.com\n";
    assert_eq!(refused.text(), said);
    // As another server of the store says later.
    let folder = site.folder.path().join("other").display().to_string();
    let store = site.data().join("crates").display().to_string();
    let others = [
        ("FERRY_SERVE_DATA_DIR", folder.as_str()),
        ("FERRY_SERVE_STORE", &store),
    ];
    let other = ClockedServer::start(&site, &[&pairs[..], &others].concat(), day(9));
    assert_eq!(other.download("foo", "1.0.0").text(), said);
    // Whoever has the file is told so, too, and nothing was fetched.
    let tag = format!("\"{}\"", crate::support::server::sha256(b""));
    let path = "/api/v1/crates/foo/1.0.0/download";
    assert_eq!(
        server.get_with(path, &[("if-none-match", &tag)]).status,
        403
    );
    assert!(site.host.requests().is_empty());
    assert_eq!(server.download("foo", "1.1.0").status, 200);
}

#[test]
fn a_rule_that_ends_lets_go_on_time() {
    let site = site();
    let pairs = [
        MIN_AGE,
        ("FERRY_POLICY_ALLOW", "foo@1.1.0 until=2026-11-03"),
        ("FERRY_POLICY_DENY", "foo@1.0.0 until=2026-11-05"),
    ];
    let server = ClockedServer::start(&site, &pairs, day(1));
    let original = original(&site);
    let (denied, held) = (
        with_yanked(&original, "1.0.0"),
        with_yanked(&original, "1.1.0"),
    );
    assert_eq!(server.entry("foo").text(), denied);
    server.set_clock(day(2));
    let both = with_yanked(&denied, "1.1.0");
    server.wait_for("held, too", || server.entry("foo").text() == both);
    assert_eq!(server.download("foo", "1.0.0").status, 403);
    server.set_clock(day(4));
    server.wait_for("allowed", || server.entry("foo").text() == held);
    assert_eq!(server.download("foo", "1.0.0").status, 200);
}

#[test]
fn what_is_stored_only_is_held_as_well() {
    let site = site();
    assert!(
        site.run(&["prefetch", "--crate", "foo@1.1.0"])
            .status
            .success()
    );
    let pairs = [
        MIN_AGE,
        ("FERRY_SERVE_DOWNLOADS", "offline"),
        ("FERRY_SERVE_OFFLINE_INDEX", "held"),
    ];
    let server = ClockedServer::start(&site, &pairs, day(1));
    let original = original(&site);
    let line = original
        .lines()
        .find(|line| line.contains("1.1.0"))
        .unwrap();
    let shown = |yanked: &str| format!("{}\n", line.replace("\"yanked\":false", yanked));
    assert_eq!(server.entry("foo").text(), shown("\"yanked\":true"));
    server.set_clock(day(7));
    let released = shown("\"yanked\":false");
    server.wait_for("shown", || server.entry("foo").text() == released);
}

#[test]
fn without_a_policy_nothing_is_decided() {
    let site = site();
    let server = ClockedServer::start(&site, &[("FERRY_POLICY_ALLOW", "foo")], day(1));
    assert_eq!(server.entry("foo").text(), original(&site));
    let told = server.get("/api/v1/policy");
    assert_eq!(
        (told.status, told.detail().as_str()),
        (404, "this server has no policy")
    );
}
