//! The mirror, the git repository we push to: what is planned for it (`plan`), how objects are carried to it (`relay`), the
//! two commands that change it (`init`, `sync`), and what they report.

pub mod init;
pub mod plan;
pub mod relay;
pub mod report;
pub mod sync;
