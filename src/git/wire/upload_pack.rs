//! `upload-pack`: the fetch request, and the response up to the pack, in protocol v2 and v0.

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::{Capabilities, Error, Packet, PacketReader, PacketWriter, Protocol, Result};
use crate::ObjectId;
use crate::shown;

#[cfg(test)]
mod tests;

/// One fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetch {
    /// The wanted objects.
    pub wants: Vec<ObjectId>,
    /// Commits that the receiver of the pack has, with all their ancestors and trees.
    pub haves: Vec<ObjectId>,
    /// Commits whose parents the receiver lacks, so that the server ignores them.
    pub shallow: Vec<ObjectId>,
    /// How many generations of commits to send.
    pub deepen: Option<u32>,
    /// Leaves out all trees and blobs but those that are wanted by id (`filter tree:0`), if the server supports it.
    pub only_wanted_trees: bool,
    /// Allows a thin pack: deltas against objects that the receiver has.
    pub thin: bool,
    /// Ends the negotiation: the server sends the pack whether or not it has any of `haves`. Without it, it sends the pack only
    /// if every want leads to a commit that both sides have.
    pub done: bool,
}

impl Fetch {
    /// Fetches the last `depth` generations of commits that lead to `tip`, without trees and blobs.
    pub fn commits(tip: ObjectId, depth: u32) -> Self {
        Self {
            wants: vec![tip],
            deepen: Some(depth),
            only_wanted_trees: true,
            done: true,
            ..Self::default()
        }
    }

    /// Says whether the response depends on what of the history the server has cut off before: not where nothing but commits without
    /// their parents is asked for, on top of such commits.
    pub fn depends_on_history(&self) -> bool {
        let is_cut_off = |id| self.shallow.contains(id);
        match self.deepen {
            Some(1) => !self.haves.iter().all(is_cut_off),
            deepen => deepen.is_some() || !self.haves.is_empty(),
        }
    }

    /// Says what the fetch asks for, for the log.
    pub fn asks_for(&self) -> &'static str {
        match (
            self.only_wanted_trees,
            self.deepen.is_some() || !self.haves.is_empty(),
        ) {
            (true, true) => "the commits",
            (true, false) => "the trees",
            (false, _) => "the pack",
        }
    }

    /// Returns the fetch as a server with these capabilities takes it.
    ///
    /// # Errors
    /// `Lacks` where the server would send the whole repository instead.
    pub fn suited_to(&self, protocol: Protocol, offered: &Capabilities) -> Result<Self> {
        let mut fetch = self.clone();
        let offers_shallow = match protocol {
            Protocol::V2 => offered.value_has("fetch", "shallow"),
            Protocol::V0 => offered.has("shallow"),
        };
        let is_plain = is_plain(protocol, offered);
        // What the receiver has bounds the pack, too, so that the rest can be left out.
        if !self.haves.is_empty() && (is_plain || !offers_shallow) {
            fetch.deepen = None;
            fetch.shallow.clear();
        }
        // dulwich applies a filter to the wanted objects alone, and then sends none of the history that leads to them.
        fetch.only_wanted_trees &= !is_plain || fetch.deepen == Some(1);
        if !offers_shallow && fetch.deepen.is_some() {
            return Err(Error::Lacks {
                capability: "shallow",
                without: "it sends nothing less than the whole repository",
            });
        }
        Ok(fetch)
    }

    /// Builds the request for a server with this protocol version and these capabilities.
    pub fn request(&self, protocol: Protocol, capabilities: &Capabilities) -> Bytes {
        match protocol {
            Protocol::V2 => self.request_v2(capabilities),
            Protocol::V0 => self.request_v0(capabilities),
        }
    }

    fn request_v2(&self, offered: &Capabilities) -> Bytes {
        let mut request = PacketWriter::new();
        request.command("fetch", offered);
        // Without `ofs-delta` servers send deltas that name their base by id, which a reader must look up. Progress
        // would fill the band of the messages, of which the end is kept.
        request.line("no-progress").line("ofs-delta");
        if self.thin {
            request.line("thin-pack");
        }
        for id in &self.wants {
            request.line(&format!("want {id}"));
        }
        self.shallow_lines(&mut request);
        self.filter_line(&mut request, offered.value_has("fetch", "filter"));
        self.have_lines(&mut request);
        request.flush().finish()
    }

    /// The capabilities are part of the first want; haves follow after a flush packet.
    fn request_v0(&self, offered: &Capabilities) -> Bytes {
        let mut capabilities = vec!["multi_ack_detailed", sideband(offered)];
        capabilities.extend(["ofs-delta", "no-progress"]);
        let is_plain = is_plain(Protocol::V0, offered);
        // dulwich hangs up on a client that does not name it, and makes no thin packs.
        if self.thin || is_plain {
            capabilities.push("thin-pack");
        }
        if self.only_wanted_trees {
            capabilities.push("filter");
        }
        if self.deepen.is_some() || !self.shallow.is_empty() {
            capabilities.push("shallow");
        }
        // A client must not name a capability that the server did not offer (gitprotocol-capabilities).
        capabilities.retain(|name| offered.has(name));
        let agent = offered.agent();
        capabilities.extend(agent.as_deref());
        let mut request = PacketWriter::new();
        for (number, id) in self.wants.iter().enumerate() {
            match number {
                0 => request.line(&format!("want {id} {}", capabilities.join(" "))),
                _ => request.line(&format!("want {id}")),
            };
        }
        let filters = offered.has("filter");
        // The filter's place is the last one (gitprotocol-pack), where dulwich does not read it. Other servers take the
        // lines in any order, but only to dulwich is it worth to rely on that.
        if is_plain {
            self.filter_line(&mut request, filters);
        }
        self.shallow_lines(&mut request);
        if !is_plain {
            self.filter_line(&mut request, filters);
        }
        request.flush();
        self.have_lines(&mut request);
        // In v0 the server acknowledges at each flush packet; after `done` it answers without one.
        if !self.done {
            request.flush();
        }
        request.finish()
    }

    fn shallow_lines(&self, request: &mut PacketWriter) {
        for id in &self.shallow {
            request.line(&format!("shallow {id}"));
        }
        if let Some(depth) = self.deepen {
            request.line(&format!("deepen {depth}"));
        }
    }

    fn filter_line(&self, request: &mut PacketWriter, filters: bool) {
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

/// Says whether a server is one of the few that do not name themselves, as git has done since 2012 and JGit since 2014.
///
/// Such a server (dulwich) is asked in the plainest words: it may end the connection at a line that it does not
/// expect, without a message, and its packs have no order.
pub fn is_plain(protocol: Protocol, offered: &Capabilities) -> bool {
    // Both sidebands are offered by every server that is made after git's, whether or not it names itself.
    protocol == Protocol::V0 && !offered.has("agent") && !offered.has("side-band")
}

/// Returns the sideband to ask for; empty for a server that offers none, whose packs follow as they are.
pub fn sideband(offered: &Capabilities) -> &'static str {
    let known = ["side-band-64k", "side-band"];
    known
        .into_iter()
        .find(|name| offered.has(name))
        .unwrap_or_default()
}

/// The response to a fetch, up to the pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchResponse {
    /// The `have`s that the server has, too.
    pub acknowledged: Vec<ObjectId>,
    /// Commits whose parents were cut off by `deepen`.
    pub shallow: Vec<ObjectId>,
    /// Whether a pack follows in the sideband; otherwise the response is complete.
    pub pack_follows: bool,
}

impl FetchResponse {
    /// Each have is acknowledged, and `deepen` names each commit that it cuts off, in a line: more are no honest
    /// response.
    const LINES_LIMIT: usize = 200_000;

    /// Reads the response to `fetch` up to the pack.
    ///
    /// # Errors
    /// `Remote` with the server's message if it refuses (`not our ref …`).
    pub async fn read<R: AsyncRead + Unpin>(
        packets: &mut PacketReader<R>,
        protocol: Protocol,
        fetch: &Fetch,
    ) -> Result<Self> {
        let mut response = Self::default();
        match protocol {
            Protocol::V2 => response.read_v2(packets).await?,
            Protocol::V0 => response.read_v0(packets, fetch).await?,
        }
        Ok(response)
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
        // Only a request with `deepen` is answered with a section of shallow lines, which ends in a flush packet.
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
        // Without `done` a v0 server waits for more haves after its NAK, and sends no pack.
        self.pack_follows = fetch.done;
        for _ in 0..Self::LINES_LIMIT {
            let Packet::Data(line) = packets.line().await? else {
                return Err(Error::garbage("neither ACK nor NAK before the pack"));
            };
            self.line(&line)?;
            // Without multi_ack_detailed git may repeat the last line for each `have` that the first one leads to.
            let may_be_repeated = self.pack_follows && line.starts_with(b"ACK ");
            let goes_on = is_followed(&line) || may_be_repeated && packets.is_ack_next().await?;
            if !goes_on {
                return Ok(());
            }
        }
        Err(Self::too_long())
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split(' ');
        let list = match words.next() {
            // The server is ready to send, which does not mean that it has that object.
            Some("ACK") if text.ends_with(" ready") => None,
            Some("ACK") => Some(&mut self.acknowledged),
            Some("shallow") => Some(&mut self.shallow),
            Some("NAK" | "ready" | "unshallow" | "acknowledgments" | "shallow-info") => None,
            _ => {
                let start = shown::beginning(&text, 60);
                return Err(Error::garbage(format!("{start:?} before the pack")));
            }
        };
        if let Some(list) = list {
            let id = words.next().unwrap_or_default();
            let id = id
                .parse()
                .map_err(|_| Error::garbage(format!("{id:?} for an object id")))?;
            // With multi_ack_detailed the final `ACK` repeats the last commit in common.
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
