#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::server::store::{Removed, StoredFile};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    (folder, path)
}

fn file(path: &str, size: u64, modified: u64) -> StoredFile {
    StoredFile {
        path: path.to_owned(),
        size,
        modified: UNIX_EPOCH + Duration::from_secs(modified),
    }
}

const SUM: Checksum = Checksum::from_bytes([7; 32]);

fn paths(entries: &[CatalogEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.path.as_str()).collect()
}

#[test]
fn an_older_catalog_is_migrated_and_can_be_read_without_that() {
    let (_folder, path) = folder();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, checksum BLOB,
             used INTEGER NOT NULL, pinned INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
         INSERT INTO files VALUES ('a', 10, NULL, 5, 1), ('b', 20, NULL, 6, 0);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let before = fs::read(&path).unwrap();
    let look = Catalog::read_only(&path).unwrap();
    let looked = look.entries().unwrap();
    drop(look);
    assert!(fs::read(&path).unwrap() == before);
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.entries().unwrap(), looked);
    assert_eq!(catalog.total().unwrap(), (2, 30));
    assert!(looked[0].is_pinned && looked[0].used == 5);
    drop(catalog);
    assert_eq!(Catalog::open(&path).unwrap().total().unwrap(), (2, 30));
}

#[test]
fn the_totals_and_the_version_follow_what_any_process_does() {
    let (_folder, path) = folder();
    let (one, other) = (Catalog::open(&path).unwrap(), Catalog::open(&path).unwrap());
    let mut seen = vec![other.version().unwrap()];
    let mut is_new = |is_wanted: bool| {
        let version = other.version().unwrap();
        assert_eq!(!seen.contains(&version), is_wanted);
        seen.push(version);
    };
    one.add(&file("a", 10, 1), SUM).unwrap();
    is_new(true);
    one.add(&file("a", 15, 2), SUM).unwrap();
    is_new(false);
    assert_eq!(other.total().unwrap(), (1, 15));
    one.reconcile_with(vec![file("a", 15, 2), file("b", 1, 1)], |_| true)
        .unwrap();
    is_new(true);
    one.touch("b".to_owned());
    one.flush().unwrap();
    assert!(!one.pin("b").unwrap() && one.pin("b").unwrap());
    is_new(false);
    assert_eq!(other.total().unwrap(), (2, 16));
    one.remove("b").unwrap();
    is_new(true);
    one.remove("a").unwrap();
    is_new(true);
    assert_eq!(other.total().unwrap(), (0, 0));
    assert_eq!(other.paths().unwrap(), [].into());
}

#[test]
fn a_pin_outlives_its_file() {
    let (_folder, path) = folder();
    let catalog = Catalog::open(&path).unwrap();
    assert!(!catalog.pin("a").unwrap());
    assert_eq!(catalog.entries().unwrap(), []);
    catalog.add(&file("a", 10, 1), SUM).unwrap();
    assert!(catalog.entries().unwrap()[0].is_pinned);
    catalog.reconcile_with(vec![], |_| false).unwrap();
    assert_eq!(catalog.total().unwrap(), (0, 0));
    assert_eq!(catalog.checksum("a").unwrap(), None);
    assert_eq!(paths(&catalog.pinned_missing().unwrap()), ["a"]);
    catalog
        .reconcile_with(vec![file("a", 10, 1)], |_| true)
        .unwrap();
    assert!(catalog.entries().unwrap()[0].is_pinned);
    catalog.remove("a").unwrap();
    catalog.unpin("a").unwrap();
    assert_eq!(catalog.pinned_missing().unwrap(), []);
}

#[test]
fn a_new_file_counts_as_used_now_and_a_changed_one_loses_its_checksum() {
    let (_folder, path) = folder();
    let catalog = Catalog::open(&path).unwrap();
    let before = now();
    catalog.add(&file("same", 10, 1), SUM).unwrap();
    catalog.add(&file("shorter", 10, 1), SUM).unwrap();
    catalog.add(&file("later", 10, 1), SUM).unwrap();
    let files = vec![
        file("came", 10, 1),
        file("later", 10, 2),
        file("same", 10, 1),
        file("shorter", 9, 1),
        file("went", 1, 1),
    ];
    catalog
        .reconcile_with(files, |path| path != "went")
        .unwrap();
    let entries = catalog.entries().unwrap();
    assert_eq!(paths(&entries), ["came", "later", "same", "shorter"]);
    assert!(entries.iter().all(|entry| entry.used >= before));
    let known: Vec<_> = entries.iter().map(|entry| entry.checksum).collect();
    assert_eq!(known, [None, None, Some(SUM), None]);
}

#[test]
fn many_files_are_reconciled() {
    let (_folder, path) = folder();
    let catalog = Catalog::open(&path).unwrap();
    let all = |step| {
        (0..5_000u64)
            .step_by(step)
            .map(|number| file(&number.to_string(), 1, 1))
    };
    catalog.reconcile_with(all(1).collect(), |_| true).unwrap();
    assert_eq!(catalog.total().unwrap(), (5_000, 5_000));
    catalog.reconcile_with(all(3).collect(), |_| false).unwrap();
    assert_eq!(catalog.total().unwrap(), (1_667, 1_667));
}

#[test]
fn what_was_used_or_pinned_since_it_was_chosen_stays() {
    let (_folder, path) = folder();
    let catalog = Catalog::open(&path).unwrap();
    for path in ["a", "b", "c", "d"] {
        catalog.add(&file(path, 10, 1), SUM).unwrap();
    }
    let limits = Limits {
        size: Some(0),
        idle: None,
    };
    let chosen = catalog.candidates(limits, &Position::default(), 0).unwrap();
    assert_eq!(paths(&chosen), ["a", "b", "c", "d"]);
    catalog.pin("b").unwrap();
    catalog.uses().insert("c".to_owned(), chosen[2].used + 1);
    let evict = |entry: &CatalogEntry, end: io::Result<Removed>| {
        let end = std::cell::Cell::new(Some(end));
        let remove = || end.take().unwrap();
        catalog
            .evict(&entry.path, Some(entry.used), remove)
            .unwrap()
    };
    assert!(matches!(
        evict(&chosen[0], Ok(Removed::Gone)),
        Some(Ok(Removed::Gone))
    ));
    assert!(evict(&chosen[1], Ok(Removed::Gone)).is_none());
    assert!(evict(&chosen[2], Ok(Removed::Gone)).is_none());
    assert!(evict(&chosen[3], Err(io::Error::other("no"))).is_some_and(|end| end.is_err()));
    let mut at = Position::default();
    at.pass(&chosen);
    assert_eq!(catalog.candidates(limits, &at, 0).unwrap(), []);
    assert_eq!(paths(&catalog.entries().unwrap()), ["b", "c", "d"]);
}

#[test]
fn uses_that_cannot_be_written_stay_in_memory() {
    let (_folder, path) = folder();
    let catalog = Catalog::open(&path).unwrap();
    let refuse = |database: &mut Connection| database.pragma_update(None, "query_only", true);
    catalog.run(refuse).unwrap();
    catalog.touch("a".to_owned());
    assert!(catalog.flush().is_err());
    assert!(catalog.unwritten_use("a").is_some());
}

#[test]
fn a_catalog_that_is_damaged_anywhere_is_recreated_by_all_who_have_it_open() {
    let (folder, path) = folder();
    let catalog = Catalog::open(&path).unwrap();
    let files = |number: u64| (0..number).map(|number| file(&format!("{number:0200}"), 1, 1));
    catalog
        .reconcile_with(files(2_000).collect(), |_| true)
        .unwrap();
    drop(catalog);
    let whole = fs::read(&path).unwrap();
    for from in [0, 100, 4096, 40_960] {
        let mut bytes = whole.clone();
        bytes[from..].fill(0x55);
        fs::write(&path, bytes).unwrap();
        let look = Catalog::read_only(&path).unwrap();
        let _ = look.entries().unwrap();
        assert!(look.take_is_new(), "{from}");
        drop(look);
        let (one, other) = (Catalog::open(&path).unwrap(), Catalog::open(&path).unwrap());
        one.reconcile_with(files(10).collect(), |_| true).unwrap();
        assert!(one.take_is_new() && !one.take_is_new(), "{from}");
        assert_eq!(other.entries().unwrap().len(), 10, "{from}");
        other.add(&file("a", 1, 1), SUM).unwrap();
        assert_eq!(one.total().unwrap(), (11, 11), "{from}");
        drop((one, other));
        assert_eq!(
            Catalog::open(&path).unwrap().total().unwrap(),
            (11, 11),
            "{from}"
        );
        assert!(folder.path().join("catalog.damaged").is_file());
    }
}

#[test]
fn a_catalog_that_cannot_be_recreated_is_once_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    fs::create_dir(&data).unwrap();
    let catalog = Catalog::open(&data.join("catalog.sqlite")).unwrap();
    catalog.add(&file("a", 10, 1), SUM).unwrap();
    // Without its folder nothing can be opened, as on a full disk.
    fs::rename(&data, &away).unwrap();
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let damaged = catalog
        .run(|_| -> rusqlite::Result<()> { Err(rusqlite::Error::SqliteFailure(corrupt, None)) });
    assert!(damaged.is_err() && catalog.total().is_err());
    fs::rename(&away, &data).unwrap();
    assert_eq!(catalog.total().unwrap(), (1, 10));
    assert!(catalog.take_is_new());
}

thread_local! {
    static CATALOG: RefCell<Option<Arc<Catalog>>> = const { RefCell::new(None) };
    static SEEN: Cell<Option<u64>> = const { Cell::new(None) };
}

#[test]
fn a_use_that_is_being_written_is_still_in_memory() {
    let (_folder, path) = folder();
    let catalog = Arc::new(Catalog::open(&path).unwrap());
    catalog.add(&file("a", 10, 1), SUM).unwrap();
    CATALOG.set(Some(Arc::clone(&catalog)));
    // Called while the write waits for the other one; gives up.
    let look = |_| {
        SEEN.set(CATALOG.with_borrow(|catalog| catalog.as_ref()?.unwritten_use("a")));
        false
    };
    catalog
        .run(|database| database.busy_handler(Some(look)))
        .unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    catalog.touch("a".to_owned());
    assert!(catalog.flush().is_err());
    assert!(SEEN.get().is_some());
    drop(other);
    catalog.flush().unwrap();
    assert!(catalog.unwritten_use("a").is_none());
}

#[test]
fn only_what_nothing_else_tells_waits_for_the_disk() {
    let (_folder, path) = folder();
    let catalog = Catalog::open(&path).unwrap();
    let level = |database: &mut Connection| {
        database.pragma_query_value(None, "synchronous", |row| row.get::<_, u8>(0))
    };
    assert_eq!(catalog.run(|it| schema::durably(it, level)).unwrap(), 2);
    assert_eq!(catalog.run(level).unwrap(), 1);
}
