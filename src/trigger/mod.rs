//! The trigger helper: fires the pipeline of the mirror when there is something to carry, on a clock, or when asked, and
//! tells a person when the mirror stops moving.
//!
//! ```text
//! clock, looks, endpoint, hooks, GitLab's answers → core (pure) → fire, look, read, tell
//! ```

mod alerts;
pub mod clock;
pub mod core;
pub mod fire;
pub mod gitlab;
pub mod pipeline_gate;
mod poller;
pub mod run;
pub mod server;
mod setup;
mod span;
mod task;
pub mod types;
pub mod watch;
pub mod watchdog;
