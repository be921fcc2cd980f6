//! `cache`: what is shown and done by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::SystemTime;

use crate::support::server::{Site, files_in, noise, printed};
use crate::support::skip::skip;

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
    assert!(pinned.ends_with("1 crate file pinned"), "{pinned}");
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
    assert!(named.contains("1 crate file evicted"), "{named}");
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
        dry.contains("foo 1.0.0: damaged\n2 crate files are intact, 1 damaged"),
        "{dry}"
    );
    let shown = printed(&site.run(&["cache", "verify"]), 1);
    assert!(shown.contains("foo 1.0.0: damaged, removed"), "{shown}");
    assert!(!site.kept("foo", "1.0.0").exists());
    let clean = printed(&site.run(&["cache", "verify"]), 0);
    assert!(
        clean.starts_with("2 crate files are intact, 0 damaged"),
        "{clean}"
    );
}

#[test]
fn a_damaged_file_that_is_being_read_is_not_called_removed() {
    let site = site(3);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    let damaged = site.kept("foo", "1.0.0");
    std::fs::write(&damaged, b"wrong").unwrap();
    let reader = std::fs::File::open(&damaged).unwrap();
    reader.lock_shared().unwrap();
    let shown = printed(&site.run(&["cache", "verify"]), 1);
    assert!(
        shown.contains("foo 1.0.0: damaged, but being read"),
        "{shown}"
    );
    assert!(damaged.exists());
    drop(reader);
    let shown = printed(&site.run(&["cache", "verify"]), 1);
    assert!(shown.contains("foo 1.0.0: damaged, removed"), "{shown}");
    assert!(!damaged.exists());
}

#[test]
fn a_file_that_the_disk_does_not_give_is_neither_absent_nor_forgotten() {
    let site = site(3);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    let stuck = site.kept("foo", "1.0.0");
    std::fs::remove_file(&stuck).unwrap();
    // A link to itself fails for root, too, as a disk does that cannot read.
    std::os::unix::fs::symlink(&stuck, &stuck).unwrap();
    let shown = printed(&site.run(&["cache", "verify"]), 1);
    assert!(shown.contains("1 cannot be read"), "{shown}");
    let listed = printed(&site.run(&["cache", "ls"]), 0);
    assert!(listed.contains("foo 1.0.0"), "{listed}");
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

fn json(output: &Output, code: i32) -> serde_json::Value {
    serde_json::from_str(&printed(output, code)).unwrap()
}

/// Returns all files of a server, what is in them, and when they were written.
fn disk(site: &Site) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let content = |path: PathBuf| {
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (path, (bytes, written))
    };
    files_in(&site.data()).into_iter().map(content).collect()
}

#[test]
fn what_only_looks_changes_nothing() {
    let site = site(4);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    drop(printed(&site.run(&["cache", "pin", "foo@3.0.0"]), 0));
    std::fs::write(site.kept("foo", "1.0.0"), b"wrong").unwrap();
    std::fs::remove_file(site.kept("foo", "2.0.0")).unwrap();
    std::fs::write(site.kept("foo", "9.0.0"), b"came by other ways").unwrap();
    std::fs::write(site.data().join("crates/.unfinished-1"), b"").unwrap();
    std::fs::write(site.data().join("tmp/.unfinished-1"), b"").unwrap();
    let before = disk(&site);
    for (arguments, code) in [
        (&["cache", "ls"][..], 0),
        (&["cache", "stat"], 0),
        (&["cache", "evict", "--max-size", "0", "--dry-run"], 0),
        (&["cache", "evict", "--max-idle", "1s", "--dry-run"], 0),
        (&["cache", "evict", "foo", "--dry-run"], 0),
        (&["cache", "pin", "foo", "--dry-run"], 0),
        (&["cache", "pin", "--remove", "foo", "--dry-run"], 0),
        (&["cache", "verify", "--dry-run"], 1),
    ] {
        drop(printed(&site.run(arguments), code));
        assert!(disk(&site) == before, "{arguments:?}");
    }
    let empty = site.folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let elsewhere = [("FERRY_SERVE_DATA_DIR", empty.to_str().unwrap())];
    let listed = site.run_with(&elsewhere, &["cache", "ls"]);
    assert!(listed.stdout.is_empty());
    let log = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert_eq!(
        (log.as_str(), listed.status.code()),
        ("no crate files are stored\n", Some(0))
    );
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
}

#[test]
fn a_dry_run_tells_what_would_be_pinned() {
    let site = site(3);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    drop(printed(&site.run(&["cache", "pin", "foo@0.0.0"]), 0));
    let pin = ["cache", "pin", "foo"];
    let dry = printed(&site.run(&[&pin[..], &["--dry-run"]].concat()), 0);
    let told = "2 crate files would be pinned; 1 is pinned already";
    assert!(dry.ends_with(told), "{dry}");
    let done = printed(&site.run(&pin), 0);
    let told = "2 crate files pinned; 1 is pinned already";
    assert!(done.ends_with(told), "{done}");
    let again = printed(&site.run(&pin), 0);
    assert_eq!(again, "0 crate files pinned; 3 are pinned already");
    let evicted = printed(&site.run(&["cache", "evict", "foo"]), 0);
    assert!(
        evicted.starts_with("0 crate files evicted, 0 B; 3 stayed, pinned"),
        "{evicted}"
    );
}

#[test]
fn who_only_looks_sees_files_that_came_by_other_ways() {
    let site = site(3);
    drop(printed(&site.run(&["prefetch", "--crate", "foo@0.0.0"]), 0));
    std::fs::write(site.kept("foo", "1.0.0"), noise(10_000, 1)).unwrap();
    std::fs::write(site.kept("foo", "2.0.0"), b"wrong").unwrap();
    let before = disk(&site);
    let look = |arguments: &[&str], code| {
        let shown = printed(&site.run(arguments), code);
        assert!(disk(&site) == before, "{arguments:?}");
        shown
    };
    assert_eq!(look(&["cache", "ls"], 0).lines().count(), 3);
    let stat = look(&["--format", "json", "cache", "stat"], 0);
    assert!(stat.contains("\"bytes\":20005"), "{stat}");
    let verified = look(&["cache", "verify", "--dry-run"], 1);
    assert!(
        verified.contains("foo 2.0.0: damaged\n2 crate files are intact, 1 damaged"),
        "{verified}"
    );
    let evict = ["cache", "evict", "--max-size", "0", "--dry-run"];
    let evicted = look(&evict, 0);
    assert!(
        evicted.ends_with("3 crate files would be evicted, 19.54 KiB"),
        "{evicted}"
    );
    let pinned = look(&["cache", "pin", "foo@2.0.0", "--dry-run"], 0);
    assert!(pinned.ends_with("1 crate file would be pinned"), "{pinned}");
}

#[test]
fn what_only_looks_leaves_what_a_killed_server_wrote_where_it_is() {
    let site = site(3);
    let server = site.serve(&[]);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    server.kill();
    // How the database's processes tell each other where they are is made anew by each first one.
    let lasting = || {
        let mut files = disk(&site);
        files.retain(|path, _| !path.ends_with("catalog.sqlite-shm"));
        files
    };
    let before = lasting();
    assert!(before.contains_key(&site.data().join("catalog.sqlite-wal")));
    assert_eq!(printed(&site.run(&["cache", "ls"]), 0).lines().count(), 3);
    assert!(lasting() == before);
}

#[test]
fn two_evictions_at_once_tell_each_file_once() {
    let site = site(60);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    let evict = ["--format", "json", "cache", "evict", "--max-size", "50000"];
    let told: u64 = thread::scope(|scope| {
        let evicting: Vec<_> = (0..4).map(|_| scope.spawn(|| site.run(&evict))).collect();
        let outputs = evicting.into_iter().map(|one| one.join().unwrap());
        let number = |output| json(&output, 0)["evicted"].as_array().unwrap().len() as u64;
        outputs.map(number).sum()
    });
    assert_eq!(files_in(&site.data().join("crates")).len(), 5);
    assert_eq!(told, 55);
    let stat = json(&site.run(&["--format", "json", "cache", "stat"]), 0);
    assert_eq!(
        (stat["files"].as_u64(), stat["bytes"].as_u64()),
        (Some(5), Some(50_000))
    );
}

#[test]
fn a_pin_outlives_a_damaged_file() {
    let site = site(2);
    drop(printed(&site.run(&["prefetch", "--all", "--pin"]), 0));
    std::fs::write(site.kept("foo", "1.0.0"), b"wrong").unwrap();
    drop(printed(&site.run(&["cache", "verify"]), 1));
    let stat = json(&site.run(&["--format", "json", "cache", "stat"]), 0);
    let number = |key: &str| stat[key].as_u64().unwrap();
    assert_eq!(
        (number("files"), number("pinned"), number("pinned_missing")),
        (1, 1, 1)
    );
    let listed = printed(&site.run(&["cache", "ls"]), 0);
    assert!(
        listed.ends_with("foo 1.0.0: pinned, but not stored"),
        "{listed}"
    );
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    let listed = printed(&site.run(&["cache", "ls"]), 0);
    assert_eq!(listed.matches("pinned").count(), 2, "{listed}");
}

/// Runs a command that may not do more than the owner of the files; `None` where that cannot be had.
fn run_restrained(site: &Site, arguments: &[&str]) -> Option<Output> {
    let is_root = std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .contains("\nUid:\t0");
    let mut command = Command::new(if is_root { "setpriv" } else { "env" });
    if is_root {
        let without = "-dac_override,-dac_read_search,-fowner";
        command.args(["--bounding-set", without, "--inh-caps", without]);
    }
    let output = command
        .arg(env!("CARGO_BIN_EXE_crates-ferry"))
        .args(arguments)
        .envs(site.variables())
        .output();
    let output = output
        .ok()
        .filter(|output| output.status.code() != Some(127));
    if output.is_none() {
        skip("setpriv is not there");
    }
    output
}

#[test]
fn a_file_that_cannot_be_removed_or_read_is_told_and_the_others_go() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut site = site(0);
    for (number, name) in ["stuck", "free", "used"].iter().enumerate() {
        site.publish(name, "1.0.0", &noise(10_000, number as u64));
        drop(printed(&site.run(&["prefetch", "--crate", name]), 0));
    }
    let allow = |path: PathBuf, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let stuck = site.kept("stuck", "1.0.0");
    site.set_used(&[("stuck", "1.0.0", 1), ("free", "1.0.0", 2)]);
    allow(stuck.parent().unwrap().to_owned(), 0o555);
    let evict = ["--format", "json", "cache", "evict", "--max-size", "20000"];
    let Some(evicted) = run_restrained(&site, &evict) else {
        return;
    };
    let evicted = json(&evicted, 1);
    assert_eq!(evicted["evicted"].as_array().unwrap().len(), 1, "{evicted}");
    assert_eq!(evicted["evicted"][0]["crate"], "free");
    let path = evicted["failed"][0]["path"].as_str().unwrap();
    assert!(path.ends_with("stuck-1.0.0.crate"), "{path}");
    assert!(stuck.is_file() && site.kept("used", "1.0.0").is_file());
    allow(stuck.parent().unwrap().to_owned(), 0o755);
    allow(stuck.clone(), 0);
    let verify = ["--format", "json", "cache", "verify"];
    let verified = json(&run_restrained(&site, &verify).unwrap(), 1);
    assert_eq!(verified["right"].as_u64(), Some(1));
    let path = verified["unreadable"][0]["path"].as_str().unwrap();
    assert!(path.ends_with("stuck-1.0.0.crate"), "{path}");
}

#[test]
fn of_two_lines_for_a_version_the_last_one_is_the_law() {
    let mut site = site(0);
    site.publish("foo", "1.0.0", &noise(10_000, 1));
    site.publish("foo", "1.0.0", &noise(10_000, 2));
    drop(printed(&site.run(&["prefetch", "--crate", "foo@1.0.0"]), 0));
    let verified = printed(&site.run(&["cache", "verify"]), 0);
    assert!(
        verified.starts_with("1 crate file is intact, 0 damaged"),
        "{verified}"
    );
    let server = site.serve(&[("FERRY_SERVE_DOWNLOADS", "offline")]);
    assert!(server.download("foo", "1.0.0").body == noise(10_000, 2));
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

#[test]
fn a_directory_that_is_not_there_is_refused_and_not_made() {
    let site = site(1);
    let commands = [
        &["cache", "ls"][..],
        &["cache", "stat"],
        &["cache", "verify"],
        &["cache", "verify", "--dry-run"],
        &["cache", "evict", "--max-size", "1"],
        &["cache", "evict", "--max-size", "1", "--dry-run"],
        &["cache", "pin", "foo"],
    ];
    let missing = site.folder.path().join("dtaa");
    let missing = missing.to_str().unwrap();
    let is_refused = |command: &[&str], key: &str, flag: &str| {
        let output = site.run(&[command, &[flag, missing]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {stderr}");
        assert!(
            stderr.contains(&format!("{flag}: {key}: ")) && stderr.contains(missing),
            "{command:?}: {stderr}"
        );
        assert!(!std::path::Path::new(missing).exists(), "{command:?}");
    };
    for command in commands {
        is_refused(command, "serve.data_dir", "--data-dir");
    }
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    for command in commands {
        is_refused(command, "serve.store", "--store");
    }
}
