//! Real servers for tests: on loopback ports, in temporary folders, ended by process id.

pub mod certificate;
pub mod counting_proxy;
pub mod crate_host;
pub mod daemon;
pub mod data;
pub mod exim;
pub mod ferry;
pub mod frames;
pub mod gitlab;
pub mod lighttpd;
pub mod local_server;
pub mod mirror;
pub mod proxy;
pub mod raw_http;
pub mod real_crates;
pub mod relay;
pub mod repo;
pub mod s3;
pub mod scene;
pub mod server;
pub mod sshd;
pub mod trigger;
pub mod upstream;
pub mod world;
