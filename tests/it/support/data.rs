//! Bundles of real indexes, which are too large to lie beside the code.

use std::path::{Path, PathBuf};

use super::skip::skip;

/// Returns a bundle where it is at hand: in the folder that `FERRY_TEST_DATA` names, else in `../shared/data`.
pub fn bundle(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("FERRY_TEST_DATA").map_or("../shared/data".into(), PathBuf::from);
    let bundle = root.join(folder).join(name);
    if bundle.exists() {
        return Some(bundle);
    }
    skip(&format!("{} is not there", bundle.display()));
    None
}

/// Says whether the replays are to go in small steps, which takes minutes: `FERRY_TEST_FULL=1`.
pub fn is_full() -> bool {
    std::env::var_os("FERRY_TEST_FULL").is_some_and(|value| value == "1")
}
