//! What the policy decides of all crates of an index at one time. Only those files are kept of which it changes something, now
//! or some day: a few thousand, of an index of any size.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use semver::Version;

use crate::config::Rule;
use crate::error::Result;
use crate::git::ObjectId;
use crate::index::{Checksum, CrateName, entry, folded};
use crate::policy::{Decided, Outcome, Policy, Seen, Span};
use crate::server::index_copy::Snapshot;

/// How many threads read the whole index.
const READERS: usize = 2;

/// What a policy decides of the crates of an index.
#[derive(Debug)]
pub struct Decisions {
    /// By the names of the crates, in lower case.
    crates: DecidedCrates,
    /// The versions that upstream took back and of which the index has no line, by the same names.
    gone: BTreeMap<String, Vec<Gone>>,
    /// The same crates, by their files in the index.
    files: HashMap<ObjectId, Arc<DecidedFile>>,
    /// When all of them are the same, with all else equal.
    span: Span,
    /// What was seen of the index when it was decided.
    seen: Arc<Seen>,
    /// By which policy.
    policy: Arc<Policy>,
}

/// A version that upstream took back, and of which the index has no line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its number.
    pub version: String,
    /// The checksum of its crate file.
    pub checksum: Checksum,
    /// Since when it is denied, and why.
    pub decided: Decided,
}

/// What a policy decides of a crate's file.
#[derive(Debug)]
pub struct DecidedFile {
    /// What it decides of the versions.
    pub outcome: Outcome,
    /// An id of the file as it is shown, which changes with what is decided.
    pub shown: ObjectId,
    /// Whether the index has no such file: all its lines are of versions that are released though upstream took them back.
    pub is_gone: bool,
    /// The crate.
    name: CrateName,
    /// When it was decided: what was released then is in the file.
    at: Timestamp,
}

/// Crates by their names in lower case: their files in the index, and what is decided of them.
type DecidedCrates = BTreeMap<String, (ObjectId, Arc<DecidedFile>)>;

/// A crate's file in the index; `None` where there is none any more.
type IndexFile = (CrateName, Option<ObjectId>);

/// What was decided of some files.
struct DecidedFiles {
    /// Those that are kept.
    kept: Vec<(String, (ObjectId, Arc<DecidedFile>))>,
    /// The versions that upstream took back and of which the index has no line, by crate.
    gone: Vec<(String, Vec<Gone>)>,
    /// When all of it is the same.
    span: Span,
}

impl Decisions {
    /// Decides on all crates of an index.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn of(
        policy: &Arc<Policy>,
        seen: Arc<Seen>,
        index: &Snapshot,
        now: Timestamp,
    ) -> Result<Self> {
        let known = &*seen;
        let files = index.crate_files()?.into_iter();
        let mut files: Vec<_> = files.map(|(name, blob)| (name, Some(blob))).collect();
        // All that is released was withdrawn.
        for name in seen.with_withdrawals() {
            if let Ok(name) = CrateName::new(name)
                && index.file(&name.index_path())?.is_none()
            {
                files.push((name, None));
            }
        }
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
        let (mut crates, mut gone, mut span) = (BTreeMap::new(), BTreeMap::new(), Span::ALWAYS);
        for part in parts {
            let part = part?;
            crates.extend(part.kept);
            gone.extend(part.gone);
            span.meet(part.span);
        }
        Ok(Self::new((crates, gone), span, seen, Arc::clone(policy)))
    }

    /// Decides again where a file has changed since `before`, more was seen of a crate, a rule about it has changed, or it is time
    /// to; `None` if nothing is to be decided.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn after(
        &self,
        policy: &Arc<Policy>,
        seen: Arc<Seen>,
        before: &Snapshot,
        index: &Snapshot,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        let rules = match Arc::ptr_eq(&self.policy, policy) {
            true => Some(Vec::new()),
            false => self.policy.changed_rules(policy),
        };
        // After a clock that jumped back, what is not kept may not be for good any more.
        let Some(rules) = rules.filter(|_| self.span.from <= now) else {
            return Self::of(policy, seen, index, now).map(Some);
        };
        let mut changes: BTreeMap<_, _> = index.changes_since(before)?.into_iter().collect();
        for name in seen.changed_since(&self.seen) {
            if let Ok(name) = CrateName::new(name) {
                let blob = index.file(&name.index_path())?;
                changes.insert(name, blob);
            }
        }
        let mut concerned = meant_by(&rules, index)?;
        if !rules.is_empty() {
            let released = self.policy.released(now).chain(policy.released(now));
            concerned.extend(released.map(|it| in_lower_case(&it.file.name)));
            let gone = self
                .crates
                .iter()
                .filter(|(_, (_, decided))| decided.is_gone);
            concerned.extend(gone.map(|(_, (_, decided))| decided.name.clone()));
            let advised = rules
                .iter()
                .flat_map(|rule| seen.advisories().named_by(rule));
            concerned.extend(advised.filter_map(|name| CrateName::new(name).ok()));
        }
        for name in concerned {
            let blob = index.file(&name.index_path())?;
            changes.insert(name, blob);
        }
        if changes.is_empty() && self.span.contains(now) && Arc::ptr_eq(&self.policy, policy) {
            return Ok(None);
        }
        let mut crates = self.crates.clone();
        let mut again = Vec::new();
        for (name, (blob, decided)) in &self.crates {
            if !decided.outcome.span().contains(now)
                && let Ok(name) = CrateName::new(name)
            {
                again.push((name, (!decided.is_gone).then_some(*blob)));
            }
        }
        for (name, blob) in changes {
            again.retain(|(other, _)| *other != name);
            again.push((name, blob));
        }
        let mut gone = self.gone.clone();
        for (name, _) in &again {
            crates.remove(&lower(name));
            gone.remove(&lower(name));
        }
        let decided = decide(policy, &seen, index, &again, now)?;
        crates.extend(decided.kept);
        gone.extend(decided.gone);
        let span = Span {
            from: self.span.from.max(decided.span.from),
            ..Span::ALWAYS
        };
        let decided = Self::new((crates, gone), span, seen, Arc::clone(policy));
        Ok(Some(decided))
    }

    fn new(
        (crates, gone): (DecidedCrates, BTreeMap<String, Vec<Gone>>),
        mut span: Span,
        seen: Arc<Seen>,
        policy: Arc<Policy>,
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
            gone,
            files,
            span,
            seen,
            policy,
        }
    }

    /// Returns the policy by which it was decided.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Returns what stands in for a crate's file of the index, where that has none any more, and something of it is released.
    pub fn released_file(&self, path: &str) -> Option<ObjectId> {
        let name = path.rsplit('/').next()?;
        let (blob, decided) = self.crates.get(name)?;
        decided.is_gone.then_some(*blob)
    }

    /// Returns how many versions are denied of which the index has no line any more.
    pub fn gone(&self) -> usize {
        self.gone.values().map(Vec::len).sum()
    }

    /// Returns those of a crate, by its name in any case, the highest first.
    pub fn gone_of(&self, name: &str) -> &[Gone] {
        let found = self.gone.get(&name.to_ascii_lowercase());
        found.map_or(&[], Vec::as_slice)
    }

    /// Returns all that stand in for files of the index so.
    pub fn released_files(&self) -> impl Iterator<Item = (CrateName, ObjectId)> {
        let gone = self.crates.values().filter(|(_, decided)| decided.is_gone);
        gone.map(|(blob, decided)| (decided.name.clone(), *blob))
    }

    /// Returns the content of a crate's file, with the lines of what is released, before anything of it is shown as yanked.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn content(&self, blob: ObjectId, index: &Snapshot) -> Result<Vec<u8>> {
        match self.files.get(&blob) {
            None => index.content(blob),
            Some(decided) => {
                let blob = (!decided.is_gone).then_some(blob);
                content(&self.policy, index, &decided.name, blob, decided.at)
            }
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

/// Returns the crates of the index that one of these rules means.
fn meant_by(rules: &[&Rule], index: &Snapshot) -> Result<Vec<CrateName>> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let mut meant = index.crates()?;
    meant.retain(|name| {
        let name = folded(name.as_str());
        rules.iter().any(|rule| rule.crates.means_crate(&name))
    });
    Ok(meant)
}

/// Reads a crate's file, with the lines of what is released.
fn content(
    policy: &Policy,
    index: &Snapshot,
    name: &CrateName,
    blob: Option<ObjectId>,
    now: Timestamp,
) -> Result<Vec<u8>> {
    let content = blob.map_or_else(|| Ok(Vec::new()), |blob| index.content(blob))?;
    Ok(policy.with_released(name.as_str(), content, now))
}

/// Decides on these files.
fn decide(
    policy: &Policy,
    seen: &Seen,
    index: &Snapshot,
    files: &[IndexFile],
    now: Timestamp,
) -> Result<DecidedFiles> {
    let (mut kept, mut gone, mut span) = (Vec::new(), Vec::new(), Span::ALWAYS);
    let released: Vec<_> = policy.released(now).collect();
    for (name, blob) in files {
        let released = released.iter();
        let released =
            released.filter(|it| it.file.name.as_str().eq_ignore_ascii_case(name.as_str()));
        let has_released = released.clone().next().is_some();
        let content = content(policy, index, name, *blob, now)?;
        let vanished = gone_from(policy, seen, name, &content);
        if !vanished.is_empty() {
            gone.push((lower(name), vanished));
        }
        if content.is_empty() && blob.is_none() {
            continue;
        }
        let outcome = policy.outcome(&content, seen, now);
        span.meet(outcome.span());
        if outcome.is_silent() && outcome.span().is_for_good() && !has_released {
            continue;
        }
        let (id, is_gone) = match blob {
            Some(blob) => (*blob, false),
            None => (stamp(NO_FILE, [lower(name)]), true),
        };
        let changes = outcome.changed();
        let changes = changes.map(|(version, decided)| format!("{version} {decided}"));
        let released = released.map(|it| format!("{} {}", it.file.version, it.line));
        let changes: Vec<_> = changes.chain(released).collect();
        let shown = match changes.is_empty() {
            true => id,
            false => stamp(id, changes),
        };
        let decided = Arc::new(DecidedFile {
            outcome,
            shown,
            is_gone,
            name: name.clone(),
            at: now,
        });
        kept.push((lower(name), (id, decided)));
    }
    Ok(DecidedFiles { kept, gone, span })
}

/// Finds the versions that upstream took back and of which a crate's file has no line, the highest first.
fn gone_from(policy: &Policy, seen: &Seen, name: &CrateName, content: &[u8]) -> Vec<Gone> {
    let of_crate = seen.of(name.as_str());
    let gone = of_crate.withdrawals().filter_map(|(version, _)| {
        if entry::line_of(content, version).is_some() {
            return None;
        }
        Some(Gone {
            version: version.to_owned(),
            checksum: of_crate.withdrawn(version)?.checksum,
            decided: policy.withdrawn(name.as_str(), version, None, seen)?,
        })
    });
    let mut gone: Vec<_> = gone.collect();
    gone.sort_by_cached_key(|gone| Reverse(Version::parse(&gone.version).ok()));
    gone
}

/// Of what the ids are made that stand in for files that the index does not have.
const NO_FILE: ObjectId = ObjectId::from_bytes([0; 20]);

fn in_lower_case(name: &CrateName) -> CrateName {
    CrateName::new(&lower(name)).unwrap_or_else(|_| name.clone())
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
