//! The sparse index.

use std::io::Read as _;

use crate::support::server::{Server, Site};

fn site() -> Site {
    let mut site = Site::new();
    site.publish("Foo", "1.0.0", b"one");
    site.publish("serde", "1.0.0", b"two");
    site
}

#[test]
fn a_crates_file_is_served_byte_for_byte_with_its_validators() {
    let site = site();
    let server = site.serve(&[]);
    let got = server.entry("serde");
    let blob = crate::support::repo::git(site.index.path(), &["rev-parse", "master:se/rd/serde"]);
    let content = crate::support::repo::git(site.index.path(), &["show", "master:se/rd/serde"]);
    assert_eq!((got.status, got.text()), (200, format!("{content}\n")));
    assert_eq!(got.header("etag"), Some(format!("\"{blob}\"").as_str()));
    assert_eq!(got.header("content-encoding"), None);
    let modified = got.header("last-modified").unwrap();
    for (name, value, status) in [
        ("if-none-match", format!("\"{blob}\""), 304),
        ("if-none-match", format!("W/\"{blob}\""), 304),
        ("if-none-match", "\"x\"".to_owned(), 200),
        ("if-modified-since", modified.to_owned(), 304),
        (
            "if-modified-since",
            "Thu, 01 Jan 1970 00:00:00 GMT".to_owned(),
            200,
        ),
    ] {
        let again = server.get_with("/index/se/rd/serde", &[(name, &value)]);
        assert_eq!(again.status, status, "{name}: {value}");
        assert_eq!(again.body.is_empty(), status == 304);
    }
    let head = server.ask("HEAD", "/index/se/rd/serde", &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        head.header("content-length"),
        Some(got.body.len().to_string().as_str())
    );
}

#[test]
fn who_takes_gzip_gets_it() {
    let mut site = site();
    for number in 0..20 {
        site.publish("big", &format!("1.{number}.0"), b"x");
    }
    let server = site.serve(&[]);
    let plain = server.entry("big");
    let packed = server.get_with("/index/3/b/big", &[("accept-encoding", "gzip")]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    assert!(packed.body.len() < plain.body.len());
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice())
        .read_to_end(&mut text)
        .unwrap();
    assert_eq!(text, plain.body);
    let etag = packed.header("etag").unwrap();
    assert_eq!(
        server
            .get_with("/index/3/b/big", &[("if-none-match", etag)])
            .status,
        304
    );
}

#[test]
fn what_is_no_crates_file_is_not_found() {
    let site = site();
    let server = site.serve(&[]);
    assert_eq!(server.get("/index/3/f/foo").status, 200);
    let long = "a".repeat(3000);
    for path in [
        "3/f/Foo",
        "3/f/bar",
        "se/rd",
        "se/rd/",
        "se/rd/serde/",
        "serde",
        "",
        "../config",
        "%2e%2e/config",
        "se/rd/..%2fserde",
        "se//rd/serde",
        "co/nf/config.json",
        "3/c/con",
        "3/n/nul",
        "é/é/éé",
        "%ff%ff",
        "se/rd/serde%00",
        ".git/HEAD",
        &long,
    ] {
        let got = server.get(&format!("/index/{path}"));
        assert_eq!(got.status, 404, "{path}");
        // Some lead out of the index, to a page.
        assert!(!got.text().is_empty());
    }
    let config = server.get("/index/config.json");
    let wanted = format!(
        "{{\"dl\":\"{0}/api/v1/crates\",\"api\":\"{0}\"}}",
        server.url("")
    );
    assert_eq!(config.text(), wanted);
    assert_eq!(
        server
            .ask("POST", "/index/3/f/foo", &[], b"")
            .unwrap()
            .status,
        405
    );
    assert_eq!(server.get("/elsewhere").status, 404);
}

#[test]
fn a_push_is_seen_at_once_where_the_hook_says_so() {
    let mut site = site();
    let server = site.serve(&[]);
    assert_eq!(server.entry("later").status, 404);
    site.publish("later", "1.0.0", b"three");
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("refreshed", || server.entry("later").status == 200);
    let wrong = [("X-Gitlab-Token", "wrong")];
    assert_eq!(
        server
            .ask("POST", "/hooks/gitlab", &wrong, b"{}")
            .unwrap()
            .status,
        401
    );
    let other = [("X-Gitlab-Token", crate::support::server::HOOK_TOKEN)];
    let body = br#"{"object_kind":"push","ref":"refs/heads/other"}"#;
    let ignored = server.ask("POST", "/hooks/gitlab", &other, body).unwrap();
    assert!(ignored.status == 200 && ignored.text().contains("ignored"));
}

#[test]
fn squashes_and_many_small_steps_leave_a_whole_small_copy() {
    let mut site = site();
    let server = site.serve(&[("FERRY_SERVE_REFRESH", "10ms")]);
    for number in 0..100 {
        let name = format!("crate-{number}");
        if number % 30 == 7 {
            site.index.squash();
        }
        site.publish(&name, "1.0.0", name.as_bytes());
        server.wait_for("refreshed", || server.entry(&name).status == 200);
    }
    for number in 0..100 {
        assert_eq!(server.entry(&format!("crate-{number}")).status, 200);
    }
    let copy = site.data().join("index.git");
    // The packs that became one are removed by the refresh after.
    let packs = || {
        std::fs::read_dir(copy.join("objects/pack"))
            .unwrap()
            .count()
    };
    assert!(packs() < 2 * 70, "{}", packs());
    assert!(server.log().contains("compacted the "), "{}", server.log());
    crate::support::repo::git(&copy, &["fsck", "--strict"]);
    let count = crate::support::repo::git(&copy, &["rev-list", "--count", "HEAD"]);
    assert_eq!(count, "1");
}

#[test]
fn an_index_that_cannot_be_read_leaves_the_old_one_and_says_so() {
    let site = site();
    let server = site.serve(&[
        ("FERRY_SERVE_REFRESH", "10ms"),
        ("FERRY_SERVE_STALE_AFTER", "200ms"),
    ]);
    let away = site.folder.path().join("away.git");
    std::fs::rename(site.index.path(), &away).unwrap();
    server.wait_for("stale", || server.get("/readyz").status == 503);
    assert!(
        server
            .get("/readyz")
            .text()
            .contains("no refresh of the index")
    );
    assert_eq!(server.entry("serde").status, 200);
    assert_eq!(server.get("/healthz").status, 200);
    assert!(server.metric("crates_ferry_index_refresh_failures_total") > 0.0);
    std::fs::rename(&away, site.index.path()).unwrap();
    server.wait_until_ready();
    assert_eq!(
        server.log().matches("cannot refresh the index").count(),
        1,
        "{}",
        server.log()
    );
}

#[test]
fn an_offline_server_is_ready_with_the_index_that_it_has() {
    let site = site();
    drop(site.serve(&[]));
    std::fs::rename(site.index.path(), site.folder.path().join("away.git")).unwrap();
    let server = Server::start(&site.variables_and(&[("FERRY_SERVE_DOWNLOADS", "offline")]));
    server.wait_for("told", || server.log().contains("cannot refresh the index"));
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.entry("serde").status, 200);
}

#[test]
fn a_failed_poll_says_whether_there_is_an_index_to_serve() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"foo");
    let (index, away) = (
        site.index.path().to_owned(),
        site.folder.path().join("away"),
    );
    std::fs::rename(&index, &away).unwrap();
    let server = Server::start(&site.variables());
    server.wait_for("told", || server.log().contains("WARN cannot"));
    let log = server.log();
    assert!(
        log.contains("cannot fetch the index, and there is none to serve yet: "),
        "{log}"
    );
    assert!(log.contains("; the next try is in 1h (Set "), "{log}");
    assert!(!log.contains("serving the last one"), "{log}");
    std::fs::rename(&away, &index).unwrap();
    assert_eq!(server.push_hook().status, 202);
    server.wait_until_ready();
    std::fs::rename(&index, &away).unwrap();
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("told", || {
        server
            .log()
            .contains("cannot refresh the index; serving the last one: ")
    });
}
