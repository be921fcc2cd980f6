//! The program from outside: its help, its exit codes, what it writes where, and that no secret is among it.

mod check;
mod configuration;
mod docs;
mod every_secret;
mod foreign_text;
mod log;
mod packet_trace;
mod report_file;
mod secrecy;

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Output, Stdio};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// The program in an empty environment, its current folder being the home folder, too.
fn ferry(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("crates-ferry"));
    command
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder)
        .args(arguments);
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)], ferry_yml: &str) -> Output {
    let folder = TempDir::new().unwrap();
    if !ferry_yml.is_empty() {
        std::fs::write(folder.path().join("ferry.yml"), ferry_yml).unwrap();
    }
    ferry(folder.path(), arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The one object on stdout.
fn error_of(output: &Output) -> Value {
    let object: Value =
        serde_json::from_str(&stdout(output)).expect("stdout is exactly one JSON object");
    object["error"].clone()
}

#[test]
fn help_tells_commands_secrets_configuration_and_exit_codes() {
    let output = run(&["--help"], &[], "");
    assert!(output.status.success() && output.stderr.is_empty());
    let help = stdout(&output);
    for word in [
        "init",
        "sync",
        "check",
        "SSH_PRIVATE_KEY",
        "FERRY_MIRROR_TOKEN",
        "ferry.yml",
        "Exit codes",
        "Examples",
    ] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    let flags = [
        (
            "init",
            vec![
                "--upstream",
                "--mirror",
                "--dl",
                "--api",
                "--history",
                "--config",
                "--format",
                "--report",
            ],
        ),
        (
            "sync",
            vec![
                "--upstream",
                "--mirror",
                "--history",
                "--dry-run",
                "--ours",
                "--allow-loss",
                "--config",
            ],
        ),
        (
            "check",
            vec!["--upstream", "--mirror", "--config", "--format"],
        ),
    ];
    for (command, flags) in flags {
        let help = stdout(&run(&[command, "--help"], &[], ""));
        for flag in flags {
            assert!(help.contains(flag), "{flag} is missing in\n{help}");
        }
    }
    let init = run(&["init", "--dry-run"], &[], "");
    assert_eq!(init.status.code(), Some(2), "init has no --dry-run");
}

#[test]
fn version_is_the_packages() {
    let output = run(&["--version"], &[], "");
    // A release build adds commit and date.
    let expected = format!("crates-ferry {}", env!("CARGO_PKG_VERSION"));
    assert!(stdout(&output).starts_with(&expected), "{output:?}");
    assert!(output.status.success());
}

#[test]
fn an_unknown_flag_is_a_usage_error_in_text_and_in_json() {
    let output = run(&["sync", "--dry-rum"], &[], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        output.stdout.is_empty() && stderr(&output).contains("--dry-run"),
        "{output:?}"
    );
    for arguments in [
        &["--format", "json", "sync", "--dry-rum"][..],
        &["sync", "--format=json", "--dry-rum"],
        &["--format=json"],
    ] {
        let output = run(arguments, &[], "");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(error_of(&output)["kind"], "usage");
        assert!(!stderr(&output).is_empty());
    }
    let message = error_of(&run(&["--format=json"], &[], ""))["message"].to_string();
    assert!(message.contains("requires a subcommand"), "{message}");
}

#[test]
fn an_unknown_key_is_told_with_its_line() {
    let ferry_yml = "upstream:\n  branch: master\nmirror:\n  brunch: x\n";
    let expected = "ferry.yml:4:3: mirror: unknown key `brunch`; did you mean branch?";
    let output = run(&["sync"], &[], ferry_yml);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(
        stderr(&output).starts_with(&format!("error[config]: {expected}")),
        "{}",
        stderr(&output)
    );
    let output = run(&["sync", "--format", "json", "-q"], &[], ferry_yml);
    let error = error_of(&output);
    assert_eq!(
        (output.status.code(), &error["kind"]),
        (Some(2), &Value::from("config"))
    );
    assert!(
        error["message"].as_str().unwrap().starts_with(expected),
        "{error}"
    );
    assert!(error["causes"].is_array() && output.stderr.is_empty());
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    // Each layer is wrong in its own way, so that the message tells which one was read.
    let ferry_yml = "mirror: { url: /srv/mirror, history: merge }\n";
    let sync = |arguments: &[&str], variables: &[(&str, &str)]| {
        stderr(&run(arguments, variables, ferry_yml))
    };
    let variable = [("FERRY_MIRROR_URL", "ftp://variable.example/a")];
    let shown = sync(&["sync"], &variable);
    assert!(
        shown.contains("FERRY_MIRROR_URL: ") && shown.contains("ftp://"),
        "{shown}"
    );
    let shown = sync(&["sync", "--mirror", "s3://flag.example/a"], &variable);
    assert!(
        shown.contains("--mirror: ") && shown.contains("s3://"),
        "{shown}"
    );
    let in_file = "mirror: { url: 'gopher://file.example/a' }\n";
    let shown = stderr(&run(&["sync"], &[("FERRY_MIRROR_URL", "")], in_file));
    assert!(
        shown.contains("ferry.yml:1:") && shown.contains("gopher://"),
        "{shown}"
    );
}

#[test]
fn a_missing_mirror_is_a_configuration_error_with_advice() {
    let output = run(&["check"], &[], "");
    assert_eq!(output.status.code(), Some(2));
    let shown = stderr(&output);
    assert!(
        shown
            .contains("error[config]: mirror.url is not set\n  help: Set it by the flag --mirror,"),
        "{shown}"
    );
}

#[test]
fn an_unknown_variable_is_a_warning_that_names_the_near_one() {
    let output = run(&["check"], &[("FERRY_MIROR_URL", "x")], "");
    assert!(
        stderr(&output).contains("did you mean FERRY_MIRROR_URL?"),
        "{}",
        stderr(&output)
    );
    let quiet = run(&["check", "-q"], &[("FERRY_MIROR_URL", "x")], "");
    assert!(
        !stderr(&quiet).contains("did you mean"),
        "{}",
        stderr(&quiet)
    );
    assert!(
        !stderr(&output).contains('\u{1b}'),
        "no colours where there is no terminal"
    );
}

#[test]
fn a_reader_that_went_away_is_no_failure_of_its_own() {
    let folder = TempDir::new().unwrap();
    for (arguments, code) in [(&["--help"][..], 0), (&["check", "--format", "json"], 2)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = piped(folder.path(), arguments, writer);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_on_stderr() {
    let folder = TempDir::new().unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = piped(folder.path(), &["check", "--format", "json"], full);
    assert!(!output.status.success());
    let shown = stderr(&output);
    assert!(
        shown.starts_with("error: cannot write the report to stdout"),
        "{shown}"
    );
}

/// Runs the program with this end as its stdout.
fn piped(folder: &Path, arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("crates-ferry"));
    command.env_clear().env("HOME", folder).current_dir(folder);
    command
        .args(arguments)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .output()
        .unwrap()
}
