//! The API server as a process: its index, its downloads, what it keeps, and cargo as its client.

mod access;
mod backoff;
mod bucket;
mod bucket_errors;
mod cache;
mod catalog;
mod copy;
mod crowds;
mod downloads;
mod eviction;
mod faults;
mod held;
mod hosts;
mod http2;
mod index;
mod killed;
mod open_files;
mod paths;
mod prefetch;
mod read_only;
pub(crate) mod real_cargo;
mod resumed;
mod small_disk;
mod stopping;
mod upstream_dl;
mod web_api;
