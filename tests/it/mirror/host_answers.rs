//! What servers other than GitLab say when they refuse: once, and with what mends it there.

use std::os::unix::fs::chown;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::repo::git;
use crate::support::scene::{Scene, Transport};
use crate::support::skip::skip;

/// Syncs; returns the JSON object's error and what was logged.
fn failed_sync(scene: &Scene) -> (Output, Value) {
    let output = Command::new(assert_cmd::cargo::cargo_bin!("crates-ferry"))
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", scene.folder.path())
        .current_dir(scene.folder.path())
        .envs(scene.ferry().variables().iter().cloned())
        .env("FERRY_NETWORK_RETRIES", "1")
        .args(["sync", "--format", "json"])
        .output()
        .unwrap();
    let mut object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = object["error"].take();
    (output, error)
}

/// Asserts the kind, the exit code and a part of the advice, and that nothing was tried a second time.
fn assert_told_once(scene: &Scene, (kind, code, advice): (&str, i32, &str)) {
    let (output, error) = failed_sync(scene);
    assert_eq!(error["kind"], kind, "{error}");
    assert_eq!(output.status.code(), Some(code), "{error}");
    let told = error["advice"].as_str().unwrap();
    assert!(
        told.contains(advice) && !told.contains("rotected branch"),
        "{told}"
    );
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("retrying"), "{log}");
}

#[test]
fn a_repository_of_another_user_behind_ssh_is_not_asked_for_twice() {
    let Some(scene) = Scene::over(Transport::Ssh, "merge") else {
        return;
    };
    if chown(scene.mirror_path(), Some(4321), None).is_err() {
        skip("only root can give a folder away");
        return;
    }
    assert_told_once(&scene, ("server", 1, "safe.directory"));
}

#[test]
fn a_quarantine_that_cannot_be_moved_is_told_with_whom_it_needs() {
    let Some(scene) = Scene::over(Transport::Ssh, "merge") else {
        return;
    };
    let mirror = scene.mirror_path();
    // As a pack, however few the objects are.
    let limit = ["config", "receive.unpackLimit", "1"];
    git(&mirror, &limit);
    // A file in place of the folder of packs, which git meets when it moves the pack out of quarantine.
    std::fs::create_dir_all(mirror.join("kept")).unwrap();
    std::fs::rename(mirror.join("objects/pack"), mirror.join("kept/pack")).unwrap();
    std::fs::write(mirror.join("objects/pack"), "").unwrap();
    let alternates = mirror.join("objects/info/alternates");
    std::fs::create_dir_all(alternates.parent().unwrap()).unwrap();
    std::fs::write(&alternates, format!("{}\n", mirror.join("kept").display())).unwrap();
    assert_told_once(&scene, ("server", 1, "owner and mode"));
}

#[test]
fn gitolites_update_hook_is_a_denial() {
    let Some(scene) = Scene::over(Transport::Ssh, "merge") else {
        return;
    };
    let hook = scene.mirror_path().join("hooks/update");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    // src/lib/Gitolite/Hooks/Update.pm
    let script =
        "#!/bin/sh\necho \"FATAL: W $1 rust/index ferry DENIED by fallthru\" >&2\nexit 1\n";
    std::fs::write(&hook, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).unwrap();
    assert_told_once(&scene, ("permission", 3, "gitolite.conf"));
}
