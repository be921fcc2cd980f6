//! The sideband: packets whose first byte says what they contain. 1 data, 2 messages for people, 3 a fatal error. A server that
//! offers none sends its data as it is, up to the end of the connection.

use bytes::{Buf, Bytes};
use tokio::io::AsyncRead;

use super::{Error, Packet, PacketReader, Result};

#[cfg(test)]
mod tests;

/// Reads the data of a multiplexed stream until its flush packet.
pub struct Sideband<'a, R> {
    packets: &'a mut PacketReader<R>,
    messages: Vec<u8>,
    is_plain: bool,
}

impl<'a, R: AsyncRead + Unpin> Sideband<'a, R> {
    /// How much of the server's messages is stored, in bytes: the end, where a refusal gives its reason.
    const MESSAGES_LIMIT: usize = 8 * 1024;

    /// Reads the multiplexed stream that begins at the next packet.
    pub fn new(packets: &'a mut PacketReader<R>) -> Self {
        Self {
            packets,
            messages: Vec::new(),
            is_plain: false,
        }
    }

    /// Reads data that is not multiplexed: what follows, without packets around it, up to the stream's end.
    pub fn plain(packets: &'a mut PacketReader<R>) -> Self {
        Self {
            is_plain: true,
            ..Self::new(packets)
        }
    }

    /// Returns the next piece of data, `None` at the stream's end; skips keepalives.
    ///
    /// # Errors
    /// `Remote` with the server's message for a fatal error.
    pub async fn data(&mut self) -> Result<Option<Bytes>> {
        if self.is_plain {
            let bytes = self.packets.bytes().await?;
            return Ok(Some(bytes).filter(|bytes| !bytes.is_empty()));
        }
        loop {
            let mut payload = match self.packets.packet().await? {
                Packet::Data(payload) => payload,
                Packet::Flush | Packet::ResponseEnd => return Ok(None),
                Packet::Delimiter => return Err(Error::garbage("a delimiter inside the sideband")),
            };
            if payload.is_empty() {
                continue;
            }
            match payload.get_u8() {
                // A keepalive: git's servers send one after 5 s of silence.
                1 if payload.is_empty() => {}
                1 => return Ok(Some(payload)),
                2 => self.store_message(&payload),
                3 => {
                    return Err(Error::Remote(
                        String::from_utf8_lossy(&payload).trim().to_owned(),
                    ));
                }
                // An error packet may replace any packet (gitprotocol-pack), and has no band.
                b'E' if payload.starts_with(b"RR ") => {
                    return Err(Error::Remote(
                        String::from_utf8_lossy(&payload[3..]).trim().to_owned(),
                    ));
                }
                band => return Err(Error::garbage(format!("sideband {band}"))),
            }
        }
    }

    /// Returns the server's messages for people so far: hooks' output, remarks.
    pub fn messages(&self) -> String {
        String::from_utf8_lossy(&self.messages).trim().to_owned()
    }

    fn store_message(&mut self, text: &[u8]) {
        self.messages.extend_from_slice(text);
        let excess = self.messages.len().saturating_sub(Self::MESSAGES_LIMIT);
        self.messages.drain(..excess);
    }
}
