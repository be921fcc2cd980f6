//! A crate file that is here and right.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use super::Body;

/// A verified file.
#[derive(Debug, Clone)]
pub(super) enum VerifiedFile {
    Memory(Bytes),
    File(Arc<File>, u64),
}

impl VerifiedFile {
    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Memory(bytes) => Body::Whole(bytes),
            Self::File(file, size) => Body::File(file, size),
        }
    }

    /// Returns its size, in bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }
}
