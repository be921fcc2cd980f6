//! Which crate files pages say to be cached, where the store is a bucket that servers share.

use crate::support::crate_archive::crate_archive;
use crate::support::relay::{Fate, Relay};
use crate::support::s3::{Refuses, S3};
use crate::support::server::{Server, Site, files_in};

/// What a list says of a crate whose file is stored.
const CACHED: &str = "<span class=\"state good\">cached</span>";
/// The operation that costs a request for each thousand files.
const LIST: &str = "ListObjectsV2";

fn site() -> Site {
    let mut site = Site::new();
    for (name, version) in [("foo", "1.0.0"), ("foo", "1.1.0"), ("bar", "1.0.0")] {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n");
        let files = [("Cargo.toml", manifest.as_str()), ("README.md", "# Read\n")];
        site.publish(name, version, &crate_archive(name, version, &files));
    }
    site
}

fn serve(site: &Site, s3: &S3, data: &str, pairs: &[(&str, &str)]) -> Server {
    let server = s3.serve(site, data, pairs);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    server
}

fn folder(site: &Site) -> std::path::PathBuf {
    site.folder.path().join("s3")
}

/// Downloads a version and waits until it is in the bucket.
fn fetch(site: &Site, server: &Server, name: &str, version: &str) {
    let file = format!("/{name}-{version}.crate");
    assert_eq!(server.download(name, version).status, 200);
    server.wait_for("kept", || {
        let mut kept = files_in(&folder(site)).into_iter();
        kept.any(|path| path.display().to_string().ends_with(&file))
    });
}

fn page(server: &Server, path: &str) -> String {
    let got = server.get(path);
    assert_eq!(got.status, 200, "{}", got.text());
    got.text()
}

/// Says whether the page of a crate marks a version.
fn marks(server: &Server, name: &str, version: &str) -> bool {
    let files = format!("Files of {version},");
    page(server, &format!("/crates/{name}/versions")).contains(&files)
}

fn finds_cached(server: &Server, name: &str) -> bool {
    page(server, &format!("/search?q={name}")).contains(CACHED)
}

#[test]
fn what_a_server_stores_is_marked_by_it_at_once_and_by_the_others_when_they_list_the_bucket() {
    let site = site();
    let s3 = S3::start(&folder(&site));
    let one = serve(&site, &s3, "one", &[]);
    assert!(!marks(&one, "foo", "1.1.0") && !finds_cached(&one, "foo"));
    fetch(&site, &one, "foo", "1.1.0");
    one.wait_for("marked", || marks(&one, "foo", "1.1.0"));
    assert!(finds_cached(&one, "foo") && !finds_cached(&one, "bar"));
    assert!(!marks(&one, "foo", "1.0.0"));
    assert!(page(&one, "/crates/foo/1.1.0").contains("<h2>README</h2>"));
    let other = serve(&site, &s3, "other", &[]);
    other.wait_for("found", || finds_cached(&other, "foo"));
    assert!(marks(&other, "foo", "1.1.0") && !marks(&other, "foo", "1.0.0"));
    assert!(!marks(&other, "bar", "1.0.0") && !finds_cached(&other, "bar"));
    assert!(
        page(&other, "/crates/foo").contains("<a href=\"/crates/foo/1.1.0/src/\">its files</a>")
    );
}

#[test]
fn no_request_lists_the_bucket_and_a_crate_is_listed_once_for_many() {
    let site = site();
    let s3 = S3::start(&folder(&site));
    let first = serve(&site, &s3, "first", &[]);
    fetch(&site, &first, "foo", "1.1.0");
    drop(first);
    let server = serve(&site, &s3, "one", &[]);
    server.wait_for("found", || finds_cached(&server, "foo"));
    let (listed, read) = (s3.asked_for(LIST), s3.asked_for("GetObject"));
    for _ in 0..10 {
        assert!(finds_cached(&server, "foo"));
        assert!(marks(&server, "foo", "1.1.0"));
        page(&server, "/crates/bar");
        page(&server, "/");
    }
    // The listing of all files, made for the manifests, is not a minute old.
    assert_eq!(s3.asked_for(LIST), listed);
    assert!(s3.asked_for("GetObject") <= read + 1);
}

#[test]
fn what_was_evicted_is_not_marked_when_that_is_noticed() {
    let site = site();
    let s3 = S3::start(&folder(&site));
    let one = serve(&site, &s3, "one", &[]);
    for (name, version) in [("foo", "1.1.0"), ("bar", "1.0.0")] {
        fetch(&site, &one, name, version);
    }
    let offline = [("FERRY_SERVE_DOWNLOADS", "offline")];
    let other = serve(&site, &s3, "other", &offline);
    other.wait_for("found", || {
        finds_cached(&other, "foo") && finds_cached(&other, "bar")
    });
    // As the bucket's lifecycle rule does.
    for path in files_in(&folder(&site)) {
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(other.download("foo", "1.1.0").status, 404);
    assert!(!marks(&other, "foo", "1.1.0") && !finds_cached(&other, "foo"));
    let path = "/api/v1/crates/bar/1.0.0/download";
    assert_eq!(other.ask("HEAD", path, &[], b"").unwrap().status, 404);
    assert!(!marks(&other, "bar", "1.0.0") && !finds_cached(&other, "bar"));
    let listed = s3.asked_for(LIST);
    let third = serve(&site, &s3, "third", &[]);
    third.wait_for("listed", || s3.asked_for(LIST) > listed);
    assert!(!marks(&third, "foo", "1.1.0") && !finds_cached(&third, "bar"));
}

#[test]
fn a_bucket_that_may_not_be_listed_leaves_the_marks_of_this_server() {
    let site = site();
    let s3 = S3::start(&folder(&site));
    fetch(&site, &serve(&site, &s3, "first", &[]), "bar", "1.0.0");
    let s3 = S3::refusing(&folder(&site), Refuses::Lists);
    let server = serve(&site, &s3, "one", &[]);
    fetch(&site, &server, "foo", "1.1.0");
    server.wait_for("marked", || marks(&server, "foo", "1.1.0"));
    for _ in 0..20 {
        assert!(marks(&server, "foo", "1.1.0") && finds_cached(&server, "foo"));
        assert!(!marks(&server, "bar", "1.0.0") && !finds_cached(&server, "bar"));
    }
    // Paused for longer each time.
    assert!(s3.asked_for(LIST) < 12, "{}", s3.asked_for(LIST));
    // What is not known is looked for.
    let shown = page(&server, "/crates/bar");
    assert!(shown.contains("<h2>README</h2>"), "{shown}");
    // And is known from then on.
    assert!(marks(&server, "bar", "1.0.0"));
}

#[test]
fn the_page_of_a_crate_comes_before_a_bucket_that_hangs_is_given_up() {
    let site = site();
    // What is known since the start needs no listing.
    let s3 = S3::refusing(&folder(&site), Refuses::Lists);
    let relay = Relay::before(s3.address());
    let address = format!("http://{}", relay.address());
    let server = serve(&site, &s3, "one", &[("AWS_ENDPOINT_URL", &address)]);
    relay.set(Fate::Hang);
    let given_up = || server.log().contains("for the page of a crate: no answer");
    for path in ["/crates/foo", "/crates/bar/versions", "/search?q=foo"] {
        assert!(!page(&server, path).contains("ached</"));
    }
    assert!(!given_up(), "{}", server.log());
    server.wait_for("given up", given_up);
    page(&server, "/crates/foo");
}
