//! Commits and trees as objects: parses those that planning reads, writes those that a sync creates. Uses gix-object; what a
//! tree is to a planner is in [`crate::tree`].

mod commit;
mod tree;

pub use commit::{Author, Commit, NewCommit, OwnCommit};
pub use tree::{NewTree, parse_tree, write_tree};
