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

use std::panic;
use std::sync::Once;

use crates_ferry::guarded::is_guarded;

/// A target: it takes bytes, and panics where a promise is broken.
pub type Target = fn(&[u8]);

/// The targets by the name of their program and of their folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("advertisement", wire::advertisement),
    ("advisory", text::advisory),
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

static HOOK: Once = Once::new();

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or it finds a broken promise.
pub fn run(name: &str, bytes: &[u8]) {
    // The fuzzer's hook ends the process; a panic of a library that becomes an error breaks no promise.
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !is_guarded() {
                before(panic);
            }
        }));
    });
    let target = TARGETS.iter().find(|target| target.0 == name);
    let Some((_, target)) = target else {
        panic!("no target {name}");
    };
    target(bytes);
}
