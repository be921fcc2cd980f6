//! What the log looks like: of a command, of a program that runs for good, and where there is no terminal for a progress bar.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A warning that repeats a secret, and an address on which nothing can listen.
const VARIABLES: [(&str, &str); 4] = [
    ("FERRY_MIRROR_TOKEN", "HUNTER2_HUNTER2"),
    ("FERRY_HUNTER2_HUNTER2", "x"),
    ("FERRY_SERVE_LISTEN", "nowhere"),
    ("FERRY_TRIGGER_LISTEN", "nowhere"),
];
const WARNING: &str = "FERRY_[masked] is not a variable of crates-ferry";

/// Returns the first line that a program logs before it ends.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let output = Command::new(program)
        .env_clear()
        .envs(VARIABLES)
        .current_dir(folder.path())
        .args(arguments)
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    log.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_program_that_runs_for_good_logs_times_and_json_where_it_is_asked_for() {
    for (program, command) in [
        (env!("CARGO_BIN_EXE_crates-ferry"), "serve"),
        (env!("CARGO_BIN_EXE_crates-ferry-trigger"), "run"),
    ] {
        let line = first_line(program, &[command]);
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z'), "{line}");
        time.parse::<jiff::Timestamp>().expect(&line);
        assert!(rest.trim_start().starts_with("WARN FERRY_"), "{line}");

        let line = first_line(program, &["--format", "json", command]);
        let logged: Value = serde_json::from_str(&line).expect(&line);
        let text = |key: &str| logged[key].as_str().unwrap_or_default().to_owned();
        text("time").parse::<jiff::Timestamp>().expect(&line);
        assert_eq!(text("level"), "warn");
        assert!(text("message").starts_with(WARNING), "{line}");

        // Of a command, for which a CI job or a person waits.
        let line = first_line(program, &["--format", "json", "config"]);
        assert!(
            line.trim_start().starts_with(&format!("WARN {WARNING}")),
            "{line}"
        );
    }
}

#[test]
fn without_a_terminal_the_log_tells_what_is_waited_for() {
    let folder = TempDir::new().unwrap();
    // It accepts connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = format!("git://{}/index", silent.local_addr().unwrap());
    let made = Command::new("git")
        .args(["init", "-q", "--bare"])
        .arg(folder.path())
        .status();
    assert!(made.unwrap().success());
    let mut process = Command::new(env!("CARGO_BIN_EXE_crates-ferry"))
        .env_clear()
        .current_dir(folder.path())
        .args(["init", "--mirror", ".", "--upstream", &upstream])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(line.contains("INFO reading"), "{line}");
}
