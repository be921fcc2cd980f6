//! `cache`, and the eviction that the server does by itself.

use crate::support::server::{Site, noise, printed};

fn site(number: u64) -> Site {
    let mut site = Site::new();
    for version in 0..number {
        site.publish("foo", &format!("{version}.0.0"), &noise(10_000, version));
    }
    site
}

#[test]
fn what_is_kept_is_listed_summed_pinned_and_evicted() {
    let site = site(4);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    assert_eq!(printed(&site.run(&["cache", "ls"]), 0).lines().count(), 4);
    let stat = printed(&site.run(&["--format", "json", "cache", "stat"]), 0);
    let stat: serde_json::Value = serde_json::from_str(&stat).unwrap();
    assert_eq!(
        (stat["files"].as_u64(), stat["bytes"].as_u64()),
        (Some(4), Some(40_000))
    );
    let pinned = printed(&site.run(&["cache", "pin", "foo@0.0.0"]), 0);
    assert!(pinned.ends_with("1 crate files pinned"), "{pinned}");
    let evict = ["cache", "evict", "--max-size", "25000"];
    let dry: Vec<&str> = evict.iter().chain(&["--dry-run"]).copied().collect();
    let planned = printed(&site.run(&dry), 0);
    assert!(
        planned.ends_with("2 crate files would be evicted, 19.53 KiB"),
        "{planned}"
    );
    assert_eq!(printed(&site.run(&["cache", "ls"]), 0).lines().count(), 4);
    let evicted = printed(&site.run(&evict), 0);
    assert!(
        evicted.ends_with("2 crate files evicted, 19.53 KiB"),
        "{evicted}"
    );
    assert!(site.kept("foo", "0.0.0").is_file());
    let again = printed(&site.run(&evict), 0);
    assert!(again.starts_with("0 crate files evicted"), "{again}");
    drop(printed(&site.run(&["cache", "pin", "--remove", "foo"]), 0));
    let named = printed(&site.run(&["cache", "evict", "foo@0.0.0"]), 0);
    assert!(named.contains("1 crate files evicted"), "{named}");
    assert!(!site.kept("foo", "0.0.0").exists());
    assert_eq!(site.run(&["cache", "evict"]).status.code(), Some(2));
    assert_eq!(site.run(&["cache", "pin", "bar"]).status.code(), Some(2));
}

#[test]
fn damaged_files_are_found_and_removed() {
    let site = site(3);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    std::fs::write(site.kept("foo", "1.0.0"), b"wrong").unwrap();
    let dry = printed(&site.run(&["cache", "verify", "--dry-run"]), 1);
    assert!(
        dry.contains("foo 1.0.0: damaged\n2 crate files are right, 1 damaged"),
        "{dry}"
    );
    let shown = printed(&site.run(&["cache", "verify"]), 1);
    assert!(shown.contains("foo 1.0.0: damaged, removed"), "{shown}");
    assert!(!site.kept("foo", "1.0.0").exists());
    let clean = printed(&site.run(&["cache", "verify"]), 0);
    assert!(
        clean.starts_with("2 crate files are right, 0 damaged"),
        "{clean}"
    );
}

#[test]
fn the_server_keeps_within_its_size_and_the_used_ones_longest() {
    let site = site(10);
    let server = site.serve(&[
        ("FERRY_SERVE_MAX_SIZE", "50000"),
        ("FERRY_SERVE_MEMORY", "0"),
    ]);
    for version in 0..10 {
        assert_eq!(
            server.download("foo", &format!("{version}.0.0")).status,
            200
        );
    }
    server.wait_for("evicted", || {
        server.metric("crates_ferry_evicted_files_total") >= 5.0
            && server.metric("crates_ferry_store_bytes") <= 50_000.0
    });
    for version in 0..10 {
        assert_eq!(
            server.download("foo", &format!("{version}.0.0")).status,
            200
        );
    }
}

#[test]
fn files_that_came_by_other_ways_are_served_where_the_index_vouches_for_them() {
    let mut site = site(0);
    let bytes = noise(10_000, 7);
    site.publish("foo", "1.0.0", &bytes);
    std::fs::create_dir_all(site.kept("foo", "1.0.0").parent().unwrap()).unwrap();
    std::fs::write(site.kept("foo", "1.0.0"), &bytes).unwrap();
    let server = site.serve(&[("FERRY_SERVE_DOWNLOADS", "offline")]);
    assert!(server.download("foo", "1.0.0").body == bytes);
    assert_eq!(printed(&site.run(&["cache", "ls"]), 0).lines().count(), 1);
}

#[test]
fn a_bucket_and_limits_exclude_each_other() {
    let site = site(0);
    let pairs = [
        ("FERRY_SERVE_STORE", "s3://bucket/prefix"),
        ("FERRY_SERVE_MAX_SIZE", "1GB"),
    ];
    let output = site.run_with(&pairs, &["cache", "stat"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("lifecycle"),
        "{output:?}"
    );
}
