//! `prefetch`, alone and beside a running server.

use std::process::{Command, Stdio};
use std::thread;

use crate::support::crate_host::Manner;
use crate::support::server::{Site, command, files_in, noise, printed};

fn site() -> Site {
    let mut site = Site::new();
    for (number, version) in ["1.0.0", "1.1.0", "2.0.0-rc.1"].iter().enumerate() {
        site.publish("foo", version, &noise(1000, number as u64));
        site.publish("bar", version, &noise(2000, 10 + number as u64));
    }
    site
}

fn lockfile(site: &Site, packages: &[(&str, &str, Option<String>)]) -> String {
    let mut text = "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n".to_owned();
    for (name, version, checksum) in packages {
        let source = "registry+https://github.com/rust-lang/crates.io-index";
        text += &format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n"
        );
        if let Some(checksum) = checksum {
            text += &format!("checksum = \"{checksum}\"\n");
        }
    }
    text += "\n[[package]]\nname = \"other\"\nversion = \"0.1.0\"\nsource = \"git+https://git.example/other#0000000000000000000000000000000000000000\"\n";
    let path = site.folder.path().join("Cargo.lock");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn what_a_lockfile_names_is_fetched_once_and_pinned() {
    let site = site();
    let sum = crate::support::server::sha256(&noise(1000, 0));
    let lock = lockfile(
        &site,
        &[("foo", "1.0.0", Some(sum)), ("bar", "1.1.0", None)],
    );
    let shown = printed(&site.run(&["prefetch", &lock, "--pin"]), 0);
    assert!(
        shown.starts_with("2 crate files: 2 fetched (2.93 KiB), 0 stored before"),
        "{shown}"
    );
    assert!(shown.contains("left out: 1"), "{shown}");
    assert!(site.kept("foo", "1.0.0").is_file() && site.kept("bar", "1.1.0").is_file());
    let again = printed(&site.run(&["prefetch", &lock]), 0);
    assert!(
        again.contains("0 fetched (0 B), 2 stored before"),
        "{again}"
    );
    assert_eq!(site.host.requests().len(), 2);
    let listed = printed(&site.run(&["cache", "ls"]), 0);
    assert_eq!(listed.matches("pinned").count(), 2, "{listed}");
    let evicted = printed(&site.run(&["cache", "evict", "--max-size", "0"]), 0);
    assert!(evicted.starts_with("0 crate files evicted"), "{evicted}");
}

#[test]
fn a_lockfile_whose_source_is_the_mirror_is_fetched_and_one_of_strangers_ends_with_1() {
    let site = site();
    let write = |source: &str| {
        let lock = format!(
            "version = 4\n\n[[package]]\nname = \"foo\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n"
        );
        let path = site.folder.path().join("own.lock");
        std::fs::write(&path, lock).unwrap();
        path.display().to_string()
    };
    let public = [("FERRY_SERVE_PUBLIC_URL", "https://crates.example")];
    let git = url::Url::from_file_path(site.index.path()).unwrap();
    for (source, fetched) in [
        ("sparse+https://crates.example/index/".to_owned(), 1),
        (format!("registry+{git}"), 0),
    ] {
        let shown = site.run_with(&public, &["prefetch", &write(&source)]);
        let shown = printed(&shown, 0);
        let wanted = format!("1 crate file: {fetched} fetched");
        assert!(shown.starts_with(&wanted), "{source}: {shown}");
    }
    let stranger = "sparse+https://crates.elsewhere.example/index/";
    let left = site.run_with(&public, &["prefetch", &write(stranger)]);
    let log = String::from_utf8_lossy(&left.stderr).into_owned();
    let shown = printed(&left, 1);
    assert!(
        shown.contains(stranger) && shown.contains("serve.public_url"),
        "{shown}"
    );
    // A terminal shows both.
    assert!(!log.contains(stranger), "{log}");
    assert!(
        shown.contains("left out: 1 package of other sources"),
        "{shown}"
    );
}

#[test]
fn what_is_missing_is_told_and_ends_with_1() {
    let site = site();
    let lock = lockfile(
        &site,
        &[
            ("foo", "1.0.0", Some("ab".repeat(32))),
            ("foo", "9.0.0", None),
            ("bar", "1.0.0", None),
        ],
    );
    let shown = printed(&site.run(&["prefetch", &lock]), 1);
    assert!(shown.contains("1 fetched"), "{shown}");
    assert!(shown.contains("foo 1.0.0: its checksum is "), "{shown}");
    assert!(
        shown.contains("foo 9.0.0: the index does not list it"),
        "{shown}"
    );
    let json = site.run(&["--format", "json", "prefetch", &lock]);
    let json: serde_json::Value = serde_json::from_str(&printed(&json, 1)).unwrap();
    assert_eq!(
        (json["wanted"].as_u64(), json["held"].as_u64()),
        (Some(3), Some(1))
    );
    assert_eq!(json["missing"].as_array().unwrap().len(), 2);
}

#[test]
fn crates_and_the_whole_index_are_fetched_by_version() {
    let site = site();
    for (arguments, number) in [
        (&["--crate", "foo"][..], 1),
        (&["--crate", "foo@2.0.0-rc.1"], 1),
        (&["--crate", "Foo", "--all"], 3),
        (&["--latest"], 2),
        (&["--all"], 6),
    ] {
        let arguments: Vec<&str> = ["prefetch"].iter().chain(arguments).copied().collect();
        let shown = printed(&site.run(&arguments), 0);
        assert!(
            shown.starts_with(&format!("{number} crate file")),
            "{arguments:?}: {shown}"
        );
    }
    assert!(site.kept("foo", "1.1.0").is_file());
    assert_eq!(site.host.requests().len(), 6);
    assert_eq!(site.run(&["prefetch"]).status.code(), Some(2));
    let missing = site.run(&["prefetch", "no-such.lock"]);
    let log = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        log.contains("No such file") && !log.contains("entity"),
        "{log}"
    );
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_server_beside_it_serves_what_was_fetched() {
    let site = site();
    let server = site.serve(&[("FERRY_SERVE_DOWNLOADS", "offline")]);
    assert_eq!(server.download("foo", "1.0.0").status, 404);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    assert_eq!(server.download("foo", "1.0.0").status, 200);
}

/// Makes a site of so many files of 10,000 bytes.
fn many(number: u64) -> Site {
    let mut site = Site::new();
    for version in 0..number {
        site.publish("foo", &format!("{version}.0.0"), &noise(10_000, version));
    }
    site
}

#[test]
fn an_upstream_that_asks_for_a_pause_is_waited_for() {
    let site = many(30);
    let later = "Retry-After: 1\r\n".to_owned();
    site.host.behave(Manner::StatusAt(5, 429, later));
    let patient = [("FERRY_NETWORK_RETRIES", "0")];
    let shown = printed(&site.run_with(&patient, &["prefetch", "--all"]), 0);
    assert!(shown.starts_with("30 crate files: 30 fetched"), "{shown}");
    assert_eq!(site.host.requests().len(), 31);
}

#[test]
fn what_upstream_does_not_have_is_asked_for_once() {
    let site = many(3);
    site.host.behave(Manner::Status(404, String::new()));
    let shown = printed(&site.run(&["prefetch", "--all", "--pin"]), 1);
    assert!(shown.contains("3 missing"), "{shown}");
    assert_eq!(site.host.requests().len(), 3);
    let stat = printed(&site.run(&["cache", "stat"]), 0);
    assert!(!stat.contains("missing"), "{stat}");
}

#[test]
fn more_than_the_server_keeps_is_fetched_and_told() {
    let site = many(40);
    let small = [("FERRY_SERVE_MAX_SIZE", "100000")];
    let shown = printed(&site.run_with(&small, &["prefetch", "--all"]), 0);
    assert!(shown.starts_with("40 crate files: 40 fetched"), "{shown}");
    assert!(
        shown.contains("warning: the store holds 390.62 KiB"),
        "{shown}"
    );
    assert_eq!(files_in(&site.data().join("crates")).len(), 40);
}

#[test]
fn what_is_pinned_survives_a_server_that_evicts_meanwhile() {
    let site = many(40);
    let server = site.serve(&[("FERRY_SERVE_MAX_SIZE", "100000")]);
    let shown = printed(&site.run(&["prefetch", "--all", "--pin"]), 0);
    assert!(shown.starts_with("40 crate files: 40 fetched"), "{shown}");
    drop(server);
    let server = site.serve(&[("FERRY_SERVE_MAX_SIZE", "100000")]);
    assert_eq!(server.metric("crates_ferry_store_files"), 40.0);
    assert_eq!(files_in(&site.data().join("crates")).len(), 40);
}

#[test]
fn what_is_gone_again_at_the_end_is_missing() {
    let site = many(10);
    site.host.hold_after(5);
    let one = [("FERRY_SERVE_UPSTREAM_CONNECTIONS", "1")];
    let output = thread::scope(|scope| {
        let prefetch = scope.spawn(|| site.run_with(&one, &["prefetch", "--all"]));
        site.host.wait_for_requests(6);
        let first = files_in(&site.data().join("crates")).pop().unwrap();
        std::fs::remove_file(first).unwrap();
        site.host.release();
        prefetch.join().unwrap()
    });
    let shown = printed(&output, 1);
    assert!(shown.starts_with("10 crate files: 9 fetched"), "{shown}");
    assert!(shown.contains("it was evicted again"), "{shown}");
}

#[test]
fn damaged_files_are_fetched_again() {
    let site = many(3);
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    std::fs::write(site.kept("foo", "0.0.0"), b"x").unwrap();
    let shown = printed(&site.run(&["prefetch", "--all"]), 0);
    assert!(
        shown.contains("1 fetched (9.77 KiB), 2 stored before"),
        "{shown}"
    );
    // A disk that forgets changes neither size nor time.
    let path = site.kept("foo", "1.0.0");
    let written = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, noise(10_000, 9)).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(written).unwrap();
    let shown = printed(&site.run(&["prefetch", "--all"]), 0);
    assert!(
        shown.contains("0 fetched (0 B), 3 stored before"),
        "{shown}"
    );
    let shown = printed(&site.run(&["prefetch", "--all", "--verify"]), 0);
    assert!(
        shown.contains("1 fetched (9.77 KiB), 2 stored before"),
        "{shown}"
    );
    assert!(std::fs::read(&path).unwrap() == noise(10_000, 1));
}

#[test]
fn a_prefetch_that_is_stopped_says_what_holds_and_goes_on() {
    let mut site = Site::new();
    for number in 0..2 {
        site.publish("foo", &format!("{number}.0.0"), &noise(1_000, number));
    }
    site.host.hold_after(1);
    let mut prefetch = command(&site.variables());
    prefetch.args(["prefetch", "--all"]).stderr(Stdio::piped());
    let prefetch = prefetch.spawn().unwrap();
    site.host.wait_for_requests(2);
    let pid = prefetch.id().to_string();
    let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(sent.unwrap().success());
    let output = prefetch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("every stored crate file is complete"),
        "{said}"
    );
    assert!(!said.contains("push") && !said.contains("mirror"), "{said}");
    site.host.release();
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
}

#[test]
fn a_lockfile_that_its_reader_panics_over_is_an_error_of_that_file() {
    let site = site();
    let sum = format!("{}ϥ{}", "a".repeat(55), "b".repeat(7));
    let lock = lockfile(&site, &[("foo", "1.0.0", Some(sum))]);
    let end = site.run(&["prefetch", &lock, "--format", "json"]);
    let error: serde_json::Value = serde_json::from_str(&printed(&end, 2)).unwrap();
    let error = &error["error"];
    assert_eq!(error["kind"], "config");
    let message = error["message"].as_str().unwrap();
    assert_eq!(message, format!("cannot read the lockfile {lock}"));
    let cause = error["causes"][0].as_str().unwrap();
    assert!(cause.starts_with("a panic: "), "{cause}");
    assert!(error["advice"].as_str().unwrap().contains("Cargo.lock"));
    let log = String::from_utf8(end.stderr).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

/// Makes a pipe that has a name.
fn pipe(site: &Site) -> std::path::PathBuf {
    let path = site.folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path
}

#[test]
fn a_lockfile_may_come_through_a_pipe_and_a_silent_one_ends_with_the_signal() {
    let site = site();
    let text = std::fs::read(lockfile(&site, &[("foo", "1.0.0", None)])).unwrap();
    let pipe = pipe(&site);
    let path = pipe.to_str().unwrap();
    for command_line in [["prefetch", path].as_slice(), &["policy", "test", path]] {
        let start = || {
            command(&site.variables_and(&[("FERRY_POLICY_DENY", "foo@1.0.0")]))
                .args(command_line)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        // Opening it to write waits until the program reads.
        let open = || std::fs::File::options().write(true).open(&pipe).unwrap();
        let child = start();
        std::io::Write::write_all(&mut open(), &text).unwrap();
        let shown = format!("{:?}", child.wait_with_output().unwrap());
        assert!(shown.contains("foo"), "{command_line:?}: {shown}");
        assert!(!shown.contains("cannot read"), "{command_line:?}: {shown}");

        let child = start();
        let silent = open();
        let id = child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(sent.unwrap().success());
        let end = child.wait_with_output().unwrap();
        drop(silent);
        assert_eq!(end.status.code(), Some(143), "{command_line:?}: {end:?}");
    }
}
