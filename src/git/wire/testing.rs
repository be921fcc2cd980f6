//! What the wire's tests share: conversations from memory, in one piece or byte by byte.

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::{Packet, PacketReader};

/// Returns what a future yields that never has to wait.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// Reads packets from memory.
pub(super) fn packets(bytes: &[u8]) -> PacketReader<&[u8]> {
    PacketReader::new(bytes)
}

/// Reads packets that arrive one byte at a time.
pub(super) fn dribbled(bytes: &[u8]) -> PacketReader<impl AsyncRead + Unpin + use<>> {
    let single: Vec<_> = bytes
        .iter()
        .map(|byte| std::io::Result::Ok(Bytes::from(vec![*byte])))
        .collect();
    PacketReader::new(StreamReader::new(stream::iter(single)))
}

/// Writes packets with these payloads.
pub(super) fn data(payloads: &[&[u8]]) -> Vec<u8> {
    let packet = |payload: &&[u8]| {
        let mut packet = format!("{:04x}", payload.len() + 4).into_bytes();
        packet.extend_from_slice(payload);
        packet
    };
    payloads.iter().flat_map(packet).collect()
}

/// Writes packets of lines, and a flush packet.
pub(super) fn lines(lines: &[&str]) -> Vec<u8> {
    let mut bytes = data(&lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
    bytes.extend_from_slice(b"0000");
    bytes
}

/// Wraps a payload.
pub(super) fn payload(bytes: &'static [u8]) -> Packet {
    Packet::Data(Bytes::from_static(bytes))
}
