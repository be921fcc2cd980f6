#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Stdio};

use std::time::Duration;

use super::addresses::{dl, public_url, web_address};
use super::durations::{Rhythm, duration, duration_or_zero, rhythm};
use super::git::{author, branch};
use super::numbers::{share, size};

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
        assert_eq!(dl(text).unwrap(), text);
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
        assert!(dl(text).is_err() && web_address(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_dl_has_cargos_markers_alone_and_no_slash_before_what_cargo_appends() {
    for (text, read) in [
        ("https://x.example/crates/", "https://x.example/crates"),
        ("https://x.example//", "https://x.example"),
        ("https://x.example/{crate}/", "https://x.example/{crate}/"),
    ] {
        assert_eq!(dl(text).unwrap(), read);
    }
    for (text, found) in [
        ("https://x.example/{name}/{version}", "`{name}`"),
        ("https://x.example/{crate}/{version", "`{version`"),
        ("https://x.example/crate}/{version}", "`}`"),
        ("https://x.example/{crate}/{checksum}", "`{checksum}`"),
        ("https://x.example/{crate", "`{crate`"),
        ("https://x.example/{{crate}}", "`{x}`"),
        ("https://x.example/crate}", "`}`"),
    ] {
        let why = dl(text).unwrap_err();
        assert!(
            why.contains("{sha256-checksum}") && why.ends_with(found),
            "{why}"
        );
    }
}

#[test]
fn nobody_can_connect_to_port_0() {
    assert!(public_url("http://127.0.0.1:0").is_err());
    assert!(super::addresses::sparse_index("http://127.0.0.1:0/index/").is_err());
    assert!(public_url("http://127.0.0.1:80").is_ok());
}

#[test]
fn the_address_of_a_server_is_not_that_of_its_index() {
    for text in [
        "https://x.example/index/",
        "https://x.example/index",
        "sparse+https://x.example/index/",
        "https://x.example/index//",
    ] {
        let why = public_url(text).unwrap_err();
        assert!(why.ends_with(": https://x.example"), "{why}");
    }
    let why = public_url("https://x.example/crates/index/").unwrap_err();
    assert!(why.ends_with(": https://x.example/crates"), "{why}");
    for text in ["https://x.example/", "https://x.example/my-index"] {
        assert_eq!(public_url(text).unwrap().as_str(), text);
    }
}

#[test]
fn a_size_that_no_disk_has_is_refused() {
    assert_eq!(size("256MiB").unwrap(), 256 << 20);
    assert_eq!(size("7EiB").unwrap(), 7 << 60);
    for text in [
        "99999999999999999999GiB",
        "99999999999999999999",
        "8EiB",
        "18446744073709551615",
        "9999999999999.5TB",
        "1PB2",
    ] {
        let reason = size(text).expect_err(text);
        assert!(reason.starts_with("expected a size"), "{reason}");
    }
}

#[test]
fn a_duration_that_no_clock_can_count_is_refused() {
    assert!(duration("100years").is_ok() && duration_or_zero("100years").is_ok());
    for text in ["101years", "500000000000years"] {
        let reason = duration(text).expect_err(text);
        assert!(reason.contains("at most 100 years"), "{reason}");
        assert!(duration_or_zero(text).is_err() && rhythm(text).is_err());
    }
}

#[test]
fn a_cron_expression_is_checked_where_it_is_read_and_the_wrong_field_is_named() {
    for text in ["*/10 * * * *", "0 0 * * MON", "@daily", "30 0 12 * * *"] {
        assert_eq!(rhythm(text), Ok(Rhythm::Cron(text.to_owned())));
    }
    let table = [
        ("61 * * * *", "`61` is no minute (0 to 59)"),
        ("* 24 * * *", "`24` is no hour (0 to 23)"),
        ("* * 0 * *", "`0` is no day of the month (1 to 31)"),
        ("* * * 13 *", "`13` is no month (1 to 12, or JAN to DEC)"),
        (
            "* * * * 8",
            "`8` is no day of the week (0 to 7, or SUN to SAT)",
        ),
        ("60 * * * * *", "`60` is no second (0 to 59)"),
        ("0 0 31 2 *", "it matches no time"),
        ("@sometimes", "a cron expression has five fields"),
        ("* * * * * * *", "a cron expression has five fields"),
    ];
    for (text, words) in table {
        let reason = rhythm(text).expect_err(text);
        assert!(
            reason.contains(words) && reason.contains("such as `*/10 * * * *`"),
            "{reason}"
        );
    }
}

#[test]
fn a_bucket_with_a_slash_too_few_is_no_folder() {
    for text in ["s3:/crates/a", "s3:crates/a"] {
        let why = super::serve::store(text).unwrap_err();
        assert!(why.contains("write s3://crates/a"), "{why}");
    }
    assert!(super::serve::store("./s3:/crates").is_ok());
}

#[test]
fn no_librarys_own_words_are_told() {
    let said = [
        duration("soon").unwrap_err(),
        duration("10 parsecs").unwrap_err(),
        size("much").unwrap_err(),
        dl("x.example").unwrap_err(),
        public_url("crates.example").unwrap_err(),
        public_url("https://[::x]/").unwrap_err(),
        public_url("https://x.example:port/").unwrap_err(),
        super::addresses::remote_url("https://").unwrap_err(),
        super::serve::store("://x").unwrap_err(),
        super::smtp::smtp_server("mail.example").unwrap_err(),
        super::smtp::mailbox("ops").unwrap_err(),
        super::git::glob("a[").unwrap_err(),
    ];
    for text in said {
        for words in [
            "relative URL",
            "couldn't parse",
            "expected number",
            "Missing",
            "error parsing",
            "unknown time unit",
            "invalid port",
            "empty host",
        ] {
            assert!(!text.contains(words), "{text}");
        }
    }
    let why = public_url("crates.example").unwrap_err();
    assert!(
        why.contains("it does not begin with a scheme, such as https://"),
        "{why}"
    );
}
