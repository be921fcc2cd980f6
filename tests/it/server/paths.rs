//! Paths made at random of what is dangerous: no answer but those that the index vouches for, and no file elsewhere.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use crate::support::server::{Server, Site, files_in, sha256};
use crate::support::upstream::Commit;

/// How many paths are tried of each kind.
const PATHS: usize = 1_500;
const PARTS: &[&str] = &[
    "foo",
    "Foo",
    "FOO",
    "f",
    "3",
    "1",
    "fo",
    "o-",
    "1.0.0",
    "2.0.0",
    "1.0.0+b",
    "..",
    ".",
    "",
    "%2e%2e",
    "%2f",
    "%5c..",
    "\\",
    "%00",
    "%ff",
    "%c3%a9",
    "%E2%80%AE",
    "con",
    "nul",
    "aux.crate",
    "config.json",
    ".git",
    "download",
    "~",
    "*",
    "?x=1",
    ";",
    "+",
    "%252e",
    "crates",
    "0",
    "-",
    "_",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

/// Makes a path of some of the parts.
fn made(random: &mut fastrand::Rng, most: usize) -> String {
    let number = random.usize(1..=most);
    // Often of the first few, so that some are right.
    let parts = if random.bool() { PARTS } else { &PARTS[..12] };
    let parts = (0..number).map(|_| *random.choice(parts).unwrap());
    let joined: Vec<&str> = parts.collect();
    let between = random.choice(["/", "//", "%2F", ""]).unwrap();
    joined.join(if random.u8(..) < 200 { "/" } else { between })
}

/// Asks for a path as it stands; returns the status and the body.
fn ask(server: &Server, path: &str) -> (u16, Vec<u8>) {
    let mut stream = server.connect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let status = std::str::from_utf8(&answer[9..12])
        .unwrap()
        .parse()
        .unwrap();
    (status, answer.split_off(end + 4))
}

#[test]
fn no_path_leads_to_what_is_not_listed() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"one");
    site.publish("foo", "1.0.0+b", b"two");
    let other = Commit::new("Add what is no crate's file");
    let other = other.file("foo", "secret").file("3/foo", "secret");
    site.index.commit([other]);
    let server = site.serve(&[]);
    let before: BTreeSet<_> = files_in(site.folder.path()).into_iter().collect();
    let entry = server.entry("foo").body;
    let (_, config) = ask(&server, "/index/config.json");
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut found = 0;
    // It is asked for and kept by the name that the index writes.
    let first = ask(&server, "/api/v1/crates/FOO/1.0.0/download");
    assert_eq!(first, (200, b"one".to_vec()));
    for _ in 0..PATHS {
        let path = format!("/index/{}", made(&mut random, 5));
        let (status, body) = ask(&server, &path);
        let is_right = match status {
            200 => match path.split('?').next() {
                Some("/index/3/f/foo") => body == entry,
                Some("/index/config.json") => body == config,
                _ => false,
            },
            400 | 404 => true,
            _ => false,
        };
        assert!(is_right, "seed {seed}: {path}: {status}");
        let named = made(&mut random, 3);
        let path = format!("/api/v1/crates/{named}/download");
        let (status, body) = ask(&server, &path);
        let is_right = match status {
            200 => match named.to_ascii_lowercase().as_str() {
                "foo/1.0.0" => body == b"one",
                "foo/1.0.0+b" => body == b"two",
                _ => false,
            },
            400 | 404 => true,
            _ => false,
        };
        assert!(is_right, "seed {seed}: {path}: {status}");
        found += usize::from(status == 200);
    }
    assert!(found > 0, "seed {seed}: none was right");
    assert_eq!(ask(&server, "/healthz").0, 200);
    // Nothing else was asked for, or written.
    let asked: BTreeSet<_> = site.host.requests().into_iter().collect();
    assert!(
        asked
            .iter()
            .all(|path| path.starts_with("/crates/foo/1.0.0")),
        "{asked:?}"
    );
    let kept = |version: &str| site.kept("foo", version);
    let after = files_in(site.folder.path()).into_iter();
    let new: Vec<_> = after.filter(|path| !before.contains(path)).collect();
    let known = |path: &&std::path::PathBuf| {
        [kept("1.0.0"), kept("1.0.0+b")].contains(path)
            || path.starts_with(site.data()) && !path.starts_with(site.data().join("crates"))
    };
    let strange: Vec<_> = new.iter().filter(|path| !known(path)).collect();
    assert!(strange.is_empty(), "seed {seed}: {strange:?}");
    assert_eq!(
        sha256(&std::fs::read(kept("1.0.0")).unwrap()),
        sha256(b"one")
    );
}
