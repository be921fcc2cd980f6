//! What all crates of crates-ferry share: errors, progress, and how text is displayed.

pub mod count;
pub mod error;
pub mod guarded;
pub mod progress;
pub mod retry_after;
pub mod shown;
