#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::wire::testing::{data, dribbled, now, packets, payload};

#[test]
fn packets_are_told_apart_in_one_piece_and_byte_by_byte() {
    let bytes = b"0006a\n0000000100020004000bfoobar\n";
    let expected = [
        payload(b"a\n"),
        Packet::Flush,
        Packet::Delimiter,
        Packet::ResponseEnd,
        payload(b""),
        payload(b"foobar\n"),
    ];
    let (mut whole, mut slow) = (packets(bytes), dribbled(bytes));
    for packet in expected {
        assert_eq!(now(whole.packet()).unwrap(), packet);
        assert_eq!(now(slow.packet()).unwrap(), packet);
    }
    assert!(matches!(now(whole.packet()), Err(Error::Cut)));
    assert!(matches!(now(slow.packet()), Err(Error::Cut)));
}

#[test]
fn a_line_loses_its_last_newline_alone() {
    let bytes = data(&[b"two\n\n", b"none", b"\n"]);
    let mut lines = packets(&bytes);
    for line in [&b"two\n"[..], b"none", b""] {
        assert_eq!(
            now(lines.line()).unwrap(),
            Packet::Data(Bytes::copy_from_slice(line))
        );
    }
}

#[test]
fn an_error_packet_is_the_servers_word() {
    let bytes = data(&[b"ERR access denied: /x\n"]);
    let error = now(packets(&bytes).line()).unwrap_err();
    assert!(matches!(error, Error::Remote(text) if text == "access denied: /x"));
}

#[test]
fn a_length_that_is_none_is_garbage() {
    for head in [
        &b"0003"[..],
        b"zzzz",
        b"+004",
        b" 004",
        b"-001",
        b"0x04",
        b"HTTP",
        b"\xff\xff\xff\xff",
        b"fff1",
        b"ffff",
    ] {
        let error = now(packets(head).packet()).unwrap_err();
        assert!(matches!(error, Error::Garbage(_)), "{head:?}: {error:?}");
    }
}

#[test]
fn the_longest_packet_is_taken_and_written() {
    let long = vec![7; MAX_PAYLOAD + 1];
    let written = PacketWriter::new().data(&long).finish();
    assert!(written.starts_with(b"fff0"));
    let mut read = packets(&written);
    assert_eq!(
        now(read.packet()).unwrap(),
        Packet::Data(Bytes::copy_from_slice(&long[1..]))
    );
    assert_eq!(now(read.packet()).unwrap(), payload(&[7]));
}

#[test]
fn a_message_ends_where_it_is_finished() {
    let mut writer = PacketWriter::new();
    let message = writer.line("a").delimiter().data(b"b").flush().finish();
    assert_eq!(&message[..], b"0006a\n00010005b0000");
    assert!(writer.finish().is_empty());
}

proptest! {
    #[test]
    fn what_is_cut_anywhere_is_cut(payload in prop::collection::vec(any::<u8>(), 0..40), at in 0_usize..44) {
        let bytes = data(&[&payload]);
        prop_assume!(at < bytes.len());
        let error = now(packets(&bytes[..at]).packet()).unwrap_err();
        prop_assert!(matches!(error, Error::Cut));
    }

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut whole, mut slow) = (packets(&bytes), dribbled(&bytes));
        loop {
            let (one, other) = (now(whole.packet()), now(slow.packet()));
            prop_assert_eq!(one.as_ref().ok(), other.as_ref().ok());
            if one.is_err() {
                break;
            }
        }
    }
}
