//! Damage that lasts: each is told as that, and not as a race, which another try would win.

use std::path::Path;

use crate::support::repo::git;
use crate::support::scene::{Scene, Transport, told};
use crates_ferry::error::{Error, Kind};

/// Makes every object of a repository a file of its own.
fn unpack(repo: &Path) {
    let aside = repo.join("aside");
    std::fs::rename(repo.join("objects/pack"), &aside).unwrap();
    for entry in std::fs::read_dir(&aside).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "pack") {
            let script = format!("git unpack-objects -q < {}", path.display());
            let unpacked = std::process::Command::new("sh")
                .args(["-c", &script])
                .current_dir(repo)
                .status();
            assert!(unpacked.unwrap().success());
        }
    }
    std::fs::remove_dir_all(aside).unwrap();
}

fn remove(repo: &Path, name: &str) {
    let id = git(repo, &["rev-parse", name]);
    let (folder, file) = id.split_at(2);
    unpack(repo);
    std::fs::remove_file(repo.join("objects").join(folder).join(file)).unwrap();
}

fn empty_indexes(repo: &Path) {
    for entry in std::fs::read_dir(repo.join("objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "idx") {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "").unwrap();
        }
    }
}

fn failed(scene: &Scene) -> Error {
    scene.sync().expect_err("the sync succeeds")
}

#[test]
fn a_mirror_that_lacks_what_its_branch_names_is_damaged() {
    let damages: [fn(&Path); 3] = [
        |repo| remove(repo, "master"),
        |repo| remove(repo, "master^{tree}"),
        empty_indexes,
    ];
    for transport in [Transport::Folder, Transport::Git] {
        let scene = Scene::over(transport, "merge").unwrap();
        for damage in damages {
            scene.restore();
            damage(&scene.mirror_path());
            let error = failed(&scene);
            assert_eq!(
                error.kind(),
                Kind::Server,
                "{transport:?}: {}",
                told(&error)
            );
            let advice = error.advice().unwrap_or_default();
            assert!(
                advice.contains("git fsck"),
                "{transport:?}: {}: {advice}",
                told(&error)
            );
        }
    }
}

#[test]
fn a_lock_that_was_left_behind_is_named_with_what_to_do() {
    for transport in [Transport::Folder, Transport::Git] {
        let scene = Scene::over(transport, "merge").unwrap();
        std::fs::write(scene.mirror_path().join("refs/heads/master.lock"), "").unwrap();
        let error = scene.refused(&scene.ferry());
        let said = format!("{transport:?}: {}", told(&error));
        assert_eq!(error.kind(), Kind::Server, "{said}");
        assert!(said.contains("master.lock'"), "{said}");
        let advice = error.advice().unwrap_or_default();
        assert!(advice.contains("remove the lock file"), "{said}: {advice}");
    }
}
