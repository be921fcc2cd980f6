//! What `--report` writes, and where it cannot.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Output;
use std::time::Duration;

use crates_ferry::config::History;
use serde_json::Value;
use tempfile::TempDir;

use super::{error_of, ferry, stderr, stdout};
use crate::support::world::World;

const UNKNOWN_KEY: &str = "mirror:\n  brunch: x\n";

/// Runs `check` where it fails for its configuration.
fn failing(folder: &TempDir, arguments: &[&str]) -> Output {
    fs::write(folder.path().join("ferry.yml"), UNKNOWN_KEY).unwrap();
    ferry(folder.path(), arguments).output().unwrap()
}

fn report(folder: &TempDir, name: &str) -> Value {
    let text = fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(text.ends_with("}\n"), "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn serve_refuses_to_write_a_report_that_it_never_has() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        ["--report", "report", "serve"],
        ["serve", "--report", "report"],
        ["up", "--report", "report"],
    ] {
        let arguments = [&["--format", "json"], &arguments[..]].concat();
        let output = ferry(folder.path(), &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = error_of(&output);
        assert_eq!(error["kind"], "usage");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("leave out --report"), "{message}");
    }
}

#[test]
fn a_failure_is_in_the_file_and_in_words_on_stderr() {
    let folder = TempDir::new().unwrap();
    let output = failing(&folder, &["--report", "report.json", "check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).starts_with("error[config]: ferry.yml:2:3"));
    let error = &report(&folder, "report.json")["error"];
    assert_eq!(error["kind"], "config");
    assert!(stderr(&output).contains(error["message"].as_str().unwrap()));
}

#[test]
fn the_file_replaces_an_older_one_and_leaves_nothing_beside_it() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("report.json"), "an older report").unwrap();
    let output = failing(&folder, &["--format=json", "check", "--report=report.json"]);
    assert_eq!(error_of(&output), report(&folder, "report.json")["error"]);
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["ferry.yml", "report.json"]);
}

#[test]
fn a_command_line_that_cannot_be_read_is_in_the_file_too() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        &["sync", "--dry-rum", "--report", "report.json"][..],
        &["--report=report.json", "sink"],
    ] {
        let output = failing(&folder, arguments);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(report(&folder, "report.json")["error"]["kind"], "usage");
        fs::remove_file(folder.path().join("report.json")).unwrap();
    }
    let help = failing(&folder, &["--report=report.json", "--help"]);
    assert!(help.status.success() && stdout(&help).contains("--report <FILE>"));
    assert!(!folder.path().join("report.json").exists());
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_does_not_hide_the_commands_own_failure() {
    let folder = TempDir::new().unwrap();
    let output = failing(&folder, &["--report", "nowhere/report.json", "check"]);
    assert_eq!(output.status.code(), Some(2), "its own exit code");
    let shown = stderr(&output);
    let own = shown.find("error[config]: ferry.yml").unwrap();
    let reports = shown
        .find("error: cannot write the report to nowhere/report.json: ")
        .unwrap();
    assert!(own < reports, "{shown}");
}

#[test]
fn a_pipe_or_device_is_written_to_and_not_replaced() {
    let folder = TempDir::new().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/stdout", &link).unwrap();
    let output = failing(&folder, &["--report", "link", "check"]);
    assert_eq!(error_of(&output)["kind"], "config");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_success_is_in_the_file_and_in_words_on_stdout_and_fails_where_the_file_cannot_be_written() {
    let world = World::initialised(History::Snapshot);
    let folder = TempDir::new().unwrap();
    let sync = |report: &str| {
        let variables = world.ferry.variables().iter().cloned();
        ferry(folder.path(), &["sync", "--report", report])
            .envs(variables)
            .output()
            .unwrap()
    };
    let output = sync("report.json");
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).starts_with("up-to-date: "));
    assert_eq!(report(&folder, "report.json")["outcome"], "up-to-date");
    let output = sync("nowhere/report.json");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).starts_with("up-to-date: "));
    assert!(stderr(&output).contains("error: cannot write the report to nowhere/report.json: "));
}

#[test]
fn a_link_stays_a_link_and_the_file_that_it_leads_to_is_replaced() {
    let folder = TempDir::new().unwrap();
    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink("report.json", &link).unwrap();
    for _ in 0..2 {
        failing(&folder, &["--report", "link.json", "check"]);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::metadata(folder.path().join("report.json")).unwrap();
        assert_eq!(report(&folder, "link.json")["error"]["kind"], "config");
    }
}

#[test]
fn stdout_that_was_redirected_to_a_file_takes_the_report_too() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("ferry.yml"), UNKNOWN_KEY).unwrap();
    // As `/dev/stdout`, which a test must not put at risk.
    let link = folder.path().join("stdout");
    std::os::unix::fs::symlink("/proc/self/fd/1", &link).unwrap();
    let shown = fs::File::create(folder.path().join("shown")).unwrap();
    let inode = shown.metadata().unwrap().ino();
    let program = assert_cmd::cargo::cargo_bin!("crates-ferry");
    let status = std::process::Command::new(program)
        .env_clear()
        .current_dir(folder.path())
        .args(["--report", "stdout", "check"])
        .stdout(shown)
        .status();
    assert_eq!(status.unwrap().code(), Some(2));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(report(&folder, "shown")["error"]["kind"], "config");
    let after = fs::metadata(folder.path().join("shown")).unwrap().ino();
    assert_eq!(after, inode, "stdout still leads to the file");
}

#[test]
fn a_pipe_that_nobody_reads_is_an_error_and_not_a_wait() {
    let folder = TempDir::new().unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    fs::write(folder.path().join("ferry.yml"), UNKNOWN_KEY).unwrap();
    let mut command = ferry(folder.path(), &["--report", "pipe", "check"]);
    let output = command.timeout(Duration::from_secs(60)).output().unwrap();
    let shown = stderr(&output);
    assert!(
        shown.contains("cannot write the report to pipe: "),
        "{shown}"
    );
}
