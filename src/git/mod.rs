//! Git as we speak it: object ids, single objects, the wire protocol, and the transports that carry it. Knows no
//! configuration, no mirror and no pipeline.

mod object_id;
pub mod objects;
mod remote_url;
pub mod transport;
pub mod tree;
pub mod wire;

pub use object_id::ObjectId;
pub use remote_url::{ParseRemoteUrlError, RemoteUrl, SshAddress};
pub use wire::branch_ref;
