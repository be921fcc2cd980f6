//! A failure that every round of periodic work meets again, and that is logged once.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was logged last of a failure that may last.
#[derive(Debug, Default)]
pub struct LoggedFailure(Mutex<Option<String>>);

impl LoggedFailure {
    /// Says whether a failure is to be logged: its text is not the one that was logged last.
    pub fn is_new(&self, text: &str) -> bool {
        let mut last = self.last();
        let is_new = last.as_deref() != Some(text);
        if is_new {
            *last = Some(text.to_owned());
        }
        is_new
    }

    /// Forgets the failure: it has ended, or somebody asks for it.
    pub fn end(&self) {
        *self.last() = None;
    }

    fn last(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_logged_once_until_it_changes_or_ends() {
        let failure = LoggedFailure::default();
        assert!(failure.is_new("no such file"));
        assert!(!failure.is_new("no such file"));
        assert!(failure.is_new("permission denied"));
        assert!(failure.is_new("no such file"));
        failure.end();
        assert!(failure.is_new("no such file"));
    }
}
