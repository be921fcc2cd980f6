#![allow(clippy::unwrap_used)]

use super::*;
use crate::wire::testing::{data, dribbled, now, packets};

#[test]
fn data_and_words_are_told_apart_and_keepalives_passed_over() {
    let mut bytes = data(&[
        b"\x01PACK",
        b"\x01",
        b"",
        b"\x02counting\n",
        b"\x01rest",
        b"\x02done\n",
    ]);
    bytes.extend_from_slice(b"00000006\x01x");
    let mut reader = dribbled(&bytes);
    let mut sideband = Sideband::new(&mut reader);
    assert_eq!(now(sideband.data()).unwrap().unwrap(), "PACK");
    assert_eq!(now(sideband.data()).unwrap().unwrap(), "rest");
    assert_eq!(now(sideband.data()).unwrap(), None);
    assert_eq!(sideband.messages(), "counting\ndone");
}

#[test]
fn a_fatal_error_is_the_servers_word() {
    for packet in [&b"\x03out of memory\n"[..], b"ERR out of memory\n"] {
        let bytes = data(&[packet]);
        let mut reader = packets(&bytes);
        let error = now(Sideband::new(&mut reader).data()).unwrap_err();
        assert!(matches!(error, Error::Remote(text) if text == "out of memory"));
    }
}

#[test]
fn other_bands_and_delimiters_are_garbage() {
    for bytes in [&b"0006\x04x"[..], b"0006Ex", b"0006\0x", b"0001"] {
        let mut reader = packets(bytes);
        let error = now(Sideband::new(&mut reader).data()).unwrap_err();
        assert!(matches!(error, Error::Garbage(_)), "{bytes:?}");
    }
}

#[test]
fn a_stream_without_its_flush_packet_is_cut() {
    let bytes = data(&[b"\x01PACK"]);
    let mut reader = packets(&bytes);
    let mut sideband = Sideband::new(&mut reader);
    assert!(now(sideband.data()).unwrap().is_some());
    assert!(matches!(now(sideband.data()), Err(Error::Cut)));
}

#[test]
fn of_a_talkative_server_the_last_words_are_kept() {
    let mut line = vec![2];
    line.extend_from_slice(&[b'x'; 1000]);
    let mut bytes = data(&vec![&line[..]; 20]);
    bytes.extend_from_slice(&data(&[b"\x02the end\n"]));
    bytes.extend_from_slice(b"0000");
    let mut reader = packets(&bytes);
    let mut sideband = Sideband::new(&mut reader);
    assert_eq!(now(sideband.data()).unwrap(), None);
    let words = sideband.messages();
    assert!(words.len() <= 8 * 1024 && words.ends_with("the end"));
}

#[test]
fn without_a_sideband_all_that_follows_is_data() {
    let mut bytes = data(&[b"NAK\n"]);
    bytes.extend_from_slice(b"PACK and so on");
    let mut reader = dribbled(&bytes);
    now(reader.line()).unwrap();
    let mut sideband = Sideband::plain(&mut reader);
    let mut read = Vec::new();
    while let Some(piece) = now(sideband.data()).unwrap() {
        read.extend_from_slice(&piece);
    }
    assert_eq!(read, b"PACK and so on");
}
