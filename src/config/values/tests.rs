#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Stdio};

use std::time::Duration;

use super::addresses::web_address;
use super::durations::duration;
use super::git::{author, branch};
use super::numbers::share;

#[test]
fn a_branch_is_accepted_where_git_accepts_it() {
    let names = [
        "master", "a/b", "1.0", "a.b", "-a", "a/-b", "HEAD", "a/HEAD", "@", "a@b", "a@{b", ".a",
        "a/.b", "a.", "a./b", "a..b", "a.lock", "a.lock/b", "a.locks", "a//b", "/a", "a/", "a b",
        "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a]b", "a\\b", "a\u{7f}b", "a\tb", "é", "a{b}",
    ];
    for name in names {
        let mut git = Command::new("git");
        let git = git.args(["check-ref-format", "--branch", name]);
        let status = git.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let accepted = status.unwrap().success();
        assert_eq!(branch(name).is_ok(), accepted, "{name:?}");
    }
    assert!(branch("").is_err());
}

#[test]
fn a_branch_is_given_without_the_folder_of_branches() {
    let reason = branch("refs/heads/master").unwrap_err();
    assert!(
        reason.contains("`master`") && reason.contains("leave out `refs/heads/`"),
        "{reason}"
    );
    assert!(branch("heads/master").is_ok());
}

#[test]
fn an_author_is_a_name_and_an_address_on_one_line() {
    let read = author(" Ferry of X <ferry@x.example> ").unwrap();
    assert_eq!(
        (read.name.as_str(), read.email.as_str()),
        ("Ferry of X", "ferry@x.example")
    );
    for text in [
        "",
        "Ferry",
        "<a@b>",
        "Ferry <>",
        "Ferry <a@b",
        "Fe>rry <a@b>",
        "F <a<b>",
        "F <a@b> c",
        "F\n <a@b>",
        "F <a\n@b>",
    ] {
        assert!(author(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_share_is_read_in_per_cent() {
    let shares = ["0%", "20%", "2.5%", "100 %"].map(|text| share(text).unwrap());
    assert_eq!(shares, [0.0, 0.2, 0.025, 1.0]);
    for text in ["", "20", "0.2", "-1%", "101%", "nan%", "inf%", "%", "x%"] {
        assert!(share(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_duration_has_a_unit_and_a_length() {
    assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
    for text in ["", "10", "0s", "-1s", "soon"] {
        assert!(duration(text).is_err(), "{text:?}");
    }
}

#[test]
fn addresses_for_cargo_are_web_addresses_and_keep_their_markers() {
    for text in [
        "https://x.example",
        "http://x.example:80/{crate}/{version}?a={sha256-checksum}",
        "https://{prefix}.x.example/",
    ] {
        assert_eq!(web_address(text).unwrap(), text);
    }
    for text in [
        "",
        "x.example",
        "ftp://x.example",
        "file:///x",
        "https://",
        "https://a b/",
        "https://me@x.example",
        "https://x.example/\n",
    ] {
        assert!(web_address(text).is_err(), "{text:?}");
    }
}
