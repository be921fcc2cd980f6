//! An index that lists what is held.

use crate::support::s3::S3;
use crate::support::server::{Server, Site};

const OFFLINE: [(&str, &str); 2] = [
    ("FERRY_SERVE_DOWNLOADS", "offline"),
    ("FERRY_SERVE_OFFLINE_INDEX", "held"),
];

fn site() -> Site {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"one");
    site.publish("foo", "2.0.0", b"two");
    site
}

/// Returns how many versions are listed.
fn listed(server: &Server) -> usize {
    let got = server.entry("foo");
    match got.status {
        200 => got.text().lines().count(),
        _ => 0,
    }
}

#[test]
fn what_comes_or_goes_shows_at_once_and_no_date_hides_it() {
    let site = site();
    assert!(
        site.run(&["prefetch", "--crate", "foo@1.0.0"])
            .status
            .success()
    );
    let server = site.serve(&OFFLINE);
    assert_eq!(listed(&server), 1);
    let mut dates = Vec::new();
    let mut before = server.entry("foo").header("etag").unwrap().to_owned();
    for (arguments, number) in [
        (["prefetch", "--crate", "foo@2.0.0"].as_slice(), 2),
        (["cache", "evict", "foo@1.0.0"].as_slice(), 1),
        (["cache", "evict", "foo@2.0.0"].as_slice(), 0),
        (["prefetch", "--crate", "foo@1.0.0"].as_slice(), 1),
    ] {
        let done = site.run(arguments);
        assert!(done.status.success(), "{done:?}");
        server.wait_for("listed", || listed(&server) == number);
        if number > 0 {
            let got = server.entry("foo");
            dates.push(got.header("last-modified").unwrap().to_owned());
            let tag = got.header("etag").unwrap();
            // Who has what was listed before has not what is listed now.
            for (known, status) in [(tag, 304), (before.as_str(), 200)] {
                let asked = [("if-none-match", known)];
                let again = server.get_with("/index/3/f/foo", &asked);
                assert_eq!(again.status, status, "{number} listed");
            }
            before = tag.to_owned();
        }
    }
    let all = dates.len();
    dates.sort();
    dates.dedup();
    assert_eq!(dates.len(), all);
}

/// Returns name and version of each crate that a search finds.
fn found(server: &Server, text: &str) -> Vec<(String, String)> {
    let got = server.get(&format!("/api/v1/crates?q={text}"));
    assert_eq!(got.status, 200, "{}", got.text());
    let got: serde_json::Value = serde_json::from_str(&got.text()).unwrap();
    let crates = got["crates"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    crates
        .map(|found| (text(&found["name"]), text(&found["max_version"])))
        .collect()
}

#[test]
fn searches_and_pages_show_the_versions_that_the_index_lists() {
    let mut site = site();
    site.publish("bar", "1.0.0", b"a bar");
    let run = |arguments: &[&str]| {
        let done = site.run(arguments);
        assert!(done.status.success(), "{done:?}");
    };
    run(&["prefetch", "--crate", "foo@1.0.0"]);
    let server = site.serve(&OFFLINE);
    let of = |name: &str, version: &str| vec![(name.to_owned(), version.to_owned())];
    let wait_for_catalog = |server: &Server| {
        server.wait_for("made", || server.get("/api/v1/crates?q=foo").status == 200);
    };
    wait_for_catalog(&server);
    assert_eq!(found(&server, "foo"), of("foo", "1.0.0"));
    assert_eq!(found(&server, "bar"), []);
    let page = server.get("/crates/foo").text();
    assert!(page.contains("1.0.0") && !page.contains("2.0.0"), "{page}");
    for (path, status) in [
        ("/api/v1/crates/foo/1.0.0", 200),
        ("/api/v1/crates/foo/2.0.0", 404),
        ("/crates/foo/2.0.0", 404),
        ("/api/v1/crates/bar", 404),
        ("/crates/bar", 404),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    run(&["prefetch", "--crate", "foo@2.0.0", "--crate", "bar"]);
    server.wait_for("more", || found(&server, "foo") == of("foo", "2.0.0"));
    server.wait_for("another", || found(&server, "bar") == of("bar", "1.0.0"));
    run(&["cache", "evict", "foo@2.0.0", "bar@1.0.0"]);
    server.wait_for("less", || found(&server, "foo") == of("foo", "1.0.0"));
    server.wait_for("fewer", || found(&server, "bar").is_empty());
    // One that has nothing says so, and not that it is still looking.
    run(&["cache", "evict", "foo@1.0.0"]);
    server.wait_for("nothing", || found(&server, "foo").is_empty());
    // And one that lists everything again has all of it.
    drop(server);
    let server = site.serve(&[]);
    wait_for_catalog(&server);
    server.wait_for("all", || found(&server, "").len() == 2);
    assert_eq!(found(&server, "foo"), of("foo", "2.0.0"));
}

#[test]
fn a_file_that_turns_out_damaged_is_listed_no_longer() {
    let site = site();
    assert!(site.run(&["prefetch", "--all"]).status.success());
    let server = site.serve(&OFFLINE);
    assert_eq!(listed(&server), 2);
    std::fs::write(site.kept("foo", "1.0.0"), "rotten").unwrap();
    assert_eq!(server.download("foo", "1.0.0").status, 404);
    // At once: a minute later the folder is listed anyway.
    assert_eq!(server.metric("crates_ferry_store_files"), 1.0);
    server.wait_for("dropped", || listed(&server) == 1);
    assert_eq!(server.download("foo", "2.0.0").status, 200);
}

#[test]
fn a_store_that_cannot_be_listed_makes_no_empty_index() {
    let site = site();
    let folder = site.folder.path().join("s3");
    let s3 = S3::start(&folder);
    let (address, mut variables) = (s3.address(), site.variables_and(&OFFLINE));
    variables.extend(s3.variables());
    let mut filling = crate::support::server::command(&variables);
    assert!(
        filling
            .args(["prefetch", "--all"])
            .status()
            .unwrap()
            .success()
    );
    drop(s3);
    let server = Server::start(&variables);
    // The first answers come before anybody asked the bucket.
    let told = "cannot list the crate files in the store";
    server.wait_for("told", || server.log().contains(told));
    let got = server.entry("foo");
    assert_eq!(got.status, 503);
    assert!(got.detail().contains("cannot be listed"), "{}", got.text());
    assert_eq!(server.get("/readyz").status, 503);
    let _s3 = S3::start_at(&folder, address);
    server.wait_until_ready();
    assert_eq!(listed(&server), 2);
}
