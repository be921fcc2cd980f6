//! The registry of private crates: what may be published, the index that is a git repository, and the files.
//!
//! | question | answer |
//! |---|---|
//! | What does cargo send? | [`request`] |
//! | What may be published? | [`rules`], [`manifest`] against the crate file, [`change`] against the index |
//! | Who owns a crate? | [`owners`] |
//! | How does a change become a commit? | [`draft`], by [`publisher`] |
//! | What do the commands do? | [`verify`], [`import`] |
//! | Where is the truth? | [`index`] for lines and owners, [`files`] for crate files |

pub mod change;
pub mod draft;
pub mod files;
pub mod import;
pub mod index;
pub mod line;
pub mod manifest;
pub mod owners;
pub mod publisher;
pub mod refusal;
pub mod registry;
pub mod request;
pub mod rules;
pub mod verify;
