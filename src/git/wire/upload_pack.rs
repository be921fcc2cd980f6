//! `upload-pack`: asking a server for objects, in protocol v2 and v0.

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::{AGENT, Capabilities, Error, Packet, PacketReader, PacketWriter, Protocol, Result};
use crate::git::ObjectId;

#[cfg(test)]
mod tests;

/// One request for objects.
#[derive(Debug, Clone, Default)]
pub struct Fetch {
    /// The objects that are wanted.
    pub wants: Vec<ObjectId>,
    /// Commits that the receiver of the pack has, with everything below them.
    pub haves: Vec<ObjectId>,
    /// Commits whose parents the server is to disregard.
    pub shallow: Vec<ObjectId>,
    /// How many generations of commits to send; the rest is cut off.
    pub deepen: Option<u32>,
    /// Leaves out all trees and blobs but those that are wanted by id (`filter tree:0`), where the server can.
    pub only_wanted_trees: bool,
    /// Lets deltas refer to objects that the receiver has.
    pub thin: bool,
    /// Asks for the pack whether or not the server knows any of `haves`. Without it the server sends the pack only when
    /// every want leads to a commit that both sides have.
    pub done: bool,
}

impl Fetch {
    /// Asks for the last `depth` generations of commits that lead to `tip`, and for nothing else.
    pub fn commits(tip: ObjectId, depth: u32) -> Self {
        Self {
            wants: vec![tip],
            deepen: Some(depth),
            only_wanted_trees: true,
            done: true,
            ..Self::default()
        }
    }

    /// Builds the request for a server of this protocol that offers these capabilities.
    pub fn request(&self, protocol: Protocol, capabilities: &Capabilities) -> Bytes {
        match protocol {
            Protocol::V2 => self.request_v2(capabilities),
            Protocol::V0 => self.request_v0(capabilities),
        }
    }

    fn request_v2(&self, offered: &Capabilities) -> Bytes {
        let mut request = PacketWriter::new();
        request
            .line("command=fetch")
            .line(&format!("agent={AGENT}"))
            .delimiter();
        request.line("no-progress").line("ofs-delta");
        if self.thin {
            request.line("thin-pack");
        }
        for id in &self.wants {
            request.line(&format!("want {id}"));
        }
        self.shallow_lines(&mut request, offered.value_has("fetch", "filter"));
        self.have_lines(&mut request);
        request.flush().finish()
    }

    /// The capabilities ride on the first want; haves follow after a flush packet.
    fn request_v0(&self, offered: &Capabilities) -> Bytes {
        // Without multi_ack_detailed the number of a server's ACK lines cannot be told beforehand.
        let mut wished = vec![
            "multi_ack_detailed",
            "side-band-64k",
            "ofs-delta",
            "no-progress",
        ];
        if self.thin {
            wished.push("thin-pack");
        }
        if self.only_wanted_trees {
            wished.push("filter");
        }
        if self.deepen.is_some() || !self.shallow.is_empty() {
            wished.push("shallow");
        }
        wished.retain(|name| offered.has(name));
        let mut request = PacketWriter::new();
        for (number, id) in self.wants.iter().enumerate() {
            match number {
                0 => request.line(&format!("want {id} {} agent={AGENT}", wished.join(" "))),
                _ => request.line(&format!("want {id}")),
            };
        }
        self.shallow_lines(&mut request, offered.has("filter"));
        request.flush();
        self.have_lines(&mut request);
        if !self.done {
            request.flush();
        }
        request.finish()
    }

    fn shallow_lines(&self, request: &mut PacketWriter, filters: bool) {
        for id in &self.shallow {
            request.line(&format!("shallow {id}"));
        }
        if let Some(depth) = self.deepen {
            request.line(&format!("deepen {depth}"));
        }
        if self.only_wanted_trees && filters {
            request.line("filter tree:0");
        }
    }

    fn have_lines(&self, request: &mut PacketWriter) {
        for id in &self.haves {
            request.line(&format!("have {id}"));
        }
        if self.done {
            request.line("done");
        }
    }
}

/// What comes before the pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Those of the `have`s that the server has, too.
    pub acknowledged: Vec<ObjectId>,
    /// Commits whose parents were cut off by `deepen`.
    pub shallow: Vec<ObjectId>,
    /// The pack follows in the sideband; otherwise the answer is complete.
    pub pack_follows: bool,
}

impl Answer {
    const LINES_LIMIT: usize = 200_000;

    /// Reads the answer to `fetch` up to the pack.
    ///
    /// # Errors
    /// `Remote` with the server's words when it refuses (`not our ref …`).
    pub async fn read<R: AsyncRead + Unpin>(
        packets: &mut PacketReader<R>,
        protocol: Protocol,
        fetch: &Fetch,
    ) -> Result<Self> {
        let mut answer = Self::default();
        match protocol {
            Protocol::V2 => answer.read_v2(packets).await?,
            Protocol::V0 => answer.read_v0(packets, fetch).await?,
        }
        Ok(answer)
    }

    async fn read_v2<R: AsyncRead + Unpin>(&mut self, packets: &mut PacketReader<R>) -> Result<()> {
        for _ in 0..Self::LINES_LIMIT {
            match packets.line().await? {
                Packet::Data(line) if line.as_ref() == b"packfile" => {
                    self.pack_follows = true;
                    return Ok(());
                }
                Packet::Data(line) => self.line(&line)?,
                Packet::Delimiter => {}
                Packet::Flush | Packet::ResponseEnd => return Ok(()),
            }
        }
        Err(Self::too_long())
    }

    async fn read_v0<R: AsyncRead + Unpin>(
        &mut self,
        packets: &mut PacketReader<R>,
        fetch: &Fetch,
    ) -> Result<()> {
        if fetch.deepen.is_some() {
            let mut lines = 0;
            while let Packet::Data(line) = packets.line().await? {
                self.line(&line)?;
                lines += 1;
                if lines == Self::LINES_LIMIT {
                    return Err(Self::too_long());
                }
            }
        }
        self.pack_follows = fetch.done;
        for _ in 0..Self::LINES_LIMIT {
            let Packet::Data(line) = packets.line().await? else {
                return Err(Error::garbage("neither ACK nor NAK before the pack"));
            };
            self.line(&line)?;
            if !is_followed(&line) {
                return Ok(());
            }
        }
        Err(Self::too_long())
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split(' ');
        let list = match words.next() {
            // The server is ready to send: it need not have that object.
            Some("ACK") if text.ends_with(" ready") => None,
            Some("ACK") => Some(&mut self.acknowledged),
            Some("shallow") => Some(&mut self.shallow),
            Some("NAK" | "ready" | "unshallow" | "acknowledgments" | "shallow-info") => None,
            _ => {
                let start: String = text.chars().take(60).collect();
                return Err(Error::garbage(format!("{start:?} before the pack")));
            }
        };
        if let Some(list) = list {
            let id = words.next().unwrap_or_default();
            let id = id
                .parse()
                .map_err(|_| Error::garbage(format!("{id:?} for an object id")))?;
            if list.last() != Some(&id) {
                list.push(id);
            }
        }
        Ok(())
    }

    fn too_long() -> Error {
        Error::Limit {
            what: "the number of lines before a pack",
            limit: Self::LINES_LIMIT,
        }
    }
}

/// Says whether in v0 another line comes after this one: `ACK ID common`, `ready` and `continue` are followed, `NAK` and
/// `ACK ID` are the last.
fn is_followed(line: &[u8]) -> bool {
    line.starts_with(b"ACK ") && line.iter().filter(|byte| **byte == b' ').count() > 1
}
