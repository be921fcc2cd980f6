//! Tells a disk that is full from a copy that is damaged.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

/// Says whether the disk, or our share of it, is full, by any of the causes of an error.
pub(super) fn is_cause(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if is_full(error) {
            return true;
        }
        next = error.source();
    }
    false
}

fn is_full(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        let is_full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        );
        // What it wraps is none of its sources.
        is_full || error.get_ref().is_some_and(|inner| is_cause(inner))
    } else if let Some(error) = error.downcast_ref::<gix_error::Error>() {
        // Its causes are a tree, whose leaves are not all sources.
        error.iter_errors().any(is_cause)
    } else {
        false
    }
}

#[cfg(test)]
mod tests {
    use gix_error::ErrorExt as _;

    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn a_full_disk_is_found_among_all_causes() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let because = |error: io::Error| Error::new(Kind::Server, "it failed").because(error);
        assert!(is_cause(&because(full())));
        assert!(is_cause(&because(io::Error::other(because(full())))));
        assert!(is_cause(&because(ErrorKind::QuotaExceeded.into())));
        let raised = full().and_raise(gix_error::message("cannot write"));
        let raised = Error::new(Kind::Server, "it failed").because(raised);
        assert!(is_cause(&raised));
        assert!(!is_cause(&because(ErrorKind::UnexpectedEof.into())));
        assert!(!is_cause(&Error::new(Kind::Server, "it failed")));
    }
}
