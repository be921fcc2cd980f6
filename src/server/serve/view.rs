//! What requests see of the index: the tree of a commit, on a server that lists stored versions only, which those are, and
//! what the policy decides of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;

use crate::error::Result;
use crate::git::ObjectId;
use crate::index::{CrateName, entry};
use crate::server::decisions::{DecidedFile, Decisions, stamp};
use crate::server::index_copy::Snapshot;

/// The paths of the crate files in the store.
pub(super) type StoredFiles = HashSet<String>;

/// A snapshot of the index, and what its responses say of it.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    /// What the store holds, if the index lists only stored versions.
    pub(super) stored: Option<Arc<StoredFiles>>,
    /// What the policy decides, where there is one.
    pub(super) decisions: Option<Arc<Decisions>>,
    /// Counts the changes of `stored`: index files that were prepared for another generation are stale.
    pub(super) generation: u64,
    /// Later than that of every view before it, in whole seconds: HTTP dates have no fractions.
    pub(super) modified: SystemTime,
    /// The same, as `Last-Modified`.
    pub(super) last_modified: HeaderValue,
}

impl View {
    /// Makes the view that comes after another one, at this time; `None` if nothing changed.
    pub(super) fn after(
        before: Option<&Self>,
        snapshot: Arc<Snapshot>,
        stored: Option<Arc<StoredFiles>>,
        decisions: Option<Arc<Decisions>>,
        now: SystemTime,
    ) -> Option<Self> {
        let is_same_stored = before.is_none_or(|before| before.stored == stored);
        if let Some(before) = before
            && Arc::ptr_eq(&before.snapshot, &snapshot)
            && before.decisions.as_ref().map(Arc::as_ptr) == decisions.as_ref().map(Arc::as_ptr)
            && is_same_stored
        {
            return None;
        }
        let changed = match (&stored, &decisions) {
            (None, None) => committed(snapshot.seconds(), now),
            // Files come and go, and holds end, without a commit.
            _ => now,
        };
        let least = before.map(|before| before.modified + Duration::from_secs(1));
        let modified = least.map_or(changed, |least| least.max(changed));
        let date = httpdate::fmt_http_date(modified);
        let generation = before.map_or(0, |before| before.generation);
        Some(Self {
            snapshot,
            stored,
            decisions,
            generation: generation + u64::from(!is_same_stored),
            modified,
            last_modified: HeaderValue::from_str(&date)
                .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT")),
        })
    }
}

/// A crate of which something is listed.
pub(super) struct ListedCrate {
    /// Its name, in lower case.
    pub(super) name: CrateName,
    /// Its file in the index.
    pub(super) blob: ObjectId,
    /// Changes with what is listed of that file.
    pub(super) stamp: ObjectId,
}

impl View {
    /// Reads what is listed of a crate: its file in the index, or the lines of the versions that are stored, as the policy
    /// shows them.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub(super) fn content(&self, id: ObjectId) -> Result<Vec<u8>> {
        let mut content = match &self.decisions {
            Some(decisions) => decisions.content(id, &self.snapshot)?,
            None => self.snapshot.content(id)?,
        };
        if let Some(stored) = &self.stored {
            content = entry::only(&content, |file| stored.contains(&file.path()));
        }
        let decided = self.decided(id).map(|decided| &decided.outcome);
        if let Some(outcome) = decided.filter(|outcome| !outcome.is_plain()) {
            content = outcome.apply(&content);
        }
        Ok(content)
    }

    /// Finds a crate's file, by its path.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub(super) fn file(&self, path: &str) -> Result<Option<ObjectId>> {
        let found = self.snapshot.file(path)?;
        Ok(found.or_else(|| self.released_file(path)))
    }

    /// Finds a crate's file as [`View::file`] does, but reads nothing: `None` if the disk has to be read.
    pub(super) fn file_in_memory(&self, path: &str) -> Option<Option<ObjectId>> {
        let found = self.snapshot.file_in_memory(path)?;
        Some(found.or_else(|| self.released_file(path)))
    }

    fn released_file(&self, path: &str) -> Option<ObjectId> {
        self.decisions.as_ref()?.released_file(path)
    }

    /// Returns what the policy decides of a file, if it changes it, or will.
    pub(super) fn decided(&self, id: ObjectId) -> Option<&Arc<DecidedFile>> {
        self.decisions.as_ref()?.of_file(id)
    }

    /// Returns the id of a file as the policy shows it: its own where nothing in it is held or denied.
    pub(super) fn shown(&self, id: ObjectId) -> ObjectId {
        self.decided(id).map_or(id, |decided| decided.shown)
    }

    /// Returns the crates of which something is listed; `None` where each file of the index is listed as it is.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub(super) fn listed_crates(&self) -> Result<Option<Vec<ListedCrate>>> {
        if let Some(stored) = &self.stored {
            return self.stored_crates(stored).map(Some);
        }
        if self.decisions.is_none() {
            return Ok(None);
        }
        let all = self.snapshot.crate_files()?.into_iter();
        let released = self
            .decisions
            .iter()
            .flat_map(|decisions| decisions.released_files());
        let listed = all.chain(released).map(|(name, blob)| ListedCrate {
            name,
            blob,
            stamp: self.shown(blob),
        });
        Ok(Some(listed.collect()))
    }

    /// Returns the crates of which any file is in the store.
    fn stored_crates(&self, stored: &StoredFiles) -> Result<Vec<ListedCrate>> {
        let mut by_crate: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (path, file) in stored.iter().filter_map(|path| path.rsplit_once('/')) {
            by_crate.entry(path).or_default().insert(file);
        }
        let mut crates = Vec::new();
        for (path, files) in by_crate {
            let name = path.rsplit('/').next().unwrap_or(path);
            if let (Ok(name), Some(blob)) = (CrateName::new(name), self.file(path)?) {
                let stamp = stamp(self.shown(blob), files);
                crates.push(ListedCrate { name, blob, stamp });
            }
        }
        Ok(crates)
    }
}

/// Returns the time of a commit, which may be any number; one that is still to come is now.
fn committed(seconds: i64, now: SystemTime) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let committed = UNIX_EPOCH.checked_add(seconds);
    committed.map_or(now, |committed| committed.min(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_of_any_time_has_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (seconds, at) in [
            (i64::MIN, 0),
            (-1, 0),
            (1_700_000_000, 1_700_000_000),
            (1_800_000_001, 1_800_000_000),
            (253_402_300_800, 1_800_000_000),
            (i64::MAX, 1_800_000_000),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(at);
            assert_eq!(committed(seconds, now), at, "{seconds}");
        }
    }
}
