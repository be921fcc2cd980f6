//! Where a name stands in the order of names.

/// The number of a name in their order, from 0.
pub(super) type Place = u32;

/// The place of an id that no crate has, and of a name that is gone.
pub(super) const ABSENT: Place = Place::MAX;

/// Names an index of the table, of which there are fewer than 60 million.
pub(super) fn place(at: usize) -> Place {
    Place::try_from(at).unwrap_or(ABSENT)
}
