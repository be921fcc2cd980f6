//! Mails of what upstream takes back.

use mail_parser::MessageParser;

use super::database::Database;
use super::day;
use super::scene::REFUSE;
use crate::support::clocked::ClockedServer;
use crate::support::exim::{Exim, Options};
use crate::support::server::{Site, sha256};
use crate::support::upstream::Commit;

/// Returns subject and text of a mail.
pub(super) fn read(raw: &str) -> (String, String) {
    let parsed = MessageParser::default().parse(raw).unwrap();
    let text = parsed.body_text(0).unwrap().replace("\r\n", "\n");
    (parsed.subject().unwrap().to_owned(), text)
}

/// Returns a time of the first day.
pub(super) fn at(time: &str) -> jiff::Timestamp {
    format!("2026-11-02T{time}:00Z").parse().unwrap()
}

#[test]
fn a_version_that_was_fetched_here_and_is_taken_back_is_mailed_with_who_fetched_it() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mut site = Site::new();
    site.publish("arrayref", "0.3.9", b"good");
    site.publish("arrayref", "0.3.10", b"bad");
    site.publish("unknown", "1.0.0", b"nobody has it");
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, format!("{}  ci-3\n", sha256(b"ci-3"))).unwrap();
    let variables = exim.variables();
    let mut pairs: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    pairs.push(REFUSE);
    pairs.push(("FERRY_SERVE_TRUSTED_PROXIES", "127.0.0.1"));
    let server = ClockedServer::start(&site, &pairs, day(1));
    let path = "/api/v1/crates/arrayref/0.3.10/download";
    for (time, client) in [
        ("07:52", "10.1.2.3"),
        ("08:10", "10.1.2.4"),
        ("08:20", "10.1.2.3"),
    ] {
        server.set_clock(at(time));
        let got = server.get_with(path, &[("x-forwarded-for", client)]);
        assert_eq!(got.body, b"bad");
    }
    server.set_clock(at("08:41"));
    site.withdraw("arrayref", &["0.3.10"]);
    site.withdraw("unknown", &["1.0.0"]);
    server.refresh();
    server.wait_for("refused", || {
        !server.entry("arrayref").text().contains("0.3.10")
    });
    let mails = exim.messages(1);
    let (subject, text) = read(&mails[0]);
    assert!(
        subject.starts_with("withdrawn: ") && subject.ends_with(": arrayref 0.3.10"),
        "{subject}"
    );
    let said = "arrayref 0.3.10 was withdrawn upstream at 08:41 UTC: its line is gone from the index. Fetched here at 07:52 by 10.1.2.3 \
                and at 08:10 by 10.1.2.4.";
    assert!(text.contains(said), "{text}");
    for line in [
        "\n  crates-ferry audit arrayref@0.3.10\n",
        "\n  crates-ferry policy allow arrayref@0.3.10\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(
        !text.contains("unknown") && !text.contains("mirror "),
        "{text}"
    );

    // More than 50 at once look like an accident, which a person has to look at.
    let lines: String = (0..51)
        .map(|patch| {
            format!(
                "{{\"name\":\"many\",\"vers\":\"1.0.{patch}\",\"cksum\":\"{}\"}}\n",
                sha256(b"many")
            )
        })
        .collect();
    site.index
        .commit([Commit::new("Update crate `many`").file("ma/ny/many", lines)]);
    server.refresh();
    server.wait_for("shown", || server.entry("many").status == 200);
    site.index
        .commit([Commit::new("Update crate `many`").without("ma/ny/many")]);
    server.refresh();
    let mails = exim.messages(2);
    let (subject, text) = read(&mails[1]);
    assert!(
        subject.starts_with("index held back: ") && subject.ends_with(": versions vanished"),
        "{subject}"
    );
    assert!(
        text.contains("51 versions vanished between ")
            && text.contains("set policy.withdrawn: serve"),
        "{text}"
    );
    if std::env::var_os("FERRY_TEST_SHOW").is_some() {
        for mail in &mails {
            eprintln!("{}", read(mail).1);
        }
    }
}

#[test]
fn an_advisory_about_what_was_fetched_here_is_mailed_at_once_where_it_is_malicious_else_once_a_day()
{
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mut site = Site::new();
    for name in ["arrayref", "leaky", "old", "unknown"] {
        site.publish(name, "0.3.9", b"good");
        site.publish(name, "0.3.10", name.as_bytes());
    }
    let database = Database::new(&site);
    let advise = |id: &str, name: &str, more: &str| {
        let versions = "patched = []\nunaffected = [\"<= 0.3.9\"]";
        database.add(id, name, "2026-11-02", more, versions);
    };
    // What is there at first is no news.
    advise("RUSTSEC-2026-0001", "old", "");
    let (variables, address) = (exim.variables(), database.address());
    let mut pairs: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    pairs.push(("FERRY_POLICY_ADVISORIES", &address));
    let server = ClockedServer::start(&site, &pairs, at("07:00"));
    server.set_clock(at("07:52"));
    for name in ["arrayref", "leaky", "old"] {
        assert_eq!(server.download(name, "0.3.10").body, name.as_bytes());
    }
    server.set_clock(at("08:41"));
    let malicious = "categories = [\"malicious\"]";
    advise("RUSTSEC-2026-0002", "arrayref", malicious);
    advise("RUSTSEC-2026-0003", "unknown", malicious);
    server.refresh();
    let (subject, text) = read(&exim.messages(1)[0]);
    assert!(
        subject.starts_with("advisory: ") && subject.ends_with(": malicious arrayref"),
        "{subject}"
    );
    let said = "RUSTSEC-2026-0002 (malicious): arrayref <does> what it should not. arrayref 0.3.10 is denied. Fetched here at 07:52 by 127.0.0.1. See \
                https://rustsec.org/advisories/RUSTSEC-2026-0002";
    assert!(text.contains(said), "{text}");
    assert!(
        text.contains("\n  crates-ferry policy allow RUSTSEC-2026-0002\n")
            && !text.contains("unknown")
            && !text.contains("old"),
        "{text}"
    );
    // The first digest of a day comes at once, the next one a day later.
    advise("RUSTSEC-2026-0004", "leaky", "");
    server.refresh();
    let (subject, text) = read(&exim.messages(2)[1]);
    assert!(subject.ends_with(": vulnerable leaky"), "{subject}");
    assert!(text.contains("leaky 0.3.10 is served"), "{text}");
    advise("RUSTSEC-2026-0005", "leaky", "");
    advise("RUSTSEC-2026-0006", "old", "");
    server.refresh();
    let known = site.data().join("advisories-known.json");
    let pending = || {
        let known = std::fs::read(&known).unwrap();
        let known: serde_json::Value = serde_json::from_slice(&known).unwrap();
        known["pending"].as_array().unwrap().len()
    };
    server.wait_for("kept for the next digest", || pending() == 2);
    server.set_clock(day(2) + jiff::SignedDuration::from_hours(9));
    server.refresh();
    let (subject, text) = read(&exim.messages(3)[2]);
    assert!(subject.ends_with(": 2 advisories"), "{subject}");
    assert!(
        text.contains("RUSTSEC-2026-0005") && text.contains("RUSTSEC-2026-0006"),
        "{text}"
    );
    assert!(!text.contains("RUSTSEC-2026-0004"), "{text}");
}
