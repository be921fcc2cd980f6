//! The databases of the data folder when they cannot be used: locked, read-only, without room.

use std::fs;

use rusqlite::Connection;

use crate::support::mount::{ReadOnly, Tmpfs};
use crate::support::server::{Site, printed};
use crate::support::skip::skip;

/// A command that writes the catalog of crate files.
const PIN: [&str; 3] = ["cache", "pin", "foo@1.0.0"];

/// A server's folder with both databases in it.
fn used_site() -> Site {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"foo");
    let server = site.serve(&[]);
    server.wait_for("made", || server.get("/api/v1/crates/foo").status == 200);
    assert!(server.download("foo", "1.0.0").is_whole);
    // When it is written down, too.
    server.wait_for("kept", || server.metric("crates_ferry_store_files") == 1.0);
    drop(server);
    site
}

#[test]
fn a_catalog_that_another_program_locks_is_told_as_that() {
    let site = used_site();
    let held = Connection::open(site.data().join("catalog.sqlite")).unwrap();
    held.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    let output = site.run(&PIN);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("another program keeps it locked"), "{told}");
    assert!(
        told.contains("Stop the program that has the file open"),
        "{told}"
    );
    assert_eq!(output.status.code(), Some(1), "{told}");
    drop(held);
    printed(&site.run(&PIN), 0);
}

#[test]
fn a_catalog_that_cannot_be_written_is_told_as_that() {
    let site = used_site();
    let catalog = site.data().join("catalog.sqlite");
    let Some(_file) = ReadOnly::make(&catalog) else {
        skip("no file can be mounted by this user");
        return;
    };
    let output = site.run(&PIN);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("catalog.sqlite: it cannot be written"),
        "{told}"
    );
    assert_eq!(output.status.code(), Some(2), "{told}");
}

#[test]
fn a_catalog_for_which_there_is_no_room_is_told_as_that() {
    let site = used_site();
    let kept = site.folder.path().join("kept");
    fs::rename(site.data(), &kept).unwrap();
    let Some(_disk) = Tmpfs::mount(&site.data(), "1m") else {
        skip("no tmpfs can be mounted by this user");
        return;
    };
    // All that a start needs is there but for the database and room for it.
    fs::create_dir(site.data().join("crates")).unwrap();
    for name in ["lock", "tmp"] {
        let from = kept.join(name);
        match from.is_dir() {
            true => fs::create_dir(site.data().join(name)).unwrap(),
            false if from.exists() => drop(fs::copy(from, site.data().join(name)).unwrap()),
            false => {}
        }
    }
    fs::write(site.data().join("catalog.sqlite"), b"").unwrap();
    let mut number = 0;
    while fs::write(site.data().join(format!("filler-{number}")), vec![0; 4096]).is_ok() {
        number += 1;
    }
    let output = site.run(&PIN);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("catalog.sqlite: the disk is full"), "{told}");
    assert!(told.contains("Make room on the disk"), "{told}");
    assert_eq!(output.status.code(), Some(1), "{told}");
}
