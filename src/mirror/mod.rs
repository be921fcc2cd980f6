//! The mirror: the git repository that crates-ferry pushes to.
//!
//! | question | answer |
//! |---|---|
//! | What does a sync do, in which order? | [`sync`], which reads as its summary; `init` makes the first commit |
//! | How is a repository carried that is no index? | [`plain`] |
//! | What is sent to the mirror? | [`relay::draft`] decides, [`relay::apply`] sends |
//! | Where is a squash of upstream's history handled? | `relay/squash.rs` proves it, `relay/draft.rs` carries it |
//! | Which paths does the merge keep, when does it conflict? | [`plan::three_way`], which does no I/O |
//! | When is a failed command tried again? | `relay/retry.rs` |
//! | What is printed, mailed, and which warnings reach a person? | [`report`] |
//! | Which exit code does a failure have? | [`Kind::exit_code`](crate::error::Kind::exit_code) |

mod context;
pub mod init;
pub mod plain;
pub mod plan;
pub mod relay;
pub mod report;
pub mod sync;

pub use context::Context;
