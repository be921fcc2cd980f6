//! The trigger helper: starts the mirror's pipeline when upstream moved, on a clock, or when asked, and mails a person
//! when the mirror stops moving.
//!
//! ```text
//! clock, polls, endpoint, hooks, GitLab's answers → core (pure) → fire, poll, read the pipeline, mail
//! ```

pub mod clock;
pub mod core;
pub mod fire;
pub mod gitlab;
pub mod pipeline_gate;
mod poller;
pub mod run;
pub mod server;
mod setup;
pub mod status;
pub mod watch;
pub mod watchdog;
