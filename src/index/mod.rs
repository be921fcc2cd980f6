//! What an index is made of: names of crates, the subjects of its commits, and `config.json`.

pub mod commit_subject;
pub mod config_json;
mod crate_name;

pub use crate_name::{CrateName, CrateNameError};
