//! Git as we speak it. Knows no configuration, no mirror and no pipeline.
//!
//! | module | holds |
//! |---|---|
//! | [`objects`], [`tree`], [`ObjectId`] | single commits and trees: parsed and written, never a repository |
//! | [`wire`] | the protocol: pkt-lines, sidebands, packs, requests and responses; reads and writes what it is given |
//! | [`transport`] | how a service is reached: `git://`, ssh, HTTP, a repository on this machine; and what a host's messages mean |
//! | `indexing_budget` | the work that a foreign pack may cause, where one is indexed |
//! | [`RemoteUrl`] | the addresses that are accepted |

use crates_ferry_ground::{count, error, retry_after, shown};

pub mod indexing_budget;
mod object_id;
pub mod objects;
mod remote_url;
pub mod transport;
pub mod tree;
pub mod wire;

pub use object_id::ObjectId;
pub use remote_url::{ParseRemoteUrlError, RemoteUrl, SshAddress, url_fault};
pub use wire::{branch_ref, is_branch_name};
