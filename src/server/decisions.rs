//! What the policy decides of all crates of an index at one time. Only those files are kept of which it changes something, now
//! or some day: a few thousand, of an index of any size.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;

use crate::error::Result;
use crate::git::ObjectId;
use crate::index::CrateName;
use crate::policy::{Outcome, Policy, Seen, Span};
use crate::server::index_copy::Snapshot;

/// How many threads read the whole index.
const READERS: usize = 2;

/// What a policy decides of the crates of an index.
#[derive(Debug)]
pub struct Decisions {
    /// By the names of the crates, in lower case.
    crates: BTreeMap<String, (ObjectId, Arc<DecidedFile>)>,
    /// The same, by their files in the index.
    files: HashMap<ObjectId, Arc<DecidedFile>>,
    /// When all of them are the same, with all else equal.
    span: Span,
    /// What was seen of the index when it was decided.
    seen: Arc<Seen>,
}

/// What a policy decides of a crate's file.
#[derive(Debug)]
pub struct DecidedFile {
    /// What it decides of the versions.
    pub outcome: Outcome,
    /// An id of the file as it is shown, which changes with what is decided.
    pub shown: ObjectId,
}

/// A crate's file in the index.
type IndexFile = (CrateName, ObjectId);

/// What was decided of some files: of those that are kept, and when all of them are the same.
type DecidedFiles = (Vec<(String, (ObjectId, Arc<DecidedFile>))>, Span);

impl Decisions {
    /// Decides on all crates of an index.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn of(policy: &Policy, seen: Arc<Seen>, index: &Snapshot, now: Timestamp) -> Result<Self> {
        let known = &*seen;
        let files = index.crate_files()?;
        let part = files.len().div_ceil(READERS).max(1);
        let parts: Vec<Result<DecidedFiles>> = thread::scope(|scope| {
            let read = |part| move || decide(policy, known, index, part, now);
            let readers: Vec<_> = files
                .chunks(part)
                .map(|part| scope.spawn(read(part)))
                .collect();
            let joined = readers.into_iter().map(|reader| reader.join());
            // A panic of a reader is one of this thread.
            joined
                .map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let (mut crates, mut span) = (BTreeMap::new(), Span::ALWAYS);
        for part in parts {
            let (decided, of_part) = part?;
            crates.extend(decided);
            span.meet(of_part);
        }
        Ok(Self::new(crates, span, seen))
    }

    /// Decides again where a file has changed since `before`, more was seen of a crate, or it is time to; `None` if nothing is to
    /// be decided.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn after(
        &self,
        policy: &Policy,
        seen: Arc<Seen>,
        before: &Snapshot,
        index: &Snapshot,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        if now < self.span.from {
            // A clock that jumps back: what is not kept may not be for good any more.
            return Self::of(policy, seen, index, now).map(Some);
        }
        let mut changes: BTreeMap<_, _> = index.changes_since(before)?.into_iter().collect();
        for name in seen.changed_since(&self.seen) {
            if let Ok(name) = CrateName::new(name) {
                let blob = index.file(&name.index_path())?;
                changes.insert(name, blob);
            }
        }
        if changes.is_empty() && self.span.contains(now) {
            return Ok(None);
        }
        let mut crates = self.crates.clone();
        let mut again = Vec::new();
        for (name, (blob, decided)) in &self.crates {
            if !decided.outcome.span().contains(now)
                && let Ok(name) = CrateName::new(name)
            {
                again.push((name, *blob));
            }
        }
        for (name, blob) in changes {
            crates.remove(&lower(&name));
            again.retain(|(other, _)| *other != name);
            again.extend(blob.map(|blob| (name, blob)));
        }
        for (name, _) in &again {
            crates.remove(&lower(name));
        }
        let (decided, span) = decide(policy, &seen, index, &again, now)?;
        crates.extend(decided);
        let span = Span {
            from: self.span.from.max(span.from),
            ..Span::ALWAYS
        };
        Ok(Some(Self::new(crates, span, seen)))
    }

    fn new(
        crates: BTreeMap<String, (ObjectId, Arc<DecidedFile>)>,
        mut span: Span,
        seen: Arc<Seen>,
    ) -> Self {
        let files = crates.values();
        let files: HashMap<_, _> = files
            .map(|(blob, decided)| (*blob, Arc::clone(decided)))
            .collect();
        for decided in files.values() {
            span.meet(decided.outcome.span());
        }
        Self {
            crates,
            files,
            span,
            seen,
        }
    }

    /// Returns what was seen of the index when it was decided.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Returns when all that was decided is the same, with all else equal.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns what was decided of a file of the index, if that is shown otherwise, or will be.
    pub fn of_file(&self, blob: ObjectId) -> Option<&Arc<DecidedFile>> {
        self.files.get(&blob)
    }

    /// Returns what was decided of a crate, by its name in any case, if its file is shown otherwise, or will be.
    pub fn of_crate(&self, name: &str) -> Option<&Arc<DecidedFile>> {
        let found = self.crates.get(&name.to_ascii_lowercase());
        found.map(|(_, decided)| decided)
    }

    /// Returns the crates whose files are shown otherwise, or will be, by their names in lower case.
    pub fn crates(&self) -> impl Iterator<Item = (&str, &DecidedFile)> {
        let crates = self.crates.iter();
        crates.map(|(name, (_, decided))| (name.as_str(), &**decided))
    }
}

/// Decides on these files.
fn decide(
    policy: &Policy,
    seen: &Seen,
    index: &Snapshot,
    files: &[IndexFile],
    now: Timestamp,
) -> Result<DecidedFiles> {
    let (mut kept, mut span) = (Vec::new(), Span::ALWAYS);
    for (name, blob) in files {
        let outcome = policy.outcome(&index.content(*blob)?, seen, now);
        span.meet(outcome.span());
        if outcome.is_plain() && outcome.span().is_for_good() {
            continue;
        }
        let shown = match outcome.is_plain() {
            true => *blob,
            false => {
                let changed = outcome.changed();
                stamp(
                    *blob,
                    changed.map(|(version, decided)| format!("{version} {decided}")),
                )
            }
        };
        let decided = Arc::new(DecidedFile { outcome, shown });
        kept.push((lower(name), (*blob, decided)));
    }
    Ok((kept, span))
}

fn lower(name: &CrateName) -> String {
    name.as_str().to_ascii_lowercase()
}

/// Makes an id of a file and of what becomes of it.
pub fn stamp(blob: ObjectId, changes: impl IntoIterator<Item = impl AsRef<str>>) -> ObjectId {
    let mut hash = Context::new(&SHA256);
    hash.update(blob.as_bytes());
    for change in changes {
        hash.update(change.as_ref().as_bytes());
        hash.update(b"\n");
    }
    let mut id = [0; 20];
    id.copy_from_slice(&hash.finish().as_ref()[..20]);
    ObjectId::from_bytes(id)
}
