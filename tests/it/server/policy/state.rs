//! What the index does not date, and a mirror remembers.

use super::{MIN_AGE, day, publish};
use crate::support::clocked::ClockedServer;
use crate::support::s3::S3;
use crate::support::server::{Server, Site, sha256};

fn site() -> Site {
    let mut site = Site::new();
    publish(&mut site, "foo", "1.0.0", None);
    site
}

/// Says whether the version is listed, and whether it is shown as yanked.
fn shown(entry: &str, version: &str) -> Option<bool> {
    let mark = format!("\"vers\":\"{version}\"");
    let line = entry.lines().find(|line| line.contains(&mark))?;
    Some(line.contains("\"yanked\":true"))
}

#[test]
fn a_version_without_a_date_is_on_hold_from_when_it_was_seen_and_all_servers_of_a_bucket_agree() {
    let mut site = site();
    let s3 = S3::start(&site.folder.path().join("s3"));
    let folder = site.folder.path().join("other").display().to_string();
    let bucket = s3.variables();
    let mut pairs: Vec<_> = bucket
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    pairs.push(MIN_AGE);
    let server = ClockedServer::start(&site, &pairs, day(1));
    // What was there at the first copy counts as old.
    assert_eq!(shown(&server.entry("foo").text(), "1.0.0"), Some(false));
    publish(&mut site, "foo", "1.1.0", None);
    server.refresh();
    server.wait_for("held", || {
        shown(&server.entry("foo").text(), "1.1.0") == Some(true)
    });
    // A second server has all of it in its first copy, and finds in the bucket when the first one saw it.
    pairs.push(("FERRY_SERVE_DATA_DIR", &folder));
    let other = ClockedServer::start(&site, &pairs, day(3));
    assert_eq!(shown(&other.entry("foo").text(), "1.1.0"), Some(true));
    assert_eq!(
        other.entry("foo").header("etag"),
        server.entry("foo").header("etag")
    );
    other.set_clock(day(8));
    other.wait_for("free", || {
        shown(&other.entry("foo").text(), "1.1.0") == Some(false)
    });
    assert_eq!(shown(&server.entry("foo").text(), "1.1.0"), Some(true));
}

#[test]
fn what_was_new_when_a_server_was_killed_is_found_by_the_next_one() {
    let mut site = site();
    let of = |server: &Server| shown(&server.entry("foo").text(), "1.1.0");
    let server = site.serve(&[MIN_AGE]);
    let compared = site.data().join("policy-compared");
    let before = std::fs::read(&compared).unwrap();
    publish(&mut site, "foo", "1.1.0", None);
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("held", || of(&server) == Some(true));
    server.kill();
    // As if it had been killed when the index was fetched, and nothing was written down.
    std::fs::write(&compared, &before).unwrap();
    std::fs::remove_dir_all(site.data().join("crates/state")).unwrap();
    let server = site.serve(&[MIN_AGE]);
    assert_eq!(of(&server), Some(true));
    drop(server);
    // Another one reads what was written down.
    assert_ne!(std::fs::read(&compared).unwrap(), before);
    let server = site.serve(&[MIN_AGE]);
    assert_eq!(of(&server), Some(true));
    drop(server);
    // A first copy knows of nothing older.
    std::fs::remove_dir_all(site.data()).unwrap();
    assert_eq!(of(&site.serve(&[MIN_AGE])), Some(false));
}

#[test]
fn commands_know_what_the_server_has_seen() {
    let mut site = site();
    let server = site.serve(&[MIN_AGE]);
    publish(&mut site, "foo", "1.1.0", None);
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("held", || {
        shown(&server.entry("foo").text(), "1.1.0") == Some(true)
    });
    let listed = site.run_with(&[MIN_AGE], &["policy", "list"]);
    let listed = crate::support::server::printed(&listed, 0);
    assert!(listed.starts_with("foo 1.1.0: on hold until "), "{listed}");
    let fetched = site.run_with(&[MIN_AGE], &["prefetch", "--crate", "foo"]);
    assert!(fetched.status.success(), "{fetched:?}");
    assert!(site.kept("foo", "1.0.0").exists() && !site.kept("foo", "1.1.0").exists());
    // What is remembered is no crate file.
    let files = site.run(&["cache", "ls"]);
    let files = crate::support::server::printed(&files, 0);
    assert_eq!(files.lines().count(), 1, "{files}");
}

#[test]
fn without_its_state_a_server_is_not_ready_and_it_goes_on_when_the_store_is_back() {
    let site = site();
    let folder = site.folder.path().join("s3");
    let s3 = S3::start(&folder);
    let (address, mut variables) = (s3.address(), site.variables_and(&[MIN_AGE]));
    variables.extend(s3.variables());
    drop(s3);
    let server = Server::start(&variables);
    let told = "cannot use the policy's state in s3://";
    server.wait_for("told", || server.log().contains(told));
    let unready = server.get("/readyz");
    assert_eq!(unready.status, 503);
    assert!(unready.text().contains(told), "{}", unready.text());
    assert!(
        unready.text().contains("Check AWS_ENDPOINT_URL"),
        "{}",
        unready.text()
    );
    assert_eq!(server.entry("foo").status, 503);
    let policy: serde_json::Value =
        serde_json::from_slice(&server.get("/api/v1/policy").body).unwrap();
    assert_eq!(policy["min_age"], 604_800);
    assert!(policy["on_hold"].is_null() && policy["denied"].is_null());
    let _s3 = S3::start_at(&folder, address);
    server.wait_until_ready();
    assert_eq!(shown(&server.entry("foo").text(), "1.0.0"), Some(false));
}

#[test]
fn a_state_that_cannot_be_read_is_told_with_its_place_and_what_to_do() {
    let site = site();
    let state = site.data().join("crates/state");
    std::fs::create_dir_all(state.parent().unwrap()).unwrap();
    // No folder of this name can be read, by whatever user.
    std::fs::write(&state, "").unwrap();
    let server = Server::start(&site.variables_and(&[MIN_AGE]));
    let told = format!("cannot use the policy's state in {}", state.display());
    server.wait_for("told", || {
        let got = server.get("/readyz");
        got.status == 503
            && got.text().contains(&told)
            && got
                .text()
                .contains("Let the user that runs the server read and write")
    });
    std::fs::remove_file(&state).unwrap();
    server.wait_until_ready();
    drop(server);
    // Another one is told as little as the page of errors.
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, "").unwrap();
    let tokens = site.folder.path().join("tokens");
    std::fs::write(&tokens, format!("{}  ci\n", sha256(b"token"))).unwrap();
    let auth = ("FERRY_SERVE_AUTH", tokens.to_str().unwrap());
    let server = Server::start(&site.variables_and(&[MIN_AGE, auth]));
    server.wait_for("told", || {
        let got = server.get("/readyz").text();
        got.contains("the log says why") && !got.contains(state.to_str().unwrap())
    });
}

#[test]
fn a_store_whose_state_is_gone_is_told() {
    let mut site = site();
    let lost = "the store has no state of the policy any more";
    let server = site.serve(&[MIN_AGE]);
    assert!(!server.log().contains(lost), "{}", server.log());
    drop(server);
    let server = site.serve(&[MIN_AGE]);
    assert!(!server.log().contains(lost), "{}", server.log());
    std::fs::remove_dir_all(site.data().join("crates/state")).unwrap();
    publish(&mut site, "foo", "1.1.0", Some(day(0)));
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("told", || server.log().contains(lost));
}

#[test]
fn a_rule_that_has_ended_is_told_at_the_start() {
    let site = site();
    let server = site.serve(&[("FERRY_POLICY_DENY", "bar; foo until=2020-01-01")]);
    let told = "policy.deny: the rule `foo` has ended";
    server.wait_for("told", || server.log().contains(told));
    assert!(!server.log().contains("`bar`"), "{}", server.log());
    assert_eq!(shown(&server.entry("foo").text(), "1.0.0"), Some(false));
}
