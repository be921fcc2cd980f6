//! Git objects: reads the commits and trees that planning looks at, writes those that a sync makes. Uses gix-object.

mod commit;
mod tree;

pub use commit::{Author, Commit, NewCommit};
pub use tree::{NewTree, parse_tree, write_tree};
