//! Makes the catalog from the index: the first time from all of it, later from the files that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use rusqlite::{Connection, TransactionBehavior};

use super::name_table::CrateId;
use super::names::Names;
use super::rows;
use crate::error::{Error, Result};
use crate::git::ObjectId;
use crate::index::CrateName;
use crate::index::release::{CrateSummary, DependencyKind};

/// How many crates are read ahead of the database.
const AHEAD: usize = 64;
/// How many dependencies of a crate count; crates.io admits a tenth of them.
const DEPENDENCIES: usize = 5_000;

/// A crate's file in the index: its name in lower case, and its blob.
pub(super) type IndexFile = (CrateName, ObjectId);

/// What differs between the catalog and the index.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The files that are new, or other than they were.
    pub(super) changed: Vec<IndexFile>,
    /// The crates whose files are gone.
    pub(super) gone: Vec<CrateId>,
}

impl Changes {
    /// Compares the catalog with the index.
    pub(super) fn between(names: &Names, index: Vec<IndexFile>) -> Self {
        let mut is_listed = vec![false; names.len()];
        let mut changed = Vec::new();
        for (name, blob) in index {
            let known = names.place_of(name.as_str());
            if let Some(place) = known {
                is_listed[place as usize] = true;
            }
            if known.is_none_or(|place| names.facts(place).blob != blob) {
                changed.push((name, blob));
            }
        }
        let listed = names.all().iter().zip(is_listed);
        let gone = listed.filter(|(_, is_listed)| !is_listed);
        let gone = gone.map(|(facts, _)| facts.id).collect();
        Self { changed, gone }
    }

    /// Finds what differs in the catalog after these files of the index have changed, or are gone.
    pub(super) fn of(names: &Names, files: Vec<(CrateName, Option<ObjectId>)>) -> Self {
        let mut changes = Self::default();
        for (name, blob) in files {
            match blob {
                Some(blob) => changes.changed.push((name, blob)),
                None => {
                    let place = names.place_of(name.as_str());
                    let id = place.map(|place| names.facts(place).id);
                    changes.gone.extend(id);
                }
            }
        }
        changes
    }

    /// Says whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }
}

/// A crate's file, read: `None` where it lists no version.
type ReadFile<'f> = (&'f IndexFile, Option<ReadCrate>);

/// What the catalog takes of a crate's file, which may be large.
struct ReadCrate {
    /// Without dependencies and features.
    summary: CrateSummary,
    /// The crates that the default version needs, in lower case.
    needs: BTreeSet<String>,
}

impl ReadCrate {
    fn read(content: &[u8]) -> Option<Self> {
        let mut summary = CrateSummary::read(content)?;
        let needs = needs(&summary);
        summary.default.dependencies = Vec::new();
        summary.default.features = BTreeMap::new();
        Some(Self { summary, needs })
    }
}

/// How an object of the index is read, by its id.
pub(super) type ReadObject<'r> = &'r (dyn Fn(ObjectId) -> Result<Vec<u8>> + Sync);

/// What may fail while the catalog is made.
#[derive(Debug)]
pub(super) enum BuildError {
    /// The index cannot be read.
    Index(Error),
    /// The database cannot be written.
    Database(rusqlite::Error),
}

impl From<Error> for BuildError {
    fn from(error: Error) -> Self {
        Self::Index(error)
    }
}

impl From<rusqlite::Error> for BuildError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Makes an empty catalog from the files of an index, and tells `progress` of each.
pub(super) fn build(
    database: &mut Connection,
    files: &[IndexFile],
    read: ReadObject<'_>,
    mut progress: impl FnMut(),
) -> Result<(), BuildError> {
    let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // All of them before the first is read: a crate may depend on one that comes later.
    let names = files.iter().map(|(name, _)| name.as_str());
    let ids: HashMap<&str, CrateId> = names.zip(1..).collect();
    read_all(files, read, |(file, found)| {
        progress();
        let Some(ReadCrate { summary, needs }) = found else {
            return Ok(());
        };
        let id = ids[file.0.as_str()];
        rows::put(&change, id, file.1, named(file, &summary.name), &summary)?;
        let known = needs.iter().filter_map(|name| ids.get(name.as_str()));
        Ok(rows::depend(&change, id, known.copied())?)
    })?;
    rows::count_dependents(&change)?;
    rows::order_by_weight(&change)?;
    Ok(change.commit()?)
}

/// Brings the catalog up to date; returns the crates whose rows changed, or are gone.
pub(super) fn update(
    database: &mut Connection,
    changes: &Changes,
    read: ReadObject<'_>,
) -> Result<BTreeSet<CrateId>, BuildError> {
    let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut touched = BTreeSet::new();
    for id in &changes.gone {
        touched.extend(rows::remove(&change, *id)?);
    }
    let mut updated = Vec::new();
    read_all(&changes.changed, read, |(file, found)| {
        let known = rows::id_of(&change, file.0.as_str())?;
        match (found, known) {
            (None, None) => {}
            (None, Some(id)) => touched.extend(rows::remove(&change, id)?),
            (Some(ReadCrate { summary, needs }), known) => {
                let id = known.map_or_else(|| rows::next_id(&change), Ok)?;
                rows::put(&change, id, file.1, named(file, &summary.name), &summary)?;
                // The words of one that was there are the same: a version changes neither its name nor what it is.
                if known.is_none() {
                    rows::index_words(&change, id)?;
                }
                updated.push((id, needs));
            }
        }
        Ok(())
    })?;
    // When all of them are there: one that is new may depend on another.
    for (id, names) in updated {
        let mut known = Vec::new();
        for name in names {
            known.extend(rows::id_of(&change, &name)?);
        }
        touched.insert(id);
        touched.extend(rows::replace_dependencies(&change, id, &known)?);
    }
    change.commit()?;
    Ok(touched)
}

/// Reads files on two threads, and calls `take` with each, in no order.
fn read_all<'f>(
    files: &'f [IndexFile],
    read: ReadObject<'_>,
    mut take: impl FnMut(ReadFile<'f>) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let next = &AtomicUsize::new(0);
    let work = |sender: SyncSender<Result<ReadFile<'f>>>| {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let content = read(file.1);
            let is_over = content.is_err();
            let read = content.map(|content| (file, ReadCrate::read(&content)));
            if sender.send(read).is_err() || is_over {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        for sender in [sender.clone(), sender] {
            scope.spawn(move || work(sender));
        }
        // A failure drops the receiver, which ends the threads.
        receiver.into_iter().try_for_each(|read| take(read?))
    })
}

/// Returns the name of a crate as its author wrote it, if a line says so: the file's name is in lower case.
fn named<'n>((name, _): &'n IndexFile, written: &'n str) -> &'n str {
    match written.eq_ignore_ascii_case(name.as_str()) {
        true => written,
        false => name.as_str(),
    }
}

/// Returns the crates that the default version needs. Those that only its tests need are left out, and those of other
/// registries.
fn needs(summary: &CrateSummary) -> BTreeSet<String> {
    let all = summary.default.dependencies.iter();
    let needed = all.filter(|dependency| dependency.kind != DependencyKind::Dev);
    let here = needed.filter(|dependency| dependency.registry.is_none());
    let named = here.filter(|dependency| CrateName::new(&dependency.package).is_ok());
    named
        .take(DEPENDENCIES)
        .map(|dependency| dependency.package.to_ascii_lowercase())
        .collect()
}
