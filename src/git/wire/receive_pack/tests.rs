#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::wire::testing::{data, dribbled, lines, now, packets};
use crate::wire::{AGENT, Advertisement};

const BRANCH: &str = "refs/heads/master";

fn offered(words: &str) -> Capabilities {
    let bytes = lines(&[&format!("{} HEAD\0{words}\n", "a".repeat(40))]);
    now(Advertisement::read(&mut dribbled(&bytes)))
        .unwrap()
        .capabilities
}

fn update() -> Update {
    Update {
        reference: BRANCH.to_owned(),
        old: ObjectId::ZERO,
        new: "1".repeat(40).parse().unwrap(),
    }
}

fn request(words: &str) -> String {
    let bytes = update().request(&offered(words), &["ci.skip"]);
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_push_names_the_ref_and_what_both_sides_can() {
    let words = "report-status delete-refs side-band-64k quiet ofs-delta push-options object-format=sha1 agent=git/2";
    let line = format!(
        "{} {} {BRANCH}\0report-status side-band-64k quiet ofs-delta push-options object-format=sha1 agent={AGENT}\n",
        "0".repeat(40),
        "1".repeat(40)
    );
    let expected = format!("{:04x}{line}0000000cci.skip\n0000", line.len() + 4);
    assert_eq!(request(words), expected);
}

#[test]
fn push_options_are_not_sent_to_a_server_that_does_not_take_them() {
    let sent = request("report-status");
    assert!(
        sent.ends_with(&format!("{BRANCH}\0report-status\n0000")),
        "{sent:?}"
    );
}

/// Reads a report in both forms in which it comes.
fn read(text: &[&str]) -> Result<ReportStatus> {
    let plain = lines(text);
    let read = now(ReportStatus::read(
        &mut dribbled(&plain),
        &offered("report-status"),
        BRANCH,
    ));
    // In the sideband it comes in pieces, between keepalives and a hook's words.
    let (head, tail) = plain.split_at(plain.len() / 2);
    let pieces = [&[1], head, &[1], tail].map(<[u8]>::to_vec);
    let mut bytes = data(&[
        &pieces[..2].concat(),
        b"\x01",
        b"\x02hook\n",
        &pieces[2..].concat(),
    ]);
    bytes.extend_from_slice(b"0000");
    let multiplexed = now(ReportStatus::read(
        &mut dribbled(&bytes),
        &offered("side-band-64k"),
        BRANCH,
    ));
    if let (Ok(plain), Ok(multiplexed)) = (&read, &multiplexed) {
        let mut expected = plain.clone();
        "hook".clone_into(&mut expected.messages);
        assert_eq!(*multiplexed, expected);
    }
    assert_eq!(read.is_ok(), multiplexed.is_ok());
    read
}

#[test]
fn unpack_ok_and_ok_of_the_ref_are_both_needed() {
    assert_eq!(
        read(&["unpack ok\n", "ok refs/heads/master\n"]).unwrap(),
        ReportStatus::default()
    );
    for text in [
        &["unpack ok\n"][..],
        &["ok refs/heads/master\n"],
        &["unpack ok\n", "ok refs/heads/master-2\n"],
        &["unpack ok\n", "ng refs/heads/other no\n"],
        &["unpack ok\n", "ng refs/heads/master-2 no\n"],
        &["hello\n"],
        &[],
    ] {
        assert!(matches!(read(text), Err(Error::Garbage(_))), "{text:?}");
    }
}

#[test]
fn refusals_come_with_their_reasons() {
    let hook = read(&[
        "unpack ok\n",
        "ng refs/heads/master pre-receive hook declined\n",
    ])
    .unwrap();
    assert_eq!(
        hook.reference_error.as_deref(),
        Some("pre-receive hook declined")
    );
    assert_eq!(hook.unpack_error, None);

    let text = [
        "unpack index-pack abnormal exit\n",
        "ng refs/heads/master unpacker error\n",
    ];
    let damaged = read(&text).unwrap();
    assert_eq!(
        damaged.unpack_error.as_deref(),
        Some("index-pack abnormal exit")
    );
    assert_eq!(damaged.reference_error.as_deref(), Some("unpacker error"));

    let silent = read(&["unpack ok\n", "ng refs/heads/master\n"]).unwrap();
    assert!(silent.reference_error.is_some());
    let short = read(&text[..1]).unwrap();
    assert!(short.unpack_error.is_some() && short.reference_error.is_some());
}

#[test]
fn lines_of_newer_reports_are_passed_over() {
    let options = [
        "unpack ok\n",
        "ok refs/heads/master\n",
        "option old-oid 1234\n",
    ];
    assert_eq!(read(&options).unwrap(), ReportStatus::default());
}

#[test]
fn what_a_server_said_before_it_went_comes_with_the_error() {
    let bytes = data(&[b"\x02disk full\n"]);
    let cut = now(ReportStatus::read(
        &mut packets(&bytes),
        &offered("side-band-64k"),
        BRANCH,
    ));
    assert!(matches!(cut, Err(Error::Remote(text)) if text == "disk full"));
    let silent = now(ReportStatus::read(
        &mut packets(b""),
        &offered("side-band-64k"),
        BRANCH,
    ));
    assert!(matches!(silent, Err(Error::Cut)));
}

#[test]
fn a_whole_report_counts_where_the_end_of_the_sideband_is_lost() {
    let report = lines(&[
        "unpack bad version\n",
        "ng refs/heads/master unpacker error\n",
    ]);
    let read = |report: &[u8]| {
        let bytes = data(&[&[&[1], report].concat()]);
        now(ReportStatus::read(
            &mut packets(&bytes),
            &offered("side-band-64k"),
            BRANCH,
        ))
    };
    let whole = read(&report).unwrap();
    assert_eq!(whole.unpack_error.as_deref(), Some("bad version"));
    for cut in [report.len() - 4, report.len() - 1] {
        assert!(matches!(read(&report[..cut]), Err(Error::Cut)));
    }
}

#[test]
fn a_report_without_end_is_refused() {
    let piece = [&[1][..], &[b'x'; 60_000]].concat();
    let bytes = data(&[&piece, &piece]);
    let read = now(ReportStatus::read(
        &mut packets(&bytes),
        &offered("side-band-64k"),
        BRANCH,
    ));
    assert!(matches!(read, Err(Error::Limit { .. })));
}

proptest! {
    #[test]
    fn any_bytes_are_no_report(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for words in ["report-status", "side-band-64k"] {
            prop_assert!(now(ReportStatus::read(&mut packets(&bytes), &offered(words), BRANCH)).is_err());
        }
    }

    #[test]
    fn a_report_that_is_cut_anywhere_is_none(at in 0_usize..38) {
        let whole = lines(&["unpack ok\n", "ok refs/heads/master\n"]);
        prop_assert!(at < whole.len());
        prop_assert!(now(ReportStatus::read(&mut packets(&whole[..at]), &offered(""), BRANCH)).is_err());
    }
}
