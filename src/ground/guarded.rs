//! A panic in a library that reads foreign bytes, turned into an error of that file or value.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// A library panicked, with these words.
#[derive(Debug, thiserror::Error)]
#[error("a panic: {0}")]
pub struct Panicked(String);

impl Panicked {
    /// Takes what a panic carries.
    pub fn of(payload: &(dyn Any + Send)) -> Self {
        let literal = payload.downcast_ref::<&str>().copied();
        let formatted = || payload.downcast_ref::<String>().map(String::as_str);
        let words = literal.or_else(formatted).unwrap_or("without a reason");
        Self(words.to_owned())
    }
}

/// Lets a library read what others wrote; what it has begun to change by then must not be used any more.
///
/// # Errors
/// If it panics.
pub fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = IS_GUARDED.replace(true);
    let end = catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(before);
    end.map_err(|payload| Panicked::of(payload.as_ref()))
}

/// Says whether a panic of this thread now will become an error, which tells of it.
pub fn is_guarded() -> bool {
    IS_GUARDED.get()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        assert_eq!(guarded(|| 1).unwrap(), 1);
        let at = "ab".len();
        let error = guarded(|| panic!("no letter at {at}")).unwrap_err();
        assert_eq!(error.to_string(), "a panic: no letter at 2");
        let error = guarded(|| -> u8 {
            assert!(is_guarded());
            std::panic::panic_any(1)
        });
        assert_eq!(error.unwrap_err().to_string(), "a panic: without a reason");
        assert!(!is_guarded());
    }
}
