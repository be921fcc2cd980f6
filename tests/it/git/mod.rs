//! What git and its servers say, read and written by the library, against the real git.

mod objects;
mod packs;
pub mod transport;
