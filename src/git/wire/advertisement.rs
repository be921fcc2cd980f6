//! The advertisement, which a service sends first: protocol version, capabilities and, in v0 and v1, refs.

use tokio::io::AsyncRead;

use super::refs::RefsReader;
use super::{AGENT, Error, Packet, PacketReader, Refs, Result};

#[cfg(test)]
mod tests;

/// The version of the protocol that a service speaks; v1 is v0 with a line before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Refs come first, then one fetch or push.
    V0,
    /// Capabilities come first, then any number of commands.
    V2,
}

/// The capabilities that a service offers: names with or without a value.
#[derive(Debug, Clone, Default)]
pub struct Capabilities(Vec<(String, Option<String>)>);

impl Capabilities {
    // git's own services offer about twenty; this bounds what a server that never stops can make us store.
    const LIMIT: usize = 200;
    /// The most bytes that all of them may have: four packets full.
    const SIZE_LIMIT: usize = 256 << 10;

    /// Says whether a capability is offered.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Returns a capability's value; the first where it is offered several times.
    pub fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        value.as_deref()
    }

    /// Returns all the values of a capability that is offered several times (`symref`).
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .filter_map(|(_, value)| value.as_deref())
    }

    /// Says whether a capability's value, a list of words, holds a word (v2: `fetch=shallow filter`).
    pub fn value_has(&self, name: &str, word: &str) -> bool {
        self.value(name)
            .is_some_and(|value| value.split(' ').any(|known| known == word))
    }

    /// Returns the capability that says who we are, unless the server did not offer it: a client must not name it then
    /// (gitprotocol-capabilities).
    pub(super) fn agent(&self) -> Option<String> {
        self.has("agent").then(|| format!("agent={AGENT}"))
    }

    fn add(&mut self, text: &str) -> Result<()> {
        if self.0.len() == Self::LIMIT {
            return Err(Error::Limit {
                what: "the number of a server's capabilities",
                limit: Self::LIMIT,
            });
        }
        let lengths = self
            .0
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
        if lengths.sum::<usize>() + text.len() > Self::SIZE_LIMIT {
            return Err(Error::Limit {
                what: "the size of a server's capabilities",
                limit: Self::SIZE_LIMIT,
            });
        }
        self.0.push(match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        });
        Ok(())
    }

    fn parse_v0(list: &[u8]) -> Result<Self> {
        let mut capabilities = Self::default();
        for text in String::from_utf8_lossy(list).split_ascii_whitespace() {
            capabilities.add(text)?;
        }
        Ok(capabilities)
    }

    fn refuse_sha256(&self) -> Result<()> {
        match self.value("object-format") {
            // A server that names no format has sha1 (gitprotocol-capabilities, "object-format").
            None | Some("sha1") => Ok(()),
            Some(other) => Err(Error::Unsupported(format!(
                "the repository's object format is {other}; the index is a sha1 repository, and git cannot convert one \
                 into the other"
            ))),
        }
    }
}

/// What a service sends before the first request.
#[derive(Debug, Clone)]
pub struct Advertisement {
    /// The version of the protocol that it speaks.
    pub protocol: Protocol,
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// Its refs; `None` in v2, which lists them on request.
    pub refs: Option<Refs>,
}

impl Advertisement {
    /// Reads an advertisement of any version; of its refs, HEAD and the branches.
    ///
    /// # Errors
    /// `Unsupported` for a repository that is not sha1, `Remote` when the service refuses, `Garbage` for anything else.
    pub async fn read<R: AsyncRead + Unpin>(packets: &mut PacketReader<R>) -> Result<Self> {
        let mut first = packets.line().await?;
        if matches!(&first, Packet::Data(line) if line.as_ref() == b"version 2") {
            return Self::read_v2(packets).await;
        }
        if matches!(&first, Packet::Data(line) if line.as_ref() == b"version 1") {
            first = packets.line().await?;
        }
        Self::read_v0(packets, first).await
    }

    async fn read_v2<R: AsyncRead + Unpin>(packets: &mut PacketReader<R>) -> Result<Self> {
        let mut capabilities = Capabilities::default();
        while let Packet::Data(line) = packets.line().await? {
            capabilities.add(&String::from_utf8_lossy(&line))?;
        }
        capabilities.refuse_sha256()?;
        Ok(Self {
            protocol: Protocol::V2,
            capabilities,
            refs: None,
        })
    }

    /// Reads `id SP name NUL capabilities`, then `id SP name` a line, up to the flush packet.
    async fn read_v0<R: AsyncRead + Unpin>(
        packets: &mut PacketReader<R>,
        first: Packet,
    ) -> Result<Self> {
        let mut capabilities = Capabilities::default();
        let mut refs = RefsReader::new(None);
        let mut next = first;
        let mut is_first = true;
        while let Packet::Data(line) = next {
            let mut parts = line.splitn(2, |byte| *byte == 0);
            let reference = parts.next().unwrap_or_default();
            // Only the first line carries capabilities. An empty repository may send no line at all, and so none.
            if let Some(list) = parts.next().filter(|_| is_first) {
                capabilities = Capabilities::parse_v0(list)?;
                capabilities.refuse_sha256()?;
            }
            is_first = false;
            refs.line_v0(reference)?;
            next = packets.line().await?;
        }
        if next != Packet::Flush {
            return Err(Error::garbage(
                "the list of refs does not end in a flush packet",
            ));
        }
        // The line of HEAD tells only its id. `symref` names its branch, also one that does not exist yet.
        let head = capabilities
            .values("symref")
            .find_map(|pair| pair.strip_prefix("HEAD:"));
        refs.head_is(head);
        Ok(Self {
            protocol: Protocol::V0,
            refs: Some(refs.finish()),
            capabilities,
        })
    }
}
