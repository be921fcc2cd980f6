//! What is particular to plain repositories: work trees, and mirrors that are shallow clones.

use std::path::PathBuf;

use crate::support::ferry::Ferry;
use crate::support::repo::git;
use crate::support::scene::{Scene, Transport, told};
use crates_ferry::error::Kind;

/// Makes a copy of a repository that has only so many of its last commits.
fn shallow_copy(scene: &Scene, of: &str, depth: &str) -> PathBuf {
    let to = scene.folder.path().join("shallow.git");
    std::fs::remove_dir_all(&to).ok();
    let url = format!("file://{}", scene.folder.path().join(of).display());
    let clone = ["clone", "-q", "--bare", "--depth", depth, &url];
    git(
        scene.folder.path(),
        &[&clone[..], &[to.to_str().unwrap()]].concat(),
    );
    to
}

#[test]
fn a_branch_that_a_work_tree_shows_is_told_as_that() {
    for transport in [Transport::Folder, Transport::Git] {
        let scene = Scene::over(transport, "merge").unwrap();
        git(&scene.mirror_path(), &["config", "core.bare", "false"]);
        let error = scene.sync().expect_err("the sync succeeds");
        let said = format!("{transport:?}: {}", told(&error));
        assert_eq!(error.kind(), Kind::Permission, "{said}");
        let advice = error.advice().unwrap_or_default();
        assert!(
            advice.contains("receive.denyCurrentBranch"),
            "{said}: {advice}"
        );
    }
}

#[test]
fn a_mirror_that_is_shallow_is_named_so() {
    let scene = Scene::new("merge");
    let shallow = shallow_copy(&scene, "saved.git", "1");
    let upstream = scene.source.path().to_str().unwrap();
    let error = Ferry::new(upstream, shallow.to_str().unwrap())
        .sync()
        .expect_err("the mirror lacks its base");
    assert_eq!(error.kind(), Kind::Unrelated, "{}", told(&error));
    assert!(
        error.to_string().contains("shallow clone"),
        "{}",
        told(&error)
    );
}
