//! A panic is a bug of ours or of a library: it is logged on one line, and ends a command like any other error.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use tracing::{debug, error};

use super::output::{Failure, Output};
use crate::error::{Error, Kind};
use crate::guarded::{Panicked, is_guarded};

/// What to do about it.
const ADVICE: &str =
    "This is a bug in crates-ferry. Report it with this message and the log of `-vv`.";

/// Logs panics through the log, which masks what it writes. The default would write their words to stderr as they are.
pub(super) fn log() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        let why = Panicked::of(panic.payload());
        match is_guarded() {
            // The error that it becomes is told of.
            true => debug!("at {place}: {why}"),
            false => error!("an internal error at {place}: {why}"),
        }
    }));
}

/// Runs a command; a panic becomes a failure, so that stdout and the report file hold it, too.
pub fn caught(
    command: impl FnOnce() -> Result<Option<Output>, Failure>,
) -> Result<Option<Output>, Failure> {
    catch_unwind(AssertUnwindSafe(command)).unwrap_or_else(|payload| {
        let error = Error::new(Kind::Server, "an internal error")
            .because(Panicked::of(payload.as_ref()))
            .advise(ADVICE);
        Err(Failure::Error(error))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    #[test]
    fn a_panic_ends_a_command_as_an_error() {
        let end = caught(|| panic!("no letter"));
        let Err(Failure::Error(error)) = end else {
            panic!("it did not fail");
        };
        assert_eq!(error.kind(), Kind::Server);
        assert_eq!(error.causes(), ["a panic: no letter"]);
    }
}
