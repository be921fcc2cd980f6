//! The trigger helper: fires the pipeline of the mirror when there is something to carry, on a clock, or when asked, and
//! tells a person when the mirror stops moving.

pub mod fire;
pub mod gate;
pub mod schedule;
pub mod server;
mod span;
pub mod types;
pub mod watch;
pub mod watchdog;
