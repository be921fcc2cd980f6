//! Mails a person when a sync fails, when one needs attention although it succeeded, when the mirror works again, and when a server
//! finds that upstream took back what was fetched from it.
//!
//! ```text
//! notice (pure): what is told, and when ─┐
//! smtp: how a mail is sent ──────────────┴→ after_sync, alarm, of_server: the use cases
//! ```

mod after_sync;
mod alarm;
mod command_line;
mod email;
mod history_file;
mod mirror_status;
pub mod notice;
#[cfg(feature = "server")]
mod of_server;
pub mod smtp;

pub use after_sync::{after_sync, test};
pub use alarm::{About, alarm};
pub use email::line;
#[cfg(feature = "server")]
pub use of_server::of_server;
