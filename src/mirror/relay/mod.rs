//! The relay: learns what changed upstream from a few hundred bytes of commits and three root trees, plans the mirror's next
//! commit from those, and streams upstream's pack into the mirror with that commit appended. No clone, no disk.
//!
//! ```text
//! observe (reads only) → draft (pure) → apply (the only change)
//! ```

mod ancestry;
pub mod apply;
mod base;
pub mod draft;
mod lag;
pub mod merge;
mod mirror_view;
mod new_object;
mod news;
pub mod observe;
mod persist;
mod session;
mod squash;
mod stand;
mod verdict;

pub use base::Base;
pub use lag::Lag;
pub use mirror_view::MirrorView;
pub use new_object::NewObject;
pub use news::News;
pub use observe::{Observation, observe};
pub use persist::{Surroundings, Unseen, persist};
pub use session::Session;
pub use squash::Proof;
pub use stand::{Behind, Stand, find_stand};
