//! The relay: learns what is new upstream from a few hundred bytes of commits and three root trees, plans the mirror's next
//! commit from those, and streams upstream's pack into the mirror with that commit appended. No clone, no disk.
//!
//! | step | file | reads or writes |
//! |---|---|---|
//! | Open both sides, list their branches | `session` | reads |
//! | Find the base: what the mirror has of upstream | `sync_state`, from `mirror_view` | reads |
//! | Fetch upstream's new commits, name the relation | `observe`, from `new_commits` | reads |
//! | Ask for upstream's pack before the plan, read its new commits and trees from it | `early_pack` | reads |
//! | Prove a squash of upstream's history | `squash` | reads |
//! | Tell what a divergence takes back | `divergence` | reads |
//! | Name the crates where the commits that do are cut off | `changed_crates` | reads |
//! | Merge the three root trees | `merge`, by `plan::three_way` | reads |
//! | Draft the push: which objects are sent to the mirror | `draft` | pure |
//! | Stream the pack, append our objects | `apply` | **writes** |
//! | Read the server's report of the push | `push_result` | pure |
//! | Try again after a transient failure or a race | `retry` | |
//! | Recognize a push that was done although it seemed to fail | `unconfirmed_pushes` | reads |
//!
//! `lag` stops after the fourth row: it measures how far the mirror is behind, and changes nothing.

pub mod apply;
mod changed_crates;
mod divergence;
pub mod draft;
mod early_pack;
mod lag;
pub mod merge;
mod mirror_view;
mod new_commits;
pub mod observe;
mod push_result;
mod retry;
mod session;
mod squash;
mod sync_state;
mod unconfirmed_pushes;

pub use changed_crates::changed_crates;
pub use draft::NewObject;
pub use early_pack::EarlyPack;
pub use lag::Lag;
pub use mirror_view::{Base, MirrorView};
pub use new_commits::NewCommits;
pub use observe::{Observation, Purpose, observe};
pub use push_result::report_error;
pub use retry::retry;
pub use session::Session;
pub use squash::Proof;
pub use sync_state::{Behind, SyncState, compare_tips};
pub use unconfirmed_pushes::UnconfirmedPushes;
