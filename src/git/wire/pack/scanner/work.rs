//! The work on a pack, which is bounded as its size is.

use std::cell::Cell;

use crate::wire::{Error, Result};

/// Counts the bytes that are inflated and that deltas make.
///
/// Sizes alone bound no work: each of the deltas in a small pack may make the largest object, on a base that is made anew each
/// time because others were needed in between.
#[derive(Default)]
pub(super) struct Work {
    pub(super) whole: Cell<usize>,
    object: Cell<usize>,
}

impl Work {
    /// The most work on one pack, in bytes: ten times what the largest packs of an index take.
    const LIMIT: usize = 1024 * 1024 * 1024;
    /// The most work on one object, in bytes: a root tree at the end of a chain of 250 takes a tenth.
    const OBJECT_LIMIT: usize = 128 * 1024 * 1024;

    pub(super) fn begin_object(&self) {
        self.object.set(0);
    }

    pub(super) fn add(&self, bytes: usize) -> Result<()> {
        let counts = [
            (
                &self.whole,
                Self::LIMIT,
                "the work of reading a pack for planning, in bytes,",
            ),
            (
                &self.object,
                Self::OBJECT_LIMIT,
                "the work of reading an object of a pack, in bytes,",
            ),
        ];
        for (count, limit, what) in counts {
            count.set(count.get().saturating_add(bytes));
            if count.get() > limit {
                return Err(Error::Limit { what, limit });
            }
        }
        Ok(())
    }
}
