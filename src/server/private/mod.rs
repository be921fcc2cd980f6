//! The registry of private crates: what may be published, the index that is a git repository, and the files.
//!
//! | question | answer |
//! |---|---|
//! | What does cargo send? | [`request`], read to its end by [`publishable`] |
//! | What may be published? | [`names`], [`rules`], [`manifest`] and [`portable`] for the crate file, [`change`] against the index |
//! | Who owns a crate? | [`owners`] |
//! | How does a change become a commit? | [`draft`], by [`publisher`], with a [`signature`] |
//! | When does which server push? | [`turns`] |
//! | What do the commands do? | [`verify`], [`import`] |
//! | How many upload at the same time? | [`uploads`] |
//! | How old may be what is read? | [`freshness`] |
//! | What becomes of files that nobody needs? | [`sweep`] |
//! | Where is the truth? | [`index`] for lines and owners, [`files`] for crate files |

pub mod change;
pub mod draft;
pub mod files;
pub mod freshness;
pub mod import;
pub mod index;
pub mod line;
pub mod manifest;
pub mod names;
pub mod owners;
pub mod portable;
pub mod publishable;
pub mod publisher;
pub mod refusal;
pub mod registry;
pub mod request;
pub mod rules;
pub mod signature;
pub mod sweep;
pub mod turns;
pub mod uploads;
pub mod verify;
