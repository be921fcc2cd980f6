//! What a server can do wrong, packet by packet.

use crates_ferry::error::Kind;
use crates_ferry::git::wire::pack::{ObjectKind, whole_entry};

use super::{is_data, is_first, is_ref};
use crate::support::frames::packet;
use crate::support::proxy::Action::{self, Endless, HangUp, Pass, Stall};
use crate::support::proxy::Passing;

const FLUSH: &[u8] = b"0000";

/// A fault of a server, as a change of one of its packets, and what is told of it.
pub struct Fault {
    pub name: &'static str,
    /// Which packet is changed.
    pub at: fn(&Passing<'_>) -> bool,
    /// What it becomes.
    pub becomes: Vec<u8>,
    pub after: Action,
    pub kind: Kind,
    pub says: &'static str,
}

fn pack(entries: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x01PACK\0\0\0\x02".to_vec();
    bytes.extend_from_slice(&entries.to_be_bytes());
    bytes.extend_from_slice(content);
    packet(bytes)
}

/// An entry that says it is a commit of 100 bytes and inflates to many megabytes.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let level = flate2::Compression::best();
    let mut zlib = flate2::write::ZlibEncoder::new(vec![0x94, 0x06], level);
    zlib.write_all(&vec![b' '; 40 << 20]).unwrap();
    pack(1, &zlib.finish().unwrap())
}

pub const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const NO_GIT: &str = "not the git protocol";

/// Returns every fault.
pub fn faults() -> Vec<Fault> {
    [greetings(), refs(), packs()]
        .into_iter()
        .flatten()
        .collect()
}

/// What a server says instead of its greeting.
fn greetings() -> Vec<Fault> {
    let fault = |name, becomes, after, kind, says| Fault {
        name,
        at: is_first,
        becomes,
        after,
        kind,
        says,
    };
    vec![
        fault(
            "no packet at all",
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            HangUp,
            Kind::Server,
            NO_GIT,
        ),
        fault(
            "a length of 3",
            b"0003".to_vec(),
            HangUp,
            Kind::Server,
            NO_GIT,
        ),
        fault(
            "a length beyond the limit",
            b"ffffxxxx".to_vec(),
            HangUp,
            Kind::Server,
            NO_GIT,
        ),
        fault(
            "a packet that is shorter than it says",
            b"0100version 2\n".to_vec(),
            HangUp,
            Kind::Network,
            "cut",
        ),
        fault("nothing", Vec::new(), HangUp, Kind::Network, "cut"),
        fault(
            "silence",
            Vec::new(),
            Stall,
            Kind::Network,
            "idle timeout while",
        ),
        fault(
            "endless capabilities",
            packet("version 2\n"),
            Endless(packet("x=y\n")),
            Kind::Server,
            "limit",
        ),
        fault(
            "a denial",
            packet("ERR access denied or repository not exported: /a"),
            HangUp,
            Kind::Permission,
            "access denied",
        ),
    ]
}

/// What it says instead of its refs.
fn refs() -> Vec<Fault> {
    let fault = |name, becomes, after, kind, says| Fault {
        name,
        at: is_ref,
        becomes,
        after,
        kind,
        says,
    };
    vec![
        fault(
            "silence instead of refs",
            Vec::new(),
            Stall,
            Kind::Network,
            "idle timeout while",
        ),
        fault(
            "a ref that is none",
            packet("what is this\n"),
            Pass,
            Kind::Server,
            NO_GIT,
        ),
        fault(
            "an error instead of refs",
            packet("ERR upload-pack: out of sorts"),
            HangUp,
            Kind::Server,
            "out of sorts",
        ),
    ]
}

/// What it sends instead of the first piece of a pack.
fn packs() -> Vec<Fault> {
    let fault = |name, becomes, after, kind, says| Fault {
        name,
        at: is_data,
        becomes,
        after,
        kind,
        says,
    };
    vec![
        fault(
            "silence instead of a pack",
            Vec::new(),
            Stall,
            Kind::Network,
            "idle timeout while",
        ),
        fault(
            "an unknown sideband",
            packet("\x07what"),
            HangUp,
            Kind::Server,
            NO_GIT,
        ),
        fault(
            "no pack in the sideband",
            packet("\x01PUCK and so on"),
            HangUp,
            Kind::Server,
            NO_GIT,
        ),
        fault(
            "more objects than there are",
            [pack(7, b""), FLUSH.to_vec()].concat(),
            HangUp,
            Kind::Network,
            "cut",
        ),
        fault(
            "an object larger than it says",
            bomb(),
            HangUp,
            Kind::Server,
            "longer than it says",
        ),
        fault(
            "an object that says it is huge",
            pack(1, &[0x9f, 0xff, 0xff, 0xff, 0x7f, 0x78]),
            HangUp,
            Kind::Server,
            "limit",
        ),
        fault(
            "a delta on nothing",
            pack(1, b"\x64\x05\x78\x9c\x01\x00\x00\x00\x00\x01"),
            HangUp,
            Kind::Server,
            NO_GIT,
        ),
        fault(
            "an endless pack",
            pack(9_999_999, b""),
            Endless(packet([1; 60_000])),
            Kind::Server,
            NO_GIT,
        ),
        fault(
            "a commit that is none",
            [pack(1, &commit(b"tree and so on")), FLUSH.to_vec()].concat(),
            HangUp,
            Kind::Server,
            "commit",
        ),
        fault(
            "endless objects",
            pack(u32::MAX, b""),
            Endless(endless_objects()),
            Kind::Server,
            "limit",
        ),
    ]
}

/// Builds the entry of a whole commit.
fn commit(content: &[u8]) -> Vec<u8> {
    let entry = whole_entry(ObjectKind::Commit, content).unwrap();
    entry.to_vec()
}

/// Many whole commits in one packet, none of which was asked for.
fn endless_objects() -> Vec<u8> {
    let person = "A <a@b.example> 1600000000 +0000";
    let text = format!("tree {EMPTY_TREE}\nauthor {person}\ncommitter {person}\n\nx");
    let entry = commit(text.as_bytes());
    packet([vec![1], entry.repeat(60_000 / entry.len())].concat())
}
