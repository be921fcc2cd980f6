//! The fuzz targets of crates-ferry: each takes bytes as they could come from outside, and panics where a promise is broken.
//!
//! `ci/fuzz` lets a fuzzer search for such bytes. `tests/corpus.rs` runs each target once on each file of `corpus/`, so that
//! what was found stays mended. To add a target: a function and its row in [`TARGETS`], a program in `fuzz_targets/` with its
//! `[[bin]]`, and at least one file in `corpus/`; a test fails where one of them is missing.

mod archive;
mod pack;
mod requests;
mod text;
mod wire;

/// A target: it takes bytes, and panics where a promise is broken.
pub type Target = fn(&[u8]);

/// The targets by the name of their program and of their folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("advertisement", wire::advertisement),
    ("commit", pack::commit),
    ("config_json", text::config_json),
    ("crate_archive", archive::crate_archive),
    ("dump", archive::dump),
    ("fetch_response_v0", wire::fetch_response_v0),
    ("fetch_response_v2", wire::fetch_response_v2),
    ("ferry_yml", text::ferry_yml),
    ("highlight", text::highlight),
    ("http1", requests::http1),
    ("http2", requests::http2),
    ("index_lines", text::index_lines),
    ("jwt", text::jwt),
    ("known_hosts", text::known_hosts),
    ("lockfile", text::lockfile),
    ("ls_refs", wire::ls_refs),
    ("manifest", archive::manifest),
    ("mask", text::mask),
    ("pkt_line", wire::pkt_line),
    ("publish", archive::publish),
    ("readme", archive::readme),
    ("remote_url", text::remote_url),
    ("report_status", wire::report_status),
    ("rewriter", pack::rewriter),
    ("scanner", pack::scanner),
    ("shown", text::shown),
    ("sideband", wire::sideband),
    ("ssh_key", text::ssh_key),
    ("tree", pack::tree),
];

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or it finds a broken promise.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.0 == name);
    let Some((_, target)) = target else {
        panic!("no target {name}");
    };
    target(bytes);
}
