//! Jobs that fail: red, with what to do in the log, and with their report.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::Scene;
use crate::support::sshd::{Options, Sshd};

/// Runs the job where it must fail; returns its log and the error of its report.
fn failing(scene: &Scene) -> (String, Value) {
    let before = scene.world.mirror.tip();
    let ended = scene.project.run("trigger", "sync");
    assert!(!ended.is_green, "{}", ended.log);
    assert_eq!(scene.world.mirror.tip(), before);
    let error = scene.project.report("sync").unwrap()["error"].clone();
    (ended.log, error)
}

/// The log ends with the program's own exit code, and shows the message, the causes and the advice of the report.
fn assert_told(log: &str, error: &Value, kind: &str, code: u8) {
    assert_eq!(error["kind"], kind, "{log}");
    let message = error["message"].as_str().unwrap();
    let advice = error["advice"].as_str().unwrap();
    for part in [
        format!("error[{kind}]: {message}"),
        format!("help: {}", advice.lines().next().unwrap()),
        format!(" FAIL {code} "),
    ] {
        assert!(log.contains(&part), "{part} is not in\n{log}");
    }
}

#[test]
fn a_mirror_that_refuses_the_push_makes_the_job_red() {
    let Some(scene) = Scene::of_own_files() else {
        return;
    };
    let hook = scene.world.mirror.path().join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let words = "You are not allowed to push code to protected branches on this project.";
    fs::write(
        &hook,
        format!("#!/bin/sh\necho 'GitLab: {words}' >&2\nexit 1\n"),
    )
    .unwrap();
    fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    let (log, error) = failing(&scene);
    assert_told(&log, &error, "permission", 3);
    assert!(log.contains(words), "{log}");
}

#[test]
fn a_host_key_that_nobody_knows_makes_the_job_red() {
    let Some(mut scene) = Scene::of_own_files() else {
        return;
    };
    let other = Sshd::start(&Options::new(scene.world.folder())).unwrap();
    scene
        .project
        .set_file("SSH_KNOWN_HOSTS", other.known_hosts_line());
    let (log, error) = failing(&scene);
    assert_told(&log, &error, "host_key", 3);
}

#[test]
fn a_project_without_its_variables_is_told_which_one_is_missing() {
    let Some(mut scene) = Scene::of_own_files() else {
        return;
    };
    scene.project.set("FERRY_MIRROR_URL", "");
    let (log, error) = failing(&scene);
    assert_told(&log, &error, "config", 2);
    assert!(log.contains("FERRY_MIRROR_URL"), "{log}");
}

#[test]
fn a_failed_job_leaves_its_state_to_the_next_one() {
    let Some(mut scene) = Scene::of_own_files() else {
        return;
    };
    // Stands for what the program remembers of its mails.
    scene.before_script(&[
        "cat .ferry/mail.json || true",
        "mkdir -p .ferry && echo remembered >.ferry/mail.json",
    ]);
    scene.project.set("FERRY_MIRROR_URL", "");
    let (first, _) = failing(&scene);
    assert!(!first.contains("> remembered"), "{first}");
    let (second, _) = failing(&scene);
    assert!(second.contains("> remembered"), "{second}");
}

#[test]
fn a_program_that_dies_makes_the_job_red_and_leaves_no_older_report() {
    let Some(scene) = Scene::of_own_files() else {
        return;
    };
    scene.before_script(&[
        "mkdir -p .ferry && echo '{}' >.ferry/report.json",
        "crates-ferry() { return 137; }",
    ]);
    let ended = scene.project.run("trigger", "sync");
    assert!(!ended.is_green, "{}", ended.log);
    assert!(ended.log.contains(" FAIL 137 "), "{}", ended.log);
    assert_eq!(scene.project.report("sync"), None);
}
