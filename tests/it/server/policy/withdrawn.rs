//! Versions that upstream took back.

use serde_json::Value;

use super::scene::{REFUSE, refresh, site, status};
use crate::support::s3::S3;
use crate::support::server::{Server, Site, printed, sha256};

#[test]
fn a_version_whose_line_is_gone_is_refused_until_it_comes_back_as_it_was() {
    let mut site = site();
    let server = site.serve(&[REFUSE]);
    assert_eq!(status(&server, "1.1.0"), 200);
    server.wait_for("stored", || site.kept("foo", "1.1.0").exists());
    site.withdraw("foo", &["1.1.0"]);
    refresh(&mut site, &server);
    let refused = server.download("foo", "1.1.0");
    assert_eq!(refused.status, 403);
    let said = refused.text();
    assert!(
        said.starts_with("foo 1.1.0 is denied since 2")
            && said
                .contains(" UTC: withdrawn upstream: its line is gone (policy.withdrawn: refuse)"),
        "{said}"
    );
    assert_eq!(status(&server, "1.0.0"), 200);
    assert_eq!(status(&server, "3.0.0"), 404);
    let policy: Value = serde_json::from_slice(&server.get("/api/v1/policy").body).unwrap();
    assert_eq!(policy["denied"], 1);
    // Its file is kept for whoever investigates.
    let aside = site
        .data()
        .join(format!("crates/state/aside/{}.crate", sha256(b"bad")));
    server.wait_for("aside", || {
        aside.exists() && !site.kept("foo", "1.1.0").exists()
    });
    assert_eq!(std::fs::read(aside).unwrap(), b"bad");

    // With another checksum it is refused as well, and shown as yanked.
    site.publish("foo", "1.1.0", b"worse");
    refresh(&mut site, &server);
    assert_eq!(status(&server, "1.1.0"), 403);
    let said = server.download("foo", "1.1.0").text();
    assert!(said.contains("its checksum changed"), "{said}");
    let shown = server.entry("foo").text();
    let line = shown.lines().find(|line| line.contains("1.1.0")).unwrap();
    assert!(line.contains("\"yanked\":true"), "{line}");
    let policy: Value = serde_json::from_slice(&server.get("/api/v1/policy").body).unwrap();
    assert_eq!(
        (&policy["withdrawn"], &policy["denied"]),
        (&"refuse".into(), &1.into())
    );

    site.withdraw("foo", &["1.1.0"]);
    site.publish("foo", "1.1.0", b"bad");
    refresh(&mut site, &server);
    assert_eq!(status(&server, "1.1.0"), 200);
}

#[test]
fn a_whole_crate_that_is_gone_is_refused_and_the_commands_say_so() {
    let mut site = site();
    let server = site.serve(&[REFUSE]);
    site.withdraw("foo", &["1.0.0", "1.1.0"]);
    refresh(&mut site, &server);
    assert_eq!(
        (server.entry("foo").status, status(&server, "1.0.0")),
        (404, 403)
    );
    drop(server);
    let listed = printed(&site.run_with(&[REFUSE], &["policy", "list"]), 0);
    let lines: Vec<_> = listed.lines().collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with("foo 1.0.0: denied since 2")
            && lines[0].contains(": withdrawn upstream: "),
        "{listed}"
    );
    let explained = site.run_with(&[REFUSE], &["policy", "explain", "foo@1.1.0"]);
    let explained = printed(&explained, 0);
    assert!(
        explained.starts_with("foo 1.1.0: denied since 2"),
        "{explained}"
    );
    let lock = site.folder.path().join("Cargo.lock");
    let text = format!(
        "version = 4\n\n[[package]]\nname = \"foo\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{}\"\n",
        sha256(b"good")
    );
    std::fs::write(&lock, text).unwrap();
    let tested = site.run_with(&[REFUSE], &["policy", "test", lock.to_str().unwrap()]);
    let said = printed(&tested, 1);
    assert!(said.contains("foo 1.0.0: denied since 2"), "{said}");
}

#[test]
fn all_servers_of_a_bucket_refuse_what_one_has_seen() {
    let mut site = site();
    let s3 = S3::start(&site.folder.path().join("s3"));
    let mut variables = site.variables_and(&[REFUSE]);
    variables.extend(s3.variables());
    let server = Server::start(&variables);
    server.wait_until_ready();
    assert_eq!(status(&server, "1.1.0"), 200);
    let bucket = site.folder.path().join("s3/crates/kept/here");
    let stored = bucket.join("3/f/foo/foo-1.1.0.crate");
    server.wait_for("stored", || stored.exists());
    site.withdraw("foo", &["1.1.0"]);
    refresh(&mut site, &server);
    assert_eq!(status(&server, "1.1.0"), 403);
    let aside = bucket.join(format!("state/aside/{}.crate", sha256(b"bad")));
    server.wait_for("aside", || aside.exists() && !stored.exists());
    drop(server);
    let folder = site.folder.path().join("other").display().to_string();
    variables.push(("FERRY_SERVE_DATA_DIR".to_owned(), folder));
    let other = Server::start(&variables);
    other.wait_until_ready();
    assert_eq!(status(&other, "1.1.0"), 403);
}

#[test]
fn what_vanished_while_a_server_was_killed_is_found_by_the_next_one() {
    let mut site = site();
    let server = site.serve(&[REFUSE]);
    let compared = site.data().join("policy-compared");
    let before = std::fs::read(&compared).unwrap();
    site.withdraw("foo", &["1.1.0"]);
    refresh(&mut site, &server);
    assert_eq!(status(&server, "1.1.0"), 403);
    server.kill();
    // As if it had been killed when the index was fetched, and nothing was written down.
    std::fs::write(&compared, &before).unwrap();
    std::fs::remove_dir_all(site.data().join("crates/state")).unwrap();
    let server = site.serve(&[REFUSE]);
    assert_eq!(status(&server, "1.1.0"), 403);
}

#[test]
fn a_squash_is_the_same_history_and_another_history_is_not() {
    let mut site = site();
    let server = site.serve(&[REFUSE]);
    site.index.squash();
    site.withdraw("foo", &["1.1.0"]);
    refresh(&mut site, &server);
    assert_eq!(status(&server, "1.1.0"), 403);
    // A branch that goes back takes nothing back.
    site.publish("foo", "2.0.0", b"later");
    refresh(&mut site, &server);
    assert_eq!(status(&server, "2.0.0"), 200);
    site.index.rewind(2);
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("told", || server.log().contains("does not come after"));
    server.wait_for("shown", || !server.entry("foo").text().contains("2.0.0"));
    // What was withdrawn before stays so.
    assert_eq!(
        (status(&server, "1.1.0"), status(&server, "2.0.0")),
        (403, 404)
    );
}

#[test]
fn more_than_fifty_at_once_change_nothing_until_a_person_acts() {
    let mut site = Site::new();
    let versions: Vec<_> = (0..51).map(|patch| format!("1.0.{patch}")).collect();
    for version in &versions {
        site.publish("many", version, b"many");
    }
    let server = site.serve(&[REFUSE]);
    let versions: Vec<_> = versions.iter().map(String::as_str).collect();
    site.withdraw("many", &versions);
    assert_eq!(server.push_hook().status, 202);
    let told = "[guard] 51 versions vanished";
    server.wait_for("told", || server.log().contains(told));
    assert_eq!(server.entry("many").text().lines().count(), 51);
    assert_eq!(server.download("many", "1.0.7").status, 200);
    drop(server);
    // A start does not get past it, serves the index before, and says why.
    let server = site.serve(&[REFUSE]);
    server.wait_for("told", || server.get("/readyz").text().contains(told));
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("crates_ferry_policy_index_held_back 1"),
        "{metrics}"
    );
    let page = server
        .get_with("/status", &[("accept", "text/html")])
        .text();
    assert!(
        page.contains("Serving an index before the newest one") && page.contains(told),
        "{page}"
    );
    assert_eq!(server.entry("many").text().lines().count(), 51);
    assert_eq!(server.download("many", "1.0.7").status, 200);
    drop(server);
    let server = site.serve(&[
        ("FERRY_POLICY_DENY", "none"),
        ("FERRY_POLICY_WITHDRAWN", "serve"),
    ]);
    assert_eq!(
        (
            server.entry("many").status,
            server.download("many", "1.0.7").status
        ),
        (404, 404)
    );
    drop(server);
    // Which is accepted then.
    let server = site.serve(&[REFUSE]);
    assert_eq!(server.entry("many").status, 404);
}

#[test]
fn ones_own_crates_are_taken_back_without_a_refusal() {
    let mut site = site();
    let (mirror, dl) = (site.index.path().display().to_string(), site.host.dl());
    let server = site.serve(&[
        REFUSE,
        ("FERRY_POLICY_RESERVED", "foo"),
        ("FERRY_MIRROR_KEEP", "ot/he/*"),
        ("FERRY_MIRROR_URL", mirror.as_str()),
        ("FERRY_SERVE_DL", dl.as_str()),
        ("FERRY_UPSTREAM_URL", "https://upstream.example/index"),
    ]);
    site.withdraw("foo", &["1.1.0"]);
    site.withdraw("other", &["1.0.0"]);
    refresh(&mut site, &server);
    assert_eq!(status(&server, "1.1.0"), 404);
    assert_eq!(server.download("other", "1.0.0").status, 404);
}

#[test]
fn pages_and_the_web_api_go_on_listing_what_was_taken_back_with_the_reason_and_the_date() {
    let mut site = site();
    let server = site.serve(&[REFUSE]);
    site.withdraw("foo", &["1.1.0"]);
    refresh(&mut site, &server);
    let json = |path: &str| {
        let got = server.get(&format!("/api/v1/crates/{path}"));
        let json: Value = serde_json::from_slice(&got.body).unwrap();
        (got.status, json)
    };
    server.wait_for("the catalog", || json("foo").0 == 200);
    let (_, all) = json("foo");
    let versions = all["versions"].as_array().unwrap();
    let numbers: Vec<_> = versions.iter().map(|version| &version["num"]).collect();
    assert_eq!(numbers, ["1.0.0", "1.1.0"]);
    let gone = &versions[1];
    let why = gone["yank_message"].as_str().unwrap();
    assert!(
        why.starts_with("denied since 2")
            && why.ends_with("withdrawn upstream: its line is gone (policy.withdrawn: refuse)"),
        "{why}"
    );
    assert_eq!(
        (&gone["yanked"], &gone["checksum"]),
        (&true.into(), &sha256(b"bad").into())
    );
    assert_eq!(&all["crate"]["versions"][1], &gone["id"]);
    assert_eq!(&json("foo/1.1.0").1["version"], gone);
    let page = |path: &str| {
        let got = server.get(&format!("/crates/{path}"));
        (got.status, got.text())
    };
    let marked = "1.1.0 <span class=\"state bad\">withdrawn</span> since 2";
    for (path, status) in [("foo", 200), ("foo/versions", 200), ("foo/1.1.0", 404)] {
        let (got, text) = page(path);
        assert!(
            got == status && text.contains(marked) && text.contains("refuses its crate file"),
            "{path}: {got} {text}"
        );
    }
    assert!(
        page("foo/1.1.0")
            .1
            .contains("<h1>foo 1.1.0 was withdrawn upstream</h1>")
    );
    assert!(!page("foo/3.0.0").1.contains("withdrawn"));

    // Where nothing else of the crate is left, too.
    site.withdraw("foo", &["1.0.0"]);
    refresh(&mut site, &server);
    server.wait_for("gone", || json("foo").0 == 404);
    let (_, left) = json("foo");
    let detail = left["errors"][0]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("crate `foo` does not exist any more: 1.1.0 is denied since 2"),
        "{detail}"
    );
    let (_, left) = json("foo/versions");
    assert_eq!(left["versions"].as_array().unwrap().len(), 2);
    assert_eq!(json("foo/1.0.0").1["version"]["num"], "1.0.0");
    assert_eq!(json("foo/3.0.0").0, 404);
    let (status, text) = page("foo");
    assert!(
        status == 404
            && text.contains("<h1>foo was withdrawn upstream</h1>")
            && text.contains(marked),
        "{status} {text}"
    );
}
