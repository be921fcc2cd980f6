//! The work that a foreign pack may cause: what it may inflate to is in proportion to its bytes, and it can be ended.
//!
//! gix-pack bounds each object, but not all of them together. It has many in memory at a time where deltas branch out, so
//! that a pack of some kilobytes could still fill the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gix_object::{Data, Find};
use gix_pack::index::write::ProgressId;
use gix_utils::progress::{Count, Id, MessageLevel, NestedProgress, Step, StepShared, Unit};

/// The most memory for one object, in bytes. The largest files of the index have some MB. gix-pack bounds by the same
/// number what it notes of all objects of a pack, which allows for a million.
pub const OBJECT_LIMIT: usize = 64 << 20;
/// The time between two looks at a pack's work, in which little is inflated: gix-pack counts, and calls nobody.
pub const LOOK: Duration = Duration::from_millis(10);

/// How many bytes every pack may inflate to.
const ALWAYS: u64 = 256 << 20;
/// How many bytes a byte of the pack may inflate to beyond that. The whole index has a ratio of some 30: its objects
/// count twice, as they are read and as their deltas are applied.
const PER_BYTE_RECEIVED: u64 = 100;
/// How many bytes a byte of the copy may inflate to, to which a thin pack refers: a few bytes replace a line of a file.
const PER_BYTE_OF_BASES: u64 = 8;

/// The work of indexing one pack, for all who hold a clone.
#[derive(Debug, Clone, Default)]
pub struct Work(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    interrupted: AtomicBool,
    is_too_much: AtomicBool,
    received: AtomicU64,
    bases: AtomicU64,
    /// A number that gix-pack counts up.
    inflated: StepShared,
}

impl Work {
    /// Returns the flag that ends the work, for gix-pack.
    pub fn interrupted(&self) -> &AtomicBool {
        &self.0.interrupted
    }

    /// Notes that bytes of the pack arrived.
    pub fn received(&self, bytes: usize) {
        self.0.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Ends the work.
    pub fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::Relaxed);
    }

    /// Ends the work if it is too much by now, and says whether it is.
    pub fn end_if_too_much(&self) -> bool {
        let is_too_much = self.inflated() > self.budget();
        if is_too_much {
            self.0.is_too_much.store(true, Ordering::Relaxed);
            self.interrupt();
        }
        is_too_much
    }

    /// Returns why the work was ended, if it was too much.
    pub fn exceeded(&self) -> Option<String> {
        let received = self.0.received.load(Ordering::Relaxed);
        let inflated = self.inflated();
        let is_too_much = self.0.is_too_much.load(Ordering::Relaxed);
        is_too_much.then(|| format!("its {received} bytes inflate to {inflated} and more"))
    }

    fn inflated(&self) -> u64 {
        self.0.inflated.load(Ordering::Relaxed) as u64
    }

    fn budget(&self) -> u64 {
        let of = |number: &AtomicU64, factor| number.load(Ordering::Relaxed).saturating_mul(factor);
        ALWAYS
            .saturating_add(of(&self.0.received, PER_BYTE_RECEIVED))
            .saturating_add(of(&self.0.bases, PER_BYTE_OF_BASES))
    }
}

/// Finds the bases of a thin pack, and counts their bytes.
pub struct Bases<F> {
    objects: F,
    work: Work,
}

impl<F> Bases<F> {
    /// Finds bases among these objects.
    pub fn new(objects: F, work: &Work) -> Self {
        let work = work.clone();
        Self { objects, work }
    }
}

impl<F: Find> Find for Bases<F> {
    fn try_find<'a>(
        &self,
        id: &gix_hash::oid,
        buffer: &'a mut Vec<u8>,
    ) -> gix_error::Result<Option<Data<'a>>> {
        let found = self.objects.try_find(id, buffer)?;
        let bytes = found.as_ref().map_or(0, |object| object.data.len());
        self.work.0.bases.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(found)
    }
}

/// Hands gix-pack the counter of inflated bytes; what else it tells is dropped.
pub struct Progress {
    inflated: StepShared,
    counter: StepShared,
}

impl Progress {
    /// Counts what is inflated for this work.
    pub fn of(work: &Work) -> Self {
        Self::counting(&work.0.inflated, Arc::default())
    }

    fn counting(inflated: &StepShared, counter: StepShared) -> Self {
        let inflated = Arc::clone(inflated);
        Self { inflated, counter }
    }
}

impl NestedProgress for Progress {
    type SubProgress = Self;

    fn add_child(&mut self, _name: impl Into<String>) -> Self {
        Self::counting(&self.inflated, Arc::default())
    }

    fn add_child_with_id(&mut self, name: impl Into<String>, id: Id) -> Self {
        let counted = [ProgressId::DecompressedBytes, ProgressId::DecodedBytes].map(Id::from);
        match counted.contains(&id) {
            true => Self::counting(&self.inflated, Arc::clone(&self.inflated)),
            false => self.add_child(name),
        }
    }
}

impl Count for Progress {
    // A counter of the whole pack is never set back.
    fn set(&self, _step: Step) {}

    fn step(&self) -> Step {
        self.counter.load(Ordering::Relaxed)
    }

    fn inc_by(&self, step: Step) {
        self.counter.fetch_add(step, Ordering::Relaxed);
    }

    fn counter(&self) -> StepShared {
        Arc::clone(&self.counter)
    }
}

impl gix_utils::progress::Progress for Progress {
    fn init(&mut self, _max: Option<Step>, _unit: Option<Unit>) {}

    fn set_name(&mut self, _name: String) {}

    fn name(&self) -> Option<String> {
        None
    }

    fn id(&self) -> Id {
        gix_utils::progress::UNKNOWN
    }

    fn message(&self, _level: MessageLevel, _message: String) {}
}
