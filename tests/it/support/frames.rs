//! pkt-lines, as they pass on the wire.

/// Takes a stream apart into packets.
#[derive(Default)]
pub struct Frames {
    /// What has come in and is not taken yet.
    pub pending: Vec<u8>,
    /// Whether no packets are looked for any more.
    pub is_raw: bool,
}

impl Frames {
    /// Returns the next packet; all there is where no packets are looked for or none are there.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        if self.pending.is_empty() {
            return None;
        }
        if self.is_raw {
            return Some(std::mem::take(&mut self.pending));
        }
        let Some(length) = packet_length(self.pending.get(..4)?) else {
            self.is_raw = true;
            return Some(std::mem::take(&mut self.pending));
        };
        (self.pending.len() >= length).then(|| self.pending.drain(..length).collect())
    }
}

fn packet_length(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?;
    usize::from_str_radix(text, 16).ok().map(|n| n.max(4))
}

/// Returns where packets begin and end in a recorded stream, up to what is no packet.
pub fn boundaries(stream: &[u8]) -> Vec<usize> {
    let mut found = vec![0];
    let mut at = 0;
    while let Some(length) = stream.get(at..at + 4).and_then(packet_length) {
        at += length;
        if at > stream.len() {
            break;
        }
        found.push(at);
    }
    found
}

/// Builds one packet.
pub fn packet(payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = format!("{:04x}", payload.len() + 4).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}
