//! Tells a shortage of files, memory or disk from damage.
//!
//! What could not be read for want of a descriptor is as sound as before, and to fetch it again would want more.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// Says whether any cause of an error is a shortage: of open files, of memory, or of room on the disk.
pub fn is_shortage(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if is_shortage_itself(error) {
            return true;
        }
        next = error.source();
    }
    false
}

fn is_shortage_itself(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // `source` skips the wrapped error itself.
        is_shortage_of_system(error) || error.get_ref().is_some_and(|inner| is_shortage(inner))
    } else if let Some(error) = error.downcast_ref::<gix_error::Error>() {
        // Its causes are a tree, of which `source` shows one branch.
        error.is_resource_exhausted() || error.iter_errors().any(is_shortage)
    } else {
        false
    }
}

fn is_shortage_of_system(error: &io::Error) -> bool {
    let is_kind = matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory
    );
    // The standard library has no kind for these two.
    let is_files = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    is_kind || is_files.contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use gix_error::ErrorExt as _;

    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn a_shortage_is_found_among_all_causes() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let because = |error: io::Error| Error::new(Kind::Server, "it failed").because(error);
        assert!(is_shortage(&because(full())));
        assert!(is_shortage(&because(io::Error::other(because(full())))));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::DQUOT] {
            assert!(is_shortage(&because(errno.into())), "{errno}");
        }
        let raised = full().and_raise(gix_error::message("cannot write"));
        let raised = Error::new(Kind::Server, "it failed").because(raised);
        assert!(is_shortage(&raised));
        assert!(!is_shortage(&because(ErrorKind::UnexpectedEof.into())));
        assert!(!is_shortage(&Error::new(Kind::Server, "it failed")));
    }
}
