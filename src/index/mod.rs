//! What an index is made of: names of crates, their files and versions, the subjects of its commits, and `config.json`; and which
//! of its paths are the mirror's own.

pub mod commit_message;
pub mod config_json;
mod crate_file;
mod crate_name;
pub mod download;
pub mod entry;
mod keep;
mod name_pattern;
mod pattern;
mod published;
pub mod release;
mod spec;
mod yanked;

pub use crate_file::{Checksum, CrateFile, CrateVersion, ParseChecksumError, stored_at};
pub use crate_name::{CrateName, CrateNameError};
pub use keep::{Keep, prefixes};
pub use name_pattern::{NamePattern, ReservedNames, folded};
pub use pattern::CratePattern;
pub use published::Published;
pub use spec::CrateSpec;
pub use yanked::shown_yanked;
