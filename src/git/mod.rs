//! Git as we speak it: object ids, single objects, the wire protocol, and the transports that carry it. Knows no
//! configuration, no mirror and no pipeline.

mod object_id;
pub mod objects;
pub mod transport;
pub mod wire;

pub use object_id::ObjectId;
