//! Plans the mirror's next commit: pure, from ids and the few trees that are asked for.

pub mod guard;
pub mod keep;
pub mod relation;
pub mod three_way;

pub use keep::Keep;
pub use relation::{Outcome, Relation};
