//! Answers of upstream that break off: what follows is the rest of the same file, or the body fails.

use crate::support::crate_host::{Manner, raw};
use crate::support::raw_http::converse;
use crate::support::server::{Site, files_in, noise};

const SIZE: usize = 3_000_000;
const HALF: usize = SIZE / 2;

fn site() -> (Site, Vec<u8>) {
    let mut site = Site::new();
    let bytes = noise(SIZE, 1);
    site.publish("foo", "1.0.0", &bytes);
    (site, bytes)
}

fn with_length(length: usize) -> String {
    format!("200 OK\r\ncontent-length: {length}")
}

fn part(length: usize, range: &str) -> String {
    format!("206 Partial Content\r\ncontent-length: {length}\r\ncontent-range: bytes {range}")
}

#[test]
fn a_rest_that_belongs_to_another_file_is_no_rest() {
    let (site, bytes) = site();
    let cut = raw(&with_length(SIZE), &bytes[..HALF]);
    let (longer, rest) = (noise(5_000_000, 2), &bytes[HALF..]);
    let from_half = format!("{HALF}-{}", SIZE - 1);
    for (number, second) in [
        // A portal's page, as long as it likes.
        raw(&with_length(longer.len()), &longer),
        raw("200 OK", &longer),
        raw(&with_length(SIZE - 1), &bytes[..SIZE - 1]),
        raw("200 OK", &bytes[..SIZE - 1]),
        // Other parts than the one asked for.
        raw(
            &part(rest.len(), &format!("0-{}/{SIZE}", rest.len() - 1)),
            rest,
        ),
        raw(
            &part(rest.len(), &format!("{from_half}/{}", SIZE + 1)),
            rest,
        ),
        raw(&part(longer.len(), &format!("{from_half}/{SIZE}")), &longer),
        raw(
            &part(rest.len() - 1, &format!("{from_half}/{SIZE}")),
            &rest[1..],
        ),
        raw("206 Partial Content", rest),
        raw("416 No\r\ncontent-length: 0", b""),
    ]
    .into_iter()
    .enumerate()
    {
        // The bound of each: a server that remembers nothing of the last.
        let server = site.serve(&[]);
        site.host.behave(Manner::Raw(vec![cut.clone(), second]));
        let got = server.download("foo", "1.0.0");
        assert!(
            got.status == 502 || !got.is_whole,
            "{number}: {}",
            got.status
        );
        assert!(got.body.len() < SIZE, "{number}");
        assert_eq!(files_in(&site.data().join("crates")).len(), 0, "{number}");
        site.host.behave(Manner::Fine);
        assert!(server.download("foo", "1.0.0").body == bytes, "{number}");
        drop(server);
        std::fs::remove_dir_all(site.data()).unwrap();
    }
}

#[test]
fn a_first_answer_that_is_too_short_ends_in_a_failure() {
    let (site, bytes) = site();
    let server = site.serve(&[]);
    let cut = raw(&with_length(2_000_000), &bytes[..HALF]);
    let rest = raw(
        &part(SIZE - HALF, &format!("{HALF}-{}/*", SIZE - 1)),
        &bytes[HALF..],
    );
    site.host.behave(Manner::Raw(vec![cut, rest]));
    let got = server.download("foo", "1.0.0");
    assert!(got.status == 502 || !got.is_whole, "{}", got.status);
    site.host.behave(Manner::Raw(vec![raw(
        &part(SIZE, &format!("0-{}/{SIZE}", SIZE - 1)),
        &bytes,
    )]));
    assert_eq!(server.download("foo", "1.0.0").status, 502);
}

#[test]
fn the_rest_is_taken_from_a_server_that_does_not_say_how_long_the_file_is() {
    let (site, bytes) = site();
    let server = site.serve(&[]);
    let cut = raw(&with_length(SIZE), &bytes[..HALF]);
    let rest = raw(
        &part(SIZE - HALF, &format!("{HALF}-{}/*", SIZE - 1)),
        &bytes[HALF..],
    );
    site.host.behave(Manner::Raw(vec![cut, rest]));
    let got = server.download("foo", "1.0.0");
    assert!(got.is_whole && got.body == bytes);
}

#[test]
fn nothing_after_the_last_byte_is_the_end() {
    let (site, bytes) = site();
    let server = site.serve(&[]);
    // All of it, but not the end of the chunks.
    let mut body = format!("{SIZE:x}\r\n").into_bytes();
    body.extend_from_slice(&bytes);
    let all = raw("200 OK\r\ntransfer-encoding: chunked", &body);
    let nothing = raw(
        &format!("416 No\r\ncontent-length: 0\r\ncontent-range: bytes */{SIZE}"),
        b"",
    );
    site.host.behave(Manner::Raw(vec![all, nothing]));
    let got = server.download("foo", "1.0.0");
    assert!(got.is_whole && got.body == bytes, "{}", got.text());
    assert_eq!(site.host.requests().len(), 2);
}

#[test]
fn a_client_that_knows_no_chunks_sees_a_failure_as_one() {
    let (site, bytes) = site();
    let request = "GET /api/v1/crates/foo/1.0.0/download HTTP/1.0\r\n\r\n";
    let mut wrong = bytes.clone();
    wrong[SIZE - 1] ^= 1;
    let server = site.serve(&[]);
    site.host.behave(Manner::Raw(vec![raw("200 OK", &wrong)]));
    let (head, body) = converse(&server, request);
    assert!(head.starts_with("http/1.0 502"), "{head}");
    assert!(body.len() < 1000);
    site.host.behave(Manner::WithoutLength);
    let (head, body) = converse(&server, request);
    assert!(
        head.contains(&format!("content-length: {SIZE}\r\n")),
        "{head}"
    );
    assert!(body == bytes);
    drop(server);
    std::fs::remove_dir_all(site.data()).unwrap();
    let server = site.serve(&[]);
    site.host.behave(Manner::Wrong(wrong));
    let (head, body) = converse(&server, request);
    assert!(
        head.contains(&format!("content-length: {SIZE}\r\n")),
        "{head}"
    );
    assert!(body.len() < SIZE);
}
