//! Mails a person when a sync fails, when one needs attention although it succeeded, and when the mirror works again.
//!
//! ```text
//! notice (pure): what is told, and when ─┐
//! smtp: how a mail is sent ──────────────┴→ after_sync, alarm: the use cases
//! ```

mod after_sync;
mod alarm;
mod command_line;
mod email;
mod history_file;
mod mirror_status;
pub mod notice;
pub mod smtp;

pub use after_sync::{after_sync, test};
pub use alarm::{About, alarm};
pub use email::line;
