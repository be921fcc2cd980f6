//! What a git server says before and around a pack.

use bytes::Bytes;
use crates_ferry::git::ObjectId;
use crates_ferry::git::wire::receive_pack::ReportStatus;
use crates_ferry::git::wire::upload_pack::{Fetch, FetchResponse};
use crates_ferry::git::wire::{
    Advertisement, Packet, PacketReader, PacketWriter, Protocol, Result, Sideband, read_ls_refs,
};
use futures_util::{FutureExt as _, stream};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

const NONE: &str = "0000000000000000000000000000000000000000";
const REFERENCE: &str = "refs/heads/master";

/// Packets do not depend on the pieces in which they arrive.
pub(crate) fn pkt_line(bytes: &[u8]) {
    let whole = packets_of(PacketReader::new(bytes));
    let dribbled = packets_of(PacketReader::new(one_by_one(bytes)));
    assert_eq!(whole, dribbled);
}

/// Nor does what is in the sideband.
pub(crate) fn sideband(bytes: &[u8]) {
    let whole = data_of(&mut PacketReader::new(bytes));
    let dribbled = data_of(&mut PacketReader::new(one_by_one(bytes)));
    assert_eq!(whole, dribbled);
}

pub(crate) fn advertisement(bytes: &[u8]) {
    let read = now(Advertisement::read(&mut PacketReader::new(bytes)));
    if let Ok(advertisement) = read {
        assert_eq!(
            advertisement.refs.is_none(),
            advertisement.protocol == Protocol::V2
        );
    }
}

pub(crate) fn ls_refs(bytes: &[u8]) {
    let _ = now(read_ls_refs(&mut PacketReader::new(bytes), REFERENCE));
}

pub(crate) fn fetch_response_v0(bytes: &[u8]) {
    fetch_response(Protocol::V0, bytes);
}

pub(crate) fn fetch_response_v2(bytes: &[u8]) {
    fetch_response(Protocol::V2, bytes);
}

/// The first byte chooses whether the server offers a sideband; the rest is what it says.
pub(crate) fn report_status(bytes: &[u8]) {
    let Some((first, said)) = bytes.split_first() else {
        return;
    };
    let offer = match first % 2 {
        0 => "report-status",
        _ => "report-status side-band-64k",
    };
    let offered = PacketWriter::new()
        .line(&format!("{NONE} capabilities^{{}}\0{offer}"))
        .flush()
        .finish();
    let offered = now(Advertisement::read(&mut PacketReader::new(&*offered)));
    let capabilities = offered.expect("git sends the same").capabilities;
    let mut packets = PacketReader::new(said);
    if let Ok(report) = now(ReportStatus::read(&mut packets, &capabilities, REFERENCE)) {
        assert!(report.messages.len() <= said.len() * 4);
    }
}

/// Deepened and not: in v0 the former begins with a section of its own.
fn fetch_response(protocol: Protocol, bytes: &[u8]) {
    let tip: ObjectId = NONE.parse().expect("40 hexadecimal digits");
    let commits = Fetch::commits(tip, 8);
    let all = Fetch {
        deepen: None,
        ..Fetch::commits(tip, 8)
    };
    for fetch in [commits, all] {
        let mut packets = PacketReader::new(bytes);
        let _ = now(FetchResponse::read(&mut packets, protocol, &fetch));
    }
}

fn packets_of<R: AsyncRead + Unpin>(mut reader: PacketReader<R>) -> (Vec<Packet>, String) {
    let mut packets = Vec::new();
    loop {
        match now(reader.packet()) {
            Ok(packet) => packets.push(packet),
            Err(error) => return (packets, error.to_string()),
        }
    }
}

fn data_of<R: AsyncRead + Unpin>(packets: &mut PacketReader<R>) -> (Vec<u8>, String, String) {
    let mut sideband = Sideband::new(packets);
    let mut data = Vec::new();
    let end = loop {
        match now(sideband.data()) {
            Ok(Some(piece)) => data.extend_from_slice(&piece),
            Ok(None) => break String::new(),
            Err(error) => break error.to_string(),
        }
    };
    (data, sideband.messages(), end)
}

/// Returns what a future yields that reads from memory, and so never waits.
fn now<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    future.now_or_never().expect("memory is always ready")
}

fn one_by_one(bytes: &[u8]) -> impl AsyncRead + Unpin + use<> {
    let single: Vec<_> = bytes
        .iter()
        .map(|byte| std::io::Result::Ok(Bytes::from(vec![*byte])))
        .collect();
    StreamReader::new(stream::iter(single))
}
