//! What the web API knows from crate files that passed through: descriptions, and the README.

use std::fs::File;

use crates_ferry::index::{CrateName, CrateVersion};
use crates_ferry::server::crate_archive::CrateArchive;
use serde_json::{Value, json};

use crate::support::crate_archive::crate_archive;
use crate::support::real_crates;
use crate::support::s3::S3;
use crate::support::server::{Server, Site};

const MANIFEST: &str = "[package]
name = \"Foo\"
description = \"Carries \\u001b[2J parcels.\"
keywords = [\"ferry\"]
categories = [\"network-programming\"]
license = \"MIT\"
homepage = \"https://foo.example/\"
repository = \"javascript:alert(1)\"
readme = \"docs/about.md\"
";

/// An index of a crate that says what it is, of one that says nothing, and of one that is no archive.
fn site() -> Site {
    let mut site = Site::new();
    let about = "# Foo\r\n\u{1b}]0;title\u{7}<script>alert(1)</script>\n";
    let files = [("Cargo.toml", MANIFEST), ("docs/about.md", about)];
    site.publish("Foo", "1.0.0", &crate_archive("Foo", "1.0.0", &files));
    let silent = [("Cargo.toml", "[package]\nname = \"silent\"\n")];
    site.publish(
        "silent",
        "1.0.0",
        &crate_archive("silent", "1.0.0", &silent),
    );
    let escaping = crate_archive("other", "1.0.0", &[("Cargo.toml", MANIFEST)]);
    site.publish("hostile", "1.0.0", &escaping);
    site.publish("garbage", "1.0.0", b"no archive");
    site
}

const CRATES: [&str; 4] = ["garbage", "hostile", "silent", "Foo"];

fn value(server: &Server, path: &str) -> Value {
    let got = server.get(path);
    assert_eq!(got.status, 200, "{}", got.text());
    serde_json::from_slice(&got.body).unwrap()
}

fn wait_for_catalog(server: &Server) {
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
}

/// Waits until the catalog has read what the crate says.
fn wait_for_description(server: &Server) {
    wait_for_catalog(server);
    let told = || value(server, "/api/v1/crates/foo")["crate"]["description"].clone();
    server.wait_for("the description", || !told().is_null());
}

#[test]
fn what_crate_files_say_is_known_once_they_were_downloaded() {
    let site = site();
    let server = site.serve(&[]);
    wait_for_catalog(&server);
    let readme = |name: &str| server.get(&format!("/api/v1/crates/{name}/1.0.0/readme"));
    let missing = readme("foo");
    assert_eq!(missing.status, 404);
    assert!(
        missing.detail().contains("before it is first downloaded"),
        "{}",
        missing.detail()
    );
    for name in CRATES {
        assert_eq!(server.download(name, "1.0.0").status, 200);
    }
    wait_for_description(&server);

    let told = value(&server, "/api/v1/crates/foo");
    let expected = json!({
        "name": "Foo", "description": "Carries \\u{1b}[2J parcels.", "keywords": ["ferry"], "categories": ["network-programming"],
        "homepage": "https://foo.example/", "repository": null, "documentation": null
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(told["crate"][key], *value, "{key}");
    }
    assert_eq!(told["versions"][0]["license"], "MIT");
    for text in ["parcel", "ferry"] {
        let found = value(&server, &format!("/api/v1/crates?q={text}"));
        assert_eq!(found["crates"][0]["name"], "Foo", "{text}");
    }

    let got = readme("foo");
    assert_eq!(got.status, 200);
    assert_eq!(
        got.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    let text = "# Foo\n\\u{1b}]0;title\\u{7}<script>alert(1)</script>\n";
    assert_eq!(got.text(), text);
    for (name, told) in [
        ("silent", "silent 1.0.0 has no README"),
        (
            "hostile",
            "the crate file of hostile 1.0.0 cannot be read: it has a file `other-1.0.0/Cargo.toml`",
        ),
        (
            "garbage",
            "the crate file of garbage 1.0.0 cannot be read: it cannot be unpacked",
        ),
        ("absent", "crate `absent` does not exist"),
    ] {
        let refused = readme(name);
        assert_eq!(refused.status, 404, "{name}");
        assert!(refused.detail().starts_with(told), "{}", refused.detail());
    }
    // What is wrong in a file changes what is known of its own crate at most.
    for name in ["silent", "hostile", "garbage"] {
        let told = value(&server, &format!("/api/v1/crates/{name}"));
        assert_eq!(told["crate"]["description"], Value::Null, "{name}");
    }
    assert_eq!(
        value(&server, "/api/v1/crates?q=parcels")["meta"]["total"],
        1
    );
}

#[test]
fn files_that_were_stored_before_are_read_at_the_start() {
    let site = site();
    let fetched = site.run(&["prefetch", "--crate", "Foo"]);
    assert!(fetched.status.success(), "{fetched:?}");
    let server = site.serve(&[("FERRY_SERVE_DOWNLOADS", "offline")]);
    wait_for_description(&server);
    drop(server);
    // The catalog may be removed at any time.
    std::fs::remove_file(site.data().join("crates.sqlite")).unwrap();
    let server = site.serve(&[("FERRY_SERVE_DOWNLOADS", "offline")]);
    wait_for_description(&server);
}

#[test]
fn files_in_a_bucket_are_read_at_the_start() {
    let site = site();
    let s3 = S3::start(&site.folder.path().join("s3"));
    let start = |data: &str| {
        let data = site.folder.path().join(data).display().to_string();
        let mut variables = site.variables_and(&[("FERRY_SERVE_DATA_DIR", &data)]);
        variables.extend(s3.variables());
        let server = Server::start(&variables);
        server.wait_until_ready();
        server
    };
    let one = start("one");
    assert_eq!(one.download("Foo", "1.0.0").status, 200);
    wait_for_description(&one);
    let other = start("other");
    wait_for_description(&other);
    assert_eq!(other.get("/api/v1/crates/foo/1.0.0/readme").status, 200);
    assert_eq!(site.host.requests().len(), 1);
}

#[test]
fn real_crate_files_are_read() {
    let mut described = 0;
    for fetched in real_crates::fetched() {
        let file = File::open(&fetched.path).unwrap();
        // Unoptimized, the larger ones would take minutes.
        if file.metadata().unwrap().len() > 200_000 {
            continue;
        }
        let (name, version) = (
            CrateName::new(&fetched.name),
            CrateVersion::new(&fetched.version),
        );
        let mut archive = CrateArchive::new(file, &name.unwrap(), &version.unwrap());
        let manifest = archive.manifest();
        let manifest =
            manifest.unwrap_or_else(|error| panic!("{}: {error}", fetched.path.display()));
        let readme = archive.readme().unwrap();
        if manifest.description.is_some() && manifest.license.is_some() && readme.is_some() {
            described += 1;
        }
    }
    assert!(described > 100, "{described}");
}
