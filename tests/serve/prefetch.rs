//! `prefetch`, alone and beside a running server.

use crate::support::server::{Site, noise, printed};

fn site() -> Site {
    let mut site = Site::new();
    for (number, version) in ["1.0.0", "1.1.0", "2.0.0-rc.1"].iter().enumerate() {
        site.publish("foo", version, &noise(1000, number as u64));
        site.publish("bar", version, &noise(2000, 10 + number as u64));
    }
    site
}

fn lockfile(site: &Site, packages: &[(&str, &str, Option<String>)]) -> String {
    let mut text = "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n".to_owned();
    for (name, version, checksum) in packages {
        let source = "registry+https://github.com/rust-lang/crates.io-index";
        text += &format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n"
        );
        if let Some(checksum) = checksum {
            text += &format!("checksum = \"{checksum}\"\n");
        }
    }
    text += "\n[[package]]\nname = \"other\"\nversion = \"0.1.0\"\nsource = \"git+https://git.example/other#0000000000000000000000000000000000000000\"\n";
    let path = site.folder.path().join("Cargo.lock");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn what_a_lockfile_names_is_fetched_once_and_pinned() {
    let site = site();
    let sum = crate::support::server::sha256(&noise(1000, 0));
    let lock = lockfile(
        &site,
        &[("foo", "1.0.0", Some(sum)), ("bar", "1.1.0", None)],
    );
    let shown = printed(&site.run(&["prefetch", &lock, "--pin"]), 0);
    assert!(
        shown.starts_with("2 crate files: 2 fetched (2.93 KiB), 0 held before"),
        "{shown}"
    );
    assert!(shown.contains("left out: 1"), "{shown}");
    assert!(site.kept("foo", "1.0.0").is_file() && site.kept("bar", "1.1.0").is_file());
    let again = printed(&site.run(&["prefetch", &lock]), 0);
    assert!(again.contains("0 fetched (0 B), 2 held before"), "{again}");
    assert_eq!(site.host.requests().len(), 2);
    let listed = printed(&site.run(&["cache", "ls"]), 0);
    assert_eq!(listed.matches("pinned").count(), 2, "{listed}");
    let evicted = printed(&site.run(&["cache", "evict", "--max-size", "0"]), 0);
    assert!(evicted.starts_with("0 crate files evicted"), "{evicted}");
}

#[test]
fn what_is_missing_is_told_and_ends_with_1() {
    let site = site();
    let lock = lockfile(
        &site,
        &[
            ("foo", "1.0.0", Some("ab".repeat(32))),
            ("foo", "9.0.0", None),
            ("bar", "1.0.0", None),
        ],
    );
    let shown = printed(&site.run(&["prefetch", &lock]), 1);
    assert!(shown.contains("1 fetched"), "{shown}");
    assert!(
        shown.contains("foo 1.0.0: its checksum in the lockfile"),
        "{shown}"
    );
    assert!(
        shown.contains("foo 9.0.0: the index does not list it"),
        "{shown}"
    );
    let json = site.run(&["--format", "json", "prefetch", &lock]);
    let json: serde_json::Value = serde_json::from_str(&printed(&json, 1)).unwrap();
    assert_eq!(
        (json["wanted"].as_u64(), json["held"].as_u64()),
        (Some(3), Some(1))
    );
    assert_eq!(json["missing"].as_array().unwrap().len(), 2);
}

#[test]
fn crates_and_the_whole_index_are_fetched_by_version() {
    let site = site();
    for (arguments, number) in [
        (&["--crate", "foo"][..], 1),
        (&["--crate", "foo@2.0.0-rc.1"], 1),
        (&["--crate", "Foo", "--all"], 3),
        (&["--latest"], 2),
        (&["--all"], 6),
    ] {
        let arguments: Vec<&str> = ["prefetch"].iter().chain(arguments).copied().collect();
        let shown = printed(&site.run(&arguments), 0);
        assert!(
            shown.starts_with(&format!("{number} crate files")),
            "{arguments:?}: {shown}"
        );
    }
    assert!(site.kept("foo", "1.1.0").is_file());
    assert_eq!(site.host.requests().len(), 6);
    assert_eq!(site.run(&["prefetch"]).status.code(), Some(2));
    assert_eq!(
        site.run(&["prefetch", "no-such.lock"]).status.code(),
        Some(2)
    );
}

#[test]
fn a_server_beside_it_serves_what_was_fetched() {
    let site = site();
    let server = site.serve(&[("FERRY_SERVE_DOWNLOADS", "offline")]);
    assert_eq!(server.download("foo", "1.0.0").status, 404);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    assert_eq!(server.download("foo", "1.0.0").status, 200);
}
