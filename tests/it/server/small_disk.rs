//! A disk that is full: a small tmpfs.

use std::path::PathBuf;

use crate::support::mount::Tmpfs;
use crate::support::server::{Site, files_in, noise};
use crate::support::skip::skip;
use crate::support::upstream::Commit;

#[test]
fn a_full_disk_keeps_nothing_wrong_and_small_files_are_served_all_the_same() {
    let mut site = Site::new();
    let files = [noise(100_000, 1), noise(3_000_000, 2)];
    site.publish("foo", "0.0.0", &files[0]);
    site.publish("foo", "1.0.0", &files[1]);
    let Some(_disk) = Tmpfs::mount(&site.data(), "2m") else {
        skip("no tmpfs can be mounted by this user");
        return;
    };
    let server = site.serve(&[]);
    let filler = site.data().join("filler");
    let mut left = 1 << 22;
    while left > 0 {
        match std::fs::write(&filler, vec![0; left]) {
            Ok(()) => break,
            Err(_) => left /= 2,
        }
    }
    let fill =
        |number: usize| std::fs::write(site.data().join(format!("filler-{number}")), vec![0; 4096]);
    let mut number = 0;
    while fill(number).is_ok() {
        number += 1;
    }
    let small = server.download("foo", "0.0.0");
    assert!(small.is_whole && small.body == files[0], "{}", server.log());
    server.wait_for("told", || {
        server.log().contains("cannot store the crate file")
    });
    let large = server.download("foo", "1.0.0");
    assert!(large.status == 507 || !large.is_whole, "{}", large.status);
    assert!(
        files_in(&site.data().join("crates"))
            .iter()
            .all(|path| { std::fs::read(path).unwrap() == files[0] })
    );
    for path in files_in(&site.data()) {
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("filler")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    drop(server);
    let server = site.serve(&[("FERRY_SERVE_MEMORY", "0")]);
    for _ in 0..2 {
        let got = server.download("foo", "0.0.0");
        assert!(got.is_whole && got.body == files[0]);
    }
    server.wait_for("kept", || site.kept("foo", "0.0.0").is_file());
}

#[test]
fn an_increment_that_finds_no_room_is_no_damage_and_is_taken_once_there_is_some() {
    let mut site = Site::new();
    site.publish("first", "1.0.0", b"first");
    let Some(_disk) = Tmpfs::mount(&site.data(), "8m") else {
        skip("no tmpfs can be mounted by this user");
        return;
    };
    let server = site.serve(&[]);
    let copy = site.data().join("index.git");
    let packs = || {
        let files = files_in(&copy).into_iter();
        let packs = files.filter(|path| path.extension().is_some_and(|end| end == "pack"));
        packs.collect::<Vec<PathBuf>>()
    };
    let before = packs();
    let filler = site.data().join("filler");
    // What is left is enough for everything but the next increment.
    std::fs::write(&filler, vec![0; 7 << 20]).unwrap();
    let large = Commit::new("Make a large file").file("large", noise(3_000_000, 1));
    site.index.commit([large]);
    site.publish("second", "1.0.0", b"second");
    for number in 1..=2 {
        server.push_hook();
        server.wait_for("looked", || {
            server.metric("crates_ferry_index_refresh_failures_total") == f64::from(number)
        });
    }
    assert!(server.log().contains("No space left"), "{}", server.log());
    assert_eq!(server.entry("first").status, 200);
    assert_eq!(server.entry("second").status, 404);
    assert!(!site.data().join("index.git.new").exists());
    assert_eq!(packs(), before);
    std::fs::remove_file(filler).unwrap();
    server.push_hook();
    server.wait_for("taken", || server.entry("second").status == 200);
    let after = packs();
    assert!(after.len() == 2 && after.contains(&before[0]), "{after:?}");
}

#[test]
fn a_disk_that_is_full_at_the_start_is_told_as_that() {
    let mut site = Site::new();
    site.publish("foo", "0.0.0", b"foo");
    let Some(_disk) = Tmpfs::mount(&site.data(), "64k") else {
        skip("no tmpfs can be mounted by this user");
        return;
    };
    let mut number = 0;
    while std::fs::write(site.data().join(format!("filler-{number}")), vec![0; 4096]).is_ok() {
        number += 1;
    }
    let output = site.run(&["serve"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("Make room on the disk"), "{told}");
    assert!(!told.contains("may write"), "{told}");
    assert_eq!(output.status.code(), Some(1), "{told}");
}
