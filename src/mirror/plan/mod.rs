//! Plans the mirror's next tree. Pure: no I/O, no clock; the trees that it needs are named to the caller, which fetches them.
//!
//! `three_way` merges, `guard` refuses a suspicious loss, `relation` names how upstream's history relates to the mirror's, and the
//! outcome.

pub mod guard;
pub mod relation;
pub mod three_way;

pub use relation::{Outcome, Relation};
