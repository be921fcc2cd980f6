//! pkt-line: four hexadecimal digits of length, themselves included, then the payload.
//!
//! ```text
//! 0006a\n   payload "a\n"
//! 0000      flush      0001  delimiter      0002  response end
//! ```
//!
//! gix-packetline reads the same, but copies each packet and takes a blocking reader, or one of `futures-io`; here packets are
//! slices of one buffer that large reads fill, and the trace sees each of them.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Capabilities, Error, PacketTrace, Result};

#[cfg(test)]
mod tests;

/// The longest payload of one packet: 65,520 bytes less the length itself.
const MAX_PAYLOAD: usize = 65_516;
const LENGTH: usize = 4;
/// The longest packet fits into one read.
const READ_SIZE: usize = 64 * 1024;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// `0000`: the end of a list or of a message.
    Flush,
    /// `0001`: between the sections of a message of protocol v2.
    Delimiter,
    /// `0002`: the end of a response of protocol v2 over stateless transports.
    ResponseEnd,
    /// A payload; may be empty (`0004`).
    Data(Bytes),
}

/// Reads packets, in few large reads.
pub struct PacketReader<R> {
    inner: R,
    buffer: BytesMut,
    trace: PacketTrace,
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    /// Reads packets from `inner`.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: BytesMut::new(),
            trace: PacketTrace::default(),
        }
    }

    /// Logs every packet that is read.
    #[must_use]
    pub fn traced(mut self, trace: PacketTrace) -> Self {
        self.trace = trace;
        self
    }

    /// Returns where the packets are logged.
    pub(super) fn trace(&self) -> PacketTrace {
        self.trace.clone()
    }

    /// Reads one packet; the end of the stream is an error here.
    ///
    /// # Errors
    /// `Cut` at the end of the stream, `Garbage` for an invalid length.
    pub async fn packet(&mut self) -> Result<Packet> {
        let packet = self.read().await?;
        self.trace.received(&packet);
        Ok(packet)
    }

    async fn read(&mut self) -> Result<Packet> {
        self.fill(LENGTH).await?;
        let length = parse_length(&self.buffer[..LENGTH])?;
        let packet = match length {
            0 => Packet::Flush,
            1 => Packet::Delimiter,
            2 => Packet::ResponseEnd,
            _ => {
                self.fill(length).await?;
                let mut packet = self.buffer.split_to(length).freeze();
                packet.advance(LENGTH);
                return Ok(Packet::Data(packet));
            }
        };
        self.buffer.advance(LENGTH);
        Ok(packet)
    }

    /// Reads a packet with a line of text: removes its final newline, turns `ERR …` into an error.
    ///
    /// # Errors
    /// `Remote` when the server sends an error packet, otherwise as [`PacketReader::packet`].
    pub async fn line(&mut self) -> Result<Packet> {
        let mut data = match self.packet().await? {
            Packet::Data(data) => data,
            control => return Ok(control),
        };
        // Senders should end a line in a newline, and receivers must not insist on it (gitprotocol-common).
        if data.last() == Some(&b'\n') {
            data.truncate(data.len() - 1);
        }
        // An error packet may stand wherever a line is expected (gitprotocol-pack).
        match data.strip_prefix(b"ERR ") {
            Some(text) => Err(Error::Remote(
                String::from_utf8_lossy(text).trim().to_owned(),
            )),
            None => Ok(Packet::Data(data)),
        }
    }

    /// Says whether the next packet acknowledges a `have`, without reading it; at least eight bytes must follow.
    ///
    /// # Errors
    /// `Cut` at the end of the stream.
    pub(super) async fn is_ack_next(&mut self) -> Result<bool> {
        const START: &[u8] = b"ACK ";
        self.fill(LENGTH + START.len()).await?;
        Ok(self.buffer[LENGTH..].starts_with(START))
    }

    /// Returns the bytes that follow the packets read so far, as many as have arrived; no bytes at the stream's end.
    ///
    /// What a push sends after its commands is a pack, without packets around it.
    ///
    /// # Errors
    /// `Io` where reading fails.
    pub async fn bytes(&mut self) -> Result<Bytes> {
        // The read that brought the last packet mostly brought the beginning of the pack as well.
        if self.buffer.is_empty() {
            self.buffer.reserve(READ_SIZE);
            self.inner.read_buf(&mut self.buffer).await?;
        }
        Ok(self.buffer.split().freeze())
    }

    async fn fill(&mut self, wanted: usize) -> Result<()> {
        while self.buffer.len() < wanted {
            self.buffer
                .reserve(READ_SIZE.max(wanted - self.buffer.len()));
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::Cut);
            }
        }
        Ok(())
    }
}

fn parse_length(digits: &[u8]) -> Result<usize> {
    let length = std::str::from_utf8(digits)
        .ok()
        // `from_str_radix` alone would also accept a sign, as in `+0ff`.
        .filter(|text| text.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|text| usize::from_str_radix(text, 16).ok())
        .ok_or_else(|| {
            Error::garbage(format!(
                "a packet's length reads {:?}",
                String::from_utf8_lossy(digits)
            ))
        })?;
    // 0003 means nothing, and 0004 is the smallest packet with a payload, an empty one.
    if length == 3 || length > MAX_PAYLOAD + LENGTH {
        return Err(Error::garbage(format!("a packet of {length} bytes")));
    }
    Ok(length)
}

/// Splits a message that [`PacketWriter`] built.
pub(super) fn split(mut message: &[u8]) -> impl Iterator<Item = Packet> {
    std::iter::from_fn(move || {
        let (digits, rest) = message.split_at_checked(LENGTH)?;
        let length = parse_length(digits).ok()?;
        let (payload, rest) = rest.split_at_checked(length.saturating_sub(LENGTH))?;
        message = rest;
        Some(match length {
            0 => Packet::Flush,
            1 => Packet::Delimiter,
            2 => Packet::ResponseEnd,
            _ => Packet::Data(Bytes::copy_from_slice(payload)),
        })
    })
}

/// Builds a message of packets in memory.
#[derive(Debug, Default)]
pub struct PacketWriter(Vec<u8>);

impl PacketWriter {
    /// Begins an empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a packet with a line of text; the newline is added.
    pub fn line(&mut self, text: &str) -> &mut Self {
        self.data(format!("{text}\n").as_bytes())
    }

    /// Appends the head of a v2 command, up to the delimiter packet before its arguments.
    pub(super) fn command(&mut self, name: &str, offered: &Capabilities) -> &mut Self {
        self.line(&format!("command={name}"));
        if let Some(agent) = offered.agent() {
            self.line(&agent);
        }
        self.delimiter()
    }

    /// Appends a packet with a payload of at most 65,516 bytes; a longer one is cut into several packets.
    pub fn data(&mut self, payload: &[u8]) -> &mut Self {
        for part in payload.chunks(MAX_PAYLOAD) {
            self.0
                .extend_from_slice(format!("{:04x}", part.len() + LENGTH).as_bytes());
            self.0.extend_from_slice(part);
        }
        self
    }

    /// Appends a flush packet.
    pub fn flush(&mut self) -> &mut Self {
        self.0.extend_from_slice(b"0000");
        self
    }

    /// Appends a delimiter packet.
    pub fn delimiter(&mut self) -> &mut Self {
        self.0.extend_from_slice(b"0001");
        self
    }

    /// Returns the message.
    pub fn finish(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.0))
    }
}
