#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::wire::testing::{dribbled, lines, now, packets, payload};
use crate::wire::{AGENT, Advertisement};

fn id(digit: char) -> ObjectId {
    digit.to_string().repeat(40).parse().unwrap()
}

/// Capabilities as a server of version 2 or 0 offers them.
fn offered(protocol: Protocol, words: &str) -> Capabilities {
    let bytes = match protocol {
        Protocol::V2 => {
            let (words, agent) = match words.strip_suffix(" agent=git/2") {
                Some(words) => (words, "agent=git/2\n"),
                None => (words, "server-option\n"),
            };
            lines(&["version 2\n", agent, &format!("fetch={words}\n")])
        }
        Protocol::V0 => lines(&[&format!("{} HEAD\0{words}\n", id('a'))]),
    };
    now(Advertisement::read(&mut dribbled(&bytes)))
        .unwrap()
        .capabilities
}

/// Shows a request with one line for each packet, ids as their first digit.
fn shown(fetch: &Fetch, protocol: Protocol, words: &str) -> String {
    let request = fetch.request(protocol, &offered(protocol, words));
    let mut reader = packets(&request);
    let mut text = Vec::new();
    while let Ok(packet) = now(reader.packet()) {
        text.push(match packet {
            Packet::Data(line) => String::from_utf8_lossy(&line).trim_end().to_owned(),
            control => format!("{control:?}"),
        });
    }
    let mut text = text.join(" | ").replace(AGENT, "us");
    for digit in ['1', '2', '3', '4'] {
        text = text.replace(&id(digit).to_string(), &digit.to_string());
    }
    text
}

fn everything() -> Fetch {
    Fetch {
        wants: vec![id('1'), id('2')],
        haves: vec![id('3')],
        shallow: vec![id('4')],
        deepen: Some(8),
        only_wanted_trees: true,
        thin: true,
        done: true,
    }
}

#[test]
fn a_request_of_version_2_is_one_command() {
    assert_eq!(
        shown(&everything(), Protocol::V2, "shallow filter agent=git/2"),
        "command=fetch | agent=us | Delimiter | no-progress | ofs-delta | thin-pack | want 1 | want 2 | shallow 4 \
         | deepen 8 | filter tree:0 | have 3 | done | Flush"
    );
    let asking = Fetch {
        wants: vec![id('1')],
        haves: vec![id('3')],
        ..Fetch::default()
    };
    assert_eq!(
        shown(&asking, Protocol::V2, "shallow"),
        "command=fetch | Delimiter | no-progress | ofs-delta | want 1 | have 3 | Flush"
    );
}

#[test]
fn a_request_of_version_0_carries_what_both_sides_can_on_its_first_want() {
    let words = "multi_ack_detailed side-band-64k ofs-delta no-progress thin-pack filter shallow other agent=git/2";
    assert_eq!(
        shown(&everything(), Protocol::V0, words),
        "want 1 multi_ack_detailed side-band-64k ofs-delta no-progress thin-pack filter shallow agent=us | want 2 \
         | shallow 4 | deepen 8 | filter tree:0 | Flush | have 3 | done"
    );
}

#[test]
fn what_a_server_does_not_offer_is_not_asked_for() {
    assert_eq!(
        shown(&everything(), Protocol::V0, "side-band-64k ofs-delta"),
        "want 1 side-band-64k ofs-delta | want 2 | shallow 4 | deepen 8 | Flush | have 3 | done"
    );
    let request = shown(&everything(), Protocol::V2, "shallow");
    assert!(!request.contains("filter"), "{request}");
    // Without `done` a request of version 0 ends in a flush packet.
    let asking = Fetch {
        done: false,
        ..everything()
    };
    assert!(shown(&asking, Protocol::V0, "").ends_with("Flush | have 3 | Flush"));
}

fn answer(fetch: &Fetch, protocol: Protocol, bytes: &[u8]) -> Result<FetchResponse> {
    let (mut whole, mut slow) = (packets(bytes), dribbled(bytes));
    let read = now(FetchResponse::read(&mut whole, protocol, fetch));
    let again = now(FetchResponse::read(&mut slow, protocol, fetch));
    assert_eq!(read.as_ref().ok(), again.as_ref().ok());
    if read.as_ref().is_ok_and(|answer| answer.pack_follows) {
        // Nothing of the pack was taken for the answer.
        assert_eq!(now(whole.packet()).unwrap(), payload(b"\x01PACK"));
    }
    read
}

const PACK: &[u8] = b"0009\x01PACK";

fn cut_off() -> Fetch {
    Fetch {
        deepen: Some(1),
        done: true,
        ..Fetch::default()
    }
}

fn done() -> Fetch {
    Fetch {
        done: true,
        ..Fetch::default()
    }
}

#[test]
fn an_answer_of_version_2_has_sections() {
    let (one, two) = (id('1'), id('2'));
    let sections = [
        &lines(&[
            "acknowledgments\n",
            &format!("ACK {one}\n"),
            &format!("ACK {two}\n"),
            "ready\n",
        ])[..],
        &lines(&[
            "shallow-info\n",
            &format!("shallow {two}\n"),
            &format!("unshallow {one}\n"),
        ]),
        &lines(&["packfile\n"]),
    ];
    let joined = sections
        .map(|section| &section[..section.len() - 4])
        .join(&b"0001"[..]);
    let read = answer(&done(), Protocol::V2, &[&joined, PACK].concat()).unwrap();
    assert_eq!(
        read,
        FetchResponse {
            acknowledged: vec![one, two],
            shallow: vec![two],
            pack_follows: true
        }
    );
}

#[test]
fn an_answer_of_version_2_may_hold_no_pack() {
    let text = lines(&["acknowledgments\n", "NAK\n"]);
    let read = answer(&Fetch::default(), Protocol::V2, &text).unwrap();
    assert_eq!(read, FetchResponse::default());
}

#[test]
fn an_answer_of_version_0_acknowledges_until_the_last_line() {
    let (one, two, lacking) = (id('1'), id('2'), id('3'));
    let text = lines(&[
        &format!("ACK {one} common\n"),
        &format!("ACK {two} common\n"),
        &format!("ACK {lacking} ready\n"),
        &format!("ACK {two}\n"),
    ]);
    let read = answer(
        &done(),
        Protocol::V0,
        &[&text[..text.len() - 4], PACK].concat(),
    )
    .unwrap();
    assert_eq!(read.acknowledged, [one, two]);
    assert!(read.pack_follows);
}

#[test]
fn an_answer_of_version_0_to_a_question_has_no_pack() {
    let one = id('1');
    let text = lines(&[&format!("ACK {one} common\n"), "NAK\n"]);
    let read = answer(&Fetch::default(), Protocol::V0, &text).unwrap();
    assert_eq!((read.acknowledged, read.pack_follows), (vec![one], false));
    // A server without multi_ack_detailed says it once.
    let old = answer(
        &Fetch::default(),
        Protocol::V0,
        &lines(&[&format!("ACK {one}\n")]),
    )
    .unwrap();
    assert_eq!(old.acknowledged, [one]);
}

#[test]
fn an_answer_of_version_0_tells_first_what_was_cut_off() {
    let two = id('2');
    let text = [
        &lines(&[&format!("shallow {two}\n")])[..],
        b"0008NAK\n",
        PACK,
    ]
    .concat();
    let read = answer(&cut_off(), Protocol::V0, &text).unwrap();
    assert_eq!(
        read,
        FetchResponse {
            shallow: vec![two],
            pack_follows: true,
            ..FetchResponse::default()
        }
    );
}

#[test]
fn a_refusal_is_the_servers_word() {
    let text = lines(&["ERR upload-pack: not our ref 1234\n"]);
    for protocol in [Protocol::V0, Protocol::V2] {
        let error = answer(&done(), protocol, &text).unwrap_err();
        assert!(matches!(error, Error::Remote(text) if text == "upload-pack: not our ref 1234"));
    }
}

#[test]
fn what_is_no_answer_is_garbage() {
    for line in ["hello", "ACK 1234", "shallow ", "\x01PACK"] {
        for protocol in [Protocol::V0, Protocol::V2] {
            let error = answer(&done(), protocol, &lines(&[line])).unwrap_err();
            assert!(matches!(error, Error::Garbage(_)), "{line:?}: {error:?}");
        }
    }
    assert!(matches!(
        answer(&done(), Protocol::V0, b"0000"),
        Err(Error::Garbage(_))
    ));
}

#[test]
fn an_answer_without_end_is_refused() {
    let line = format!("ACK {} common\n", id('1'));
    let text = lines(&vec![&line[..]; 200_001]);
    for protocol in [Protocol::V0, Protocol::V2] {
        let error = now(FetchResponse::read(&mut packets(&text), protocol, &done())).unwrap_err();
        assert!(matches!(error, Error::Limit { .. }));
    }
}

proptest! {
    #[test]
    fn any_lines_are_read_to_an_end(
        text in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8),
        deepen in prop::option::of(1_u32..9),
        done in any::<bool>(),
    ) {
        let text: Vec<&[u8]> = text.iter().map(Vec::as_slice).collect();
        let bytes = crate::wire::testing::data(&text);
        let fetch = Fetch { deepen, done, ..Fetch::default() };
        for protocol in [Protocol::V0, Protocol::V2] {
            prop_assert!(now(FetchResponse::read(&mut packets(&bytes), protocol, &fetch)).is_err());
        }
    }
}

/// Shows the request as [`Fetch::suited_to`] makes it.
fn suited(fetch: &Fetch, words: &str) -> Result<String> {
    let fetch = fetch.suited_to(Protocol::V0, &offered(Protocol::V0, words))?;
    Ok(shown(&fetch, Protocol::V0, words))
}

#[test]
fn a_server_that_does_not_name_itself_is_asked_in_the_plainest_words() {
    let words = "multi_ack_detailed side-band-64k ofs-delta no-progress thin-pack filter shallow";
    let with_haves = Fetch {
        thin: false,
        ..everything()
    };
    assert_eq!(
        suited(&with_haves, words).unwrap(),
        "want 1 multi_ack_detailed side-band-64k ofs-delta no-progress thin-pack | want 2 | Flush | have 3 | done"
    );
    let without = Fetch {
        haves: Vec::new(),
        shallow: Vec::new(),
        ..with_haves
    };
    assert_eq!(
        suited(&without, words).unwrap(),
        "want 1 multi_ack_detailed side-band-64k ofs-delta no-progress thin-pack shallow | want 2 | deepen 8 | Flush \
         | done"
    );
    assert_eq!(
        suited(&Fetch::commits(id('1'), 1), words).unwrap(),
        "want 1 multi_ack_detailed side-band-64k ofs-delta no-progress thin-pack filter shallow | filter tree:0 \
         | deepen 1 | Flush | done"
    );
    let named = format!("{words} agent=git/2");
    let shown = shown(&everything(), Protocol::V0, &named);
    assert_eq!(suited(&everything(), &named).unwrap(), shown);
}

#[test]
fn what_needs_shallow_is_not_asked_of_a_server_without_it() {
    let words = "side-band-64k agent=git/2";
    assert_eq!(
        suited(&everything(), words).unwrap(),
        "want 1 side-band-64k agent=us | want 2 | Flush | have 3 | done"
    );
    let error = suited(&Fetch::commits(id('1'), 1), words).unwrap_err();
    assert!(matches!(&error, Error::Lacks { capability, .. } if *capability == "shallow"));
    let older = "side-band agent=git/1";
    assert!(
        suited(&everything(), older)
            .unwrap()
            .starts_with("want 1 side-band agent=us |")
    );
}
