//! The ground that all of crates-ferry stands on: what an error is, how it is told, and how progress is shown.

pub mod count;
pub mod error;
pub mod guarded;
pub mod progress;
pub mod retry_after;
pub mod shown;
