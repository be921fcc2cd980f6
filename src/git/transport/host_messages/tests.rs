//! Holds the table of known messages against the hosts' own ones, which are in `samples.txt`.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn every_known_message_is_recognized_as_its_host_sends_it() {
    let lines = include_str!("samples.txt").lines();
    let cases: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert!(cases.len() > 110);
    for case in cases {
        let [kind, retry, advice, words] = case.splitn(4, " | ").collect::<Vec<_>>()[..] else {
            panic!("not a case: {case}");
        };
        let answer = HostMessage::new(&words.replace("\\n", "\n")).meaning();
        let answer = answer.unwrap_or_else(|| panic!("not recognized: {case}"));
        assert_eq!(answer.kind.name(), kind, "{case}");
        assert!(answer.advice.contains(advice), "{case}: {}", answer.advice);
        let says = match answer.error("refused").is_transient() {
            true => "retry",
            false => "final",
        };
        assert_eq!(says, retry, "{case}");
    }
}

#[test]
fn each_known_message_is_told_with_what_mends_it() {
    let rows = known_messages().map(|(patterns, meaning)| {
        crate::error::row(&patterns.join(" | "), &meaning.error("refused"))
    });
    insta::assert_snapshot!(rows.collect::<String>());
}

#[test]
fn remarks_and_messages_of_unknown_hosts_have_no_known_meaning() {
    for text in [
        "",
        "INFO: Your SSH key is expiring soon. Please generate a new key.", // lib/gitlab/auth/key_status_checker.rb
        "This request to a Geo secondary node will be forwarded to the\nGeo primary node:\n\n  ssh://git@primary.example/a.git",
        "We want a ticket number in every message.",
        "pre-receive hook declined",
        "fatal: '/srv/missing.git' does not appear to be a git repository",
    ] {
        assert_eq!(HostMessage::new(text).meaning(), None, "{text}");
    }
}

#[test]
fn gitlabs_frame_is_taken_off() {
    // gitlab-shell: internal/console/console.go
    let ruler = "=".repeat(72);
    let framed = format!(
        "remote: \nremote: {ruler}\nremote: \nremote: ERROR: No.\r\n\nremote: \x1b[1mReally\x07\nremote: \nremote: {ruler}\nremote: \n"
    );
    assert_eq!(HostMessage::new(&framed).to_string(), "ERROR: No. / Really");
    assert!(HostMessage::new(&format!("remote: {ruler}\n--\n")).is_empty());
}

#[test]
fn every_pattern_is_in_lower_case_and_every_row_has_an_advice() {
    for (patterns, answer) in known_messages() {
        assert!(!patterns.is_empty() && !answer.advice.is_empty());
        for pattern in *patterns {
            assert_eq!(*pattern, pattern.to_lowercase());
        }
    }
}
