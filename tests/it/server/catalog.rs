//! What is known of the kept files, when the folder or the catalog itself is not what it was.

use std::fs::{self, File};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::support::server::{Site, files_in, noise, printed};

fn site() -> Site {
    let mut site = Site::new();
    for version in 0..3 {
        site.publish("foo", &format!("{version}.0.0"), &noise(10_000, version));
    }
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    drop(printed(&site.run(&["cache", "pin", "foo@1.0.0"]), 0));
    site.set_used(&[("foo", "0.0.0", 1_000), ("foo", "1.0.0", 2_000)]);
    site
}

#[test]
fn a_folder_that_is_not_mounted_for_a_moment_takes_nothing_with_it() {
    let site = site();
    let before = printed(&site.run(&["cache", "ls"]), 0);
    let (folder, aside) = (site.data().join("crates"), site.data().join("aside"));
    fs::rename(&folder, &aside).unwrap();
    for is_there in [false, true] {
        if is_there {
            fs::create_dir(&folder).unwrap();
        }
        let output = site.run(&["cache", "evict", "--max-idle", "1s"]);
        assert!(printed(&output, 0).starts_with("0 crate files evicted"));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("is it mounted?"), "{told}");
        assert_eq!(printed(&site.run(&["cache", "ls"]), 0), before);
    }
    fs::remove_dir(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    drop(printed(&site.run(&["cache", "verify"]), 0));
    assert_eq!(printed(&site.run(&["cache", "ls"]), 0), before);
}

#[test]
fn a_copied_store_is_not_emptied_by_the_time_of_its_files() {
    let site = site();
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in files_in(&site.data().join("crates")) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    for path in files_in(&site.data()) {
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("catalog")
        {
            fs::remove_file(path).unwrap();
        }
    }
    let evicted = printed(&site.run(&["cache", "evict", "--max-idle", "1d"]), 0);
    assert!(evicted.starts_with("0 crate files evicted"), "{evicted}");
    assert_eq!(files_in(&site.data().join("crates")).len(), 3);
}

#[test]
fn a_damaged_catalog_is_put_aside_and_the_files_are_found() {
    let site = site();
    let path = site.data().join("catalog.sqlite");
    let whole = fs::read(&path).unwrap();
    for from in [0, 4096] {
        let mut bytes = whole.clone();
        bytes[from..].fill(0x55);
        fs::write(&path, &bytes).unwrap();
        let listed = printed(&site.run(&["cache", "ls"]), 0);
        assert_eq!(listed.lines().count(), 3, "{listed}");
        assert!(fs::read(&path).unwrap() == bytes);
        let server = site.serve(&[("FERRY_SERVE_DOWNLOADS", "offline")]);
        assert_eq!(server.download("foo", "0.0.0").status, 200);
        assert_eq!(server.metric("crates_ferry_store_files"), 3.0);
        assert!(
            server.log().contains("recreating the catalog"),
            "{}",
            server.log()
        );
        assert!(site.data().join("catalog.damaged").is_file());
        drop(server);
        drop(printed(&site.run(&["cache", "pin", "foo"]), 0));
        let stat = printed(&site.run(&["cache", "stat"]), 0);
        assert!(stat.contains("crate files: 3, 3 of them pinned"), "{stat}");
    }
}

#[test]
fn a_file_that_is_gone_or_damaged_is_forgotten_when_that_shows() {
    let site = site();
    let server = site.serve(&[
        ("FERRY_SERVE_DOWNLOADS", "offline"),
        ("FERRY_SERVE_MEMORY", "0"),
        // What reads manifests would meet both before they are asked for.
        ("FERRY_SERVE_CATALOG", "off"),
    ]);
    fs::remove_file(site.kept("foo", "0.0.0")).unwrap();
    fs::write(site.kept("foo", "2.0.0"), b"wrong").unwrap();
    for (version, left) in [("0.0.0", 2.0), ("2.0.0", 1.0)] {
        assert_eq!(server.download("foo", version).status, 404);
        server.wait_for("forgotten", || {
            server.metric("crates_ferry_store_files") == left
        });
    }
}

#[test]
fn metrics_do_not_wait_for_a_process_that_holds_the_catalog() {
    let mut site = site();
    site.publish("bar", "1.0.0", &noise(10_000, 9));
    let server = site.serve(&[]);
    let files = || server.metric("crates_ferry_store_files");
    assert_eq!(files(), 3.0);
    let catalog = rusqlite::Connection::open(site.data().join("catalog.sqlite")).unwrap();
    catalog.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Its entry in the catalog waits for as long.
    assert!(server.download("bar", "1.0.0").is_whole);
    server.wait_for("stored", || site.kept("bar", "1.0.0").exists());
    let begun = Instant::now();
    assert_eq!(files(), 3.0);
    assert!(begun.elapsed() < Duration::from_secs(5));
    catalog.execute_batch("ROLLBACK").unwrap();
    server.wait_for("in the catalog", || files() == 4.0);
}
