//! Puts the version, and of a release build the commit and its date, into `CRATES_FERRY_VERSION`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// Where there is no repository, as in a container's build context, these tell commit and date.
const COMMIT: &str = "CRATES_FERRY_COMMIT";
const COMMIT_DATE: &str = "CRATES_FERRY_COMMIT_DATE";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in [COMMIT, COMMIT_DATE, "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let shown = match commit() {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo::rustc-env=CRATES_FERRY_VERSION={shown}");
}

/// Returns for example `1a2b3c4d5 2026-11-29`, as cargo's own `--version` shows it.
fn commit() -> Option<String> {
    if let Some(commit) = set(COMMIT) {
        let short: String = commit.chars().take(9).collect();
        return Some(with_date(&short, set(COMMIT_DATE).as_deref()));
    }
    // In a debug build each commit would make cargo rebuild everything, tests included, and nobody releases one.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return None;
    }
    // git would also find the repository of a folder above: that of a project into which this package is vendored.
    if !Path::new(".git").exists() {
        return None;
    }
    // HEAD names the branch, and a commit changes the branch's own file, or packed-refs. A file that does not exist is
    // left out, because cargo would take it for changed in every build.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short=9", "HEAD"])?;
    let date = git(&["log", "-1", "--format=%cs"]);
    Some(with_date(&commit, date.as_deref()))
}

/// Adds the date: `SOURCE_DATE_EPOCH` where a reproducible build sets it, else the commit's own.
fn with_date(commit: &str, date: Option<&str>) -> String {
    let epoch = set("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    let epoch = epoch.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    let epoch = epoch.map(|time| humantime::format_rfc3339_seconds(time).to_string());
    let date = epoch.as_deref().or(date);
    match date.and_then(|date| date.get(..10)) {
        Some(day) => format!("{commit} {day}"),
        None => commit.to_owned(),
    }
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn git(arguments: &[&str]) -> Option<String> {
    // Without git, or in a repository that it refuses (`safe.directory`), the version is shown alone.
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
