//! Bundles of real indexes, which are too large to lie beside the code.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::repo::git;
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

/// Gives a bare repository the branch `master` of a bundle; says whether the bundle is at hand. The first test that asks has git
/// index the bundle, which takes it a quarter of a minute, and keeps that below the target folder for the others.
pub fn unbundle(name: &str, repository: &Path) -> bool {
    let Some(bundle) = bundle(name) else {
        return false;
    };
    let bundle = bundle.to_str().unwrap();
    let heads = git(
        repository,
        &["bundle", "list-heads", bundle, "refs/heads/master"],
    );
    let tip = heads.split_once(' ').unwrap().0;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let kept = folder.join(format!("{tip}.git"));
    let turn = File::create(folder.join(format!("{tip}.lock"))).unwrap();
    turn.lock().unwrap();
    if !kept.exists() {
        let new = tempfile::tempdir_in(folder).unwrap();
        git(new.path(), &["init", "-q", "--bare"]);
        git(new.path(), &["fetch", "-q", bundle, "master:master"]);
        fs::rename(new.keep(), &kept).unwrap();
    }
    drop(turn);
    for file in fs::read_dir(kept.join("objects/pack")).unwrap() {
        let file = file.unwrap();
        let copy = repository.join("objects/pack").join(file.file_name());
        // The copy may lie on another file system.
        if fs::hard_link(file.path(), &copy).is_err() {
            fs::copy(file.path(), &copy).unwrap();
        }
    }
    git(repository, &["update-ref", "refs/heads/master", tip]);
    true
}

/// Says whether the replays are to go in small steps, which takes minutes: `FERRY_TEST_FULL=1`.
pub fn is_full() -> bool {
    std::env::var_os("FERRY_TEST_FULL").is_some_and(|value| value == "1")
}
