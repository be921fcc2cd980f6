//! Searches, the web API and pages.

use serde_json::{Value, json};

use super::{MIN_AGE, day, publish, site};
use crate::support::clocked::ClockedServer;
use crate::support::server::Server;

fn json_of(server: &ClockedServer, path: &str) -> Value {
    let got = server.get(path);
    assert_eq!(got.status, 200, "{path}: {}", got.text());
    serde_json::from_slice(&got.body).unwrap()
}

/// Waits until the catalog knows all crates.
fn wait_for_catalog(server: &ClockedServer) {
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
}

fn max_version(server: &ClockedServer, name: &str) -> Value {
    json_of(server, &format!("/api/v1/crates?q={name}"))["crates"][0]["max_version"].clone()
}

#[test]
fn searches_follow_the_policy_and_the_end_of_a_hold() {
    let mut site = site();
    publish(&mut site, "fresh", "0.1.0", Some(day(0)));
    let server = ClockedServer::start(&site, &[MIN_AGE], day(1));
    wait_for_catalog(&server);
    assert_eq!(max_version(&server, "foo"), "1.0.0");
    assert_eq!(
        json_of(&server, "/api/v1/crates/foo/1.1.0")["version"]["yanked"],
        true
    );
    server.set_clock(day(7));
    server.wait_for("found", || max_version(&server, "foo") == "1.1.0");
    assert_eq!(max_version(&server, "fresh"), "0.1.0");
}

#[test]
fn a_server_whose_policy_is_gone_finds_all_again() {
    let site = site();
    let newest = |server: &Server| {
        let got = server.get("/api/v1/crates?q=foo");
        let json: Option<Value> = serde_json::from_slice(&got.body).ok();
        json.map(|json| json["crates"][0]["max_version"].clone())
    };
    let server = site.serve(&[("FERRY_POLICY_DENY", "foo@1.1.0")]);
    server.wait_for("denied", || newest(&server) == Some("1.0.0".into()));
    drop(server);
    let server = site.serve(&[]);
    server.wait_for("all", || newest(&server) == Some("1.1.0".into()));
}

#[test]
fn pages_mark_what_is_on_hold_or_denied_with_the_reason_and_the_date() {
    let mut site = site();
    publish(&mut site, "fresh", "0.1.0", Some(day(0)));
    let pairs = [
        MIN_AGE,
        ("FERRY_POLICY_DENY", "foo@1.0.0 why=a stolen account"),
    ];
    let server = ClockedServer::start(&site, &pairs, day(1));
    wait_for_catalog(&server);
    let on_hold = "<span class=\"state warn\">on hold</span>";
    let denied = "<span class=\"state bad\">denied</span>";
    let held_why =
        "until 2026-11-08 00:00 UTC: published 2026-11-01 00:00 UTC (policy.min_age: 7d)";
    for (path, marks) in [
        (
            "/crates/fresh",
            [on_hold, held_why, "only where a lockfile names it"],
        ),
        ("/crates/foo/1.1.0", [on_hold, held_why, denied]),
        (
            "/crates/foo/1.0.0",
            [
                denied,
                "since 2026-11-02 00:00 UTC: a stolen account (policy.deny: foo@1.0.0)",
                "refuses its crate file",
            ],
        ),
        ("/crates/foo/versions", [on_hold, denied, "2 versions"]),
        ("/search?q=fresh", [on_hold, "fresh", "0.1.0"]),
        (
            "/setup",
            ["the policy does not apply", "sparse+", "Which cargo"],
        ),
        (
            "/status",
            ["Versions on hold", "Versions denied", "<dd>2</dd>"],
        ),
    ] {
        let page = server.get(path).text();
        for mark in marks {
            assert!(page.contains(mark), "{path}: no {mark}: {page}");
        }
    }
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("crates_ferry_policy_versions_on_hold 2\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("crates_ferry_policy_denied_versions 1\n"),
        "{metrics}"
    );
    assert_eq!(
        json_of(&server, "/api/v1/status")["policy"],
        json!({"on_hold": 2, "denied": 1, "yanks_on_hold": 0})
    );
}

#[test]
fn the_web_api_tells_what_the_policy_is_without_its_reasons() {
    let site = site();
    let pairs = [
        MIN_AGE,
        (
            "FERRY_POLICY_ALLOW",
            "acme-* until=2027-01-01 why=secret; old until=2026-11-01",
        ),
        ("FERRY_POLICY_DENY", "foo@1.0.0 why=secret"),
    ];
    let server = ClockedServer::start(&site, &pairs, day(1));
    let told = json_of(&server, "/api/v1/policy");
    let wanted = json!({
        "min_age": 604_800,
        "yank_hold": 604_800,
        "allow": [{"crate": "acme-*", "until": "2027-01-01T00:00:00Z"}],
        "deny": [{"crate": "foo@1.0.0", "until": null}],
        "reserved": [], "withdrawn": "refuse",
        "on_hold": 1, "denied": 1, "yanks_on_hold": 0,
    });
    assert_eq!(told, wanted);
}

#[test]
fn a_page_offers_no_version_that_cannot_be_taken() {
    let mut site = site();
    publish(&mut site, "evil", "0.1.0", None);
    publish(&mut site, "evil", "0.2.0", None);
    let pairs = [MIN_AGE, ("FERRY_POLICY_DENY", "evil; foo@1.0.0")];
    let server = ClockedServer::start(&site, &pairs, day(1));
    wait_for_catalog(&server);
    for path in [
        "/crates/evil",
        "/crates/evil/0.1.0",
        "/crates/foo",
        "/crates/foo/1.0.0",
    ] {
        let page = server.get(path).text();
        assert!(!page.contains("Take <"), "{path}: {page}");
        assert!(
            page.contains("No other version can be taken: each is yanked, on hold or denied."),
            "{path}: {page}"
        );
    }
    server.set_clock(day(8));
    server.wait_for("offered", || {
        let page = server.get("/crates/foo/1.0.0").text();
        page.contains("Take <a href=\"/crates/foo/1.1.0\">1.1.0</a>")
    });
}

#[test]
fn sources_of_what_is_denied_are_shown_and_say_so() {
    let site = site();
    let deny = ("FERRY_POLICY_DENY", "foo@1.1.0 why=under review");
    let fetched = site.run(&["prefetch", "--crate", "foo", "--all"]);
    assert!(fetched.status.success(), "{fetched:?}");
    let server = ClockedServer::start(&site, &[deny], day(1));
    wait_for_catalog(&server);
    let mark = "1.1.0 <span class=\"state bad\">denied</span>";
    for path in [
        "/crates/foo/1.1.0/src/",
        "/crates/foo/1.1.0/src/src/lib.rs",
        "/crates/foo/1.1.0/readme",
        "/crates/foo/1.0.0...1.1.0",
        "/crates/foo/1.0.0...1.1.0?file=src/lib.rs",
    ] {
        let got = server.get(path);
        let page = got.text();
        assert_eq!(got.status, 200, "{path}: {page}");
        assert!(
            page.contains(mark) && page.contains("under review"),
            "{path}: {page}"
        );
    }
    let other = server.get("/crates/foo/1.0.0/src/").text();
    assert!(!other.contains("denied"), "{other}");
}
