//! Which files to evict: those that were not used for too long, and the least recently used until the rest is small
//! enough.

use std::io;
use std::time::Duration;

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::rows::forget;
use super::{COLUMNS, Catalog, CatalogEntry, now};
use crate::error::Result;
use crate::server::store::Removed;

/// How many files are chosen at a time.
// A portion holds the database's lock for milliseconds, and little memory however large the store is.
const PORTION: usize = 1_000;

/// How much may be stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The most bytes that may be stored.
    pub size: Option<u64>,
    /// How long a file may go unused.
    pub idle: Option<Duration>,
}

/// How far an eviction has come, in the order of last use; a file that was passed over is not chosen again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position(u64, String);

impl Position {
    /// Continues after these files.
    pub fn pass(&mut self, entries: &[CatalogEntry]) {
        if let Some(last) = entries.last() {
            *self = Self(last.used, last.path.clone());
        }
    }
}

impl Catalog {
    /// Returns the next files to evict, the least recently used first and never a pinned one. `spared` bytes count as
    /// removed.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn candidates(
        &self,
        limits: Limits,
        after: &Position,
        spared: u64,
    ) -> Result<Vec<CatalogEntry>> {
        // Equalities, and not `present AND NOT pinned`: only so the index `by_use` serves the rows in the order of
        // uses. Goes on from a key, and not from an `OFFSET`, which would skip files where others were evicted in
        // between.
        let query = format!(
            "SELECT {COLUMNS} FROM files
             WHERE present = 1 AND pinned = 0 AND (used, path) > (?1, ?2)
             ORDER BY used, path LIMIT ?3"
        );
        self.run(|database| {
            // One transaction, so that sum and files are of one moment: if another process evicted in between, too many
            // would go.
            let moment = database.transaction()?;
            let stored: u64 = moment
                .prepare_cached("SELECT bytes FROM totals")?
                .query_row([], |row| row.get(0))?;
            let mut query = moment.prepare_cached(&query)?;
            let rows = query.query_map(params![after.0, after.1, PORTION], CatalogEntry::of)?;
            choose(rows, stored.saturating_sub(spared), limits, now())
        })
    }

    /// Removes a file with `remove` and from the catalog, unless it was pinned, or used after `used`, since it was
    /// chosen: `None` then. The transaction keeps others from pinning it in between.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn evict(
        &self,
        path: &str,
        used: Option<u64>,
        remove: impl Fn() -> io::Result<Removed>,
    ) -> Result<Option<io::Result<Removed>>> {
        let is_wanted = |last: u64| {
            used.is_some_and(|used| last.max(self.unwritten_use(path).unwrap_or(0)) > used)
        };
        self.run(|database| {
            // A deferred transaction reads first, and then cannot write if another process wrote in between: SQLite
            // returns `SQLITE_BUSY` at once, whatever the timeout is.
            let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let unpinned = "SELECT used FROM files WHERE path = ?1 AND present AND NOT pinned";
            let found = change
                .prepare_cached(unpinned)?
                .query_row([path], |row| row.get(0));
            if found.optional()?.is_none_or(is_wanted) {
                return Ok(None);
            }
            // The file first: a process that is killed here leaves a row without a file, which the next read or
            // reconciliation removes.
            let removed = remove();
            if matches!(removed, Ok(Removed::Gone | Removed::Absent)) {
                forget(&change, path)?;
            }
            change.commit()?;
            Ok(Some(removed))
        })
    }
}

/// Chooses files, the least recently used first, as long as one is idle or there is too much; reads no further.
fn choose<E>(
    entries: impl Iterator<Item = Result<CatalogEntry, E>>,
    mut stored: u64,
    limits: Limits,
    now: u64,
) -> Result<Vec<CatalogEntry>, E> {
    let mut chosen = Vec::new();
    for entry in entries {
        let entry = entry?;
        let idle = Duration::from_secs(now.saturating_sub(entry.used));
        let is_idle = limits.idle.is_some_and(|limit| idle > limit);
        let is_too_much = limits.size.is_some_and(|limit| stored > limit);
        // Those that follow were used later: none of them is idle either.
        if !is_idle && !is_too_much {
            break;
        }
        stored = stored.saturating_sub(entry.size);
        chosen.push(entry);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str, size: u64, used: u64) -> CatalogEntry {
        CatalogEntry {
            path: path.to_owned(),
            size,
            checksum: None,
            used,
            is_pinned: false,
        }
    }

    fn chosen(
        entries: &[CatalogEntry],
        size: Option<u64>,
        idle: Option<u64>,
        now: u64,
    ) -> Vec<String> {
        let idle = idle.map(Duration::from_secs);
        let stored = entries.iter().map(|entry| entry.size).sum();
        let rows = entries.iter().cloned().map(Ok::<_, Infallible>);
        let leaving = choose(rows, stored, Limits { size, idle }, now).unwrap();
        leaving.into_iter().map(|entry| entry.path).collect()
    }

    #[test]
    fn the_least_recently_used_are_evicted_until_the_rest_is_small_enough() {
        let entries = [entry("b", 10, 10), entry("c", 10, 20), entry("a", 10, 30)];
        assert_eq!(chosen(&entries, Some(30), None, 100), [""; 0]);
        assert_eq!(chosen(&entries, Some(29), None, 100), ["b"]);
        assert_eq!(chosen(&entries, Some(10), None, 100), ["b", "c"]);
        assert_eq!(chosen(&entries, Some(0), None, 100), ["b", "c", "a"]);
        assert_eq!(chosen(&entries, None, None, 100), [""; 0]);
    }

    #[test]
    fn what_was_not_used_for_too_long_is_evicted() {
        let entries = [entry("b", 1, 49), entry("a", 1, 50)];
        assert_eq!(chosen(&entries, None, Some(50), 100), ["b"]);
        assert_eq!(chosen(&entries, None, Some(50), 10), [""; 0]);
    }

    #[test]
    fn no_more_rows_are_read_than_needed() {
        let rows = [Ok(entry("a", 10, 1)), Ok(entry("b", 10, 2)), Err("read on")];
        let limits = Limits {
            size: Some(10),
            idle: None,
        };
        assert_eq!(choose(rows.into_iter(), 20, limits, 100).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn no_more_is_evicted_than_must_be(sizes in prop::collection::vec(0u64..100, 0..30), limit in 0u64..2000) {
            let entries: Vec<CatalogEntry> = sizes
                .iter()
                .enumerate()
                .map(|(number, size)| entry(&number.to_string(), *size, number as u64))
                .collect();
            let leaving = chosen(&entries, Some(limit), None, 1000);
            let all: u64 = sizes.iter().sum();
            let gone: u64 = sizes[..leaving.len()].iter().sum();
            match leaving.len() {
                0 => prop_assert!(all <= limit),
                number => prop_assert!(all - gone + sizes[number - 1] > limit),
            }
            prop_assert!(all - gone <= limit);
        }
    }
}
