//! `receive-pack`: the request that moves a ref, and the server's report.

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::{Capabilities, Error, Packet, PacketReader, PacketWriter, Result, Sideband};
use crate::ObjectId;

#[cfg(test)]
mod tests;

/// The one ref that a push moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The full name, `refs/heads/…`.
    pub reference: String,
    /// Its old value: the server rejects the push if the ref has another. [`ObjectId::ZERO`] to create the ref.
    pub old: ObjectId,
    /// Its new value.
    pub new: ObjectId,
}

impl Update {
    /// Builds the request that precedes the pack: the ref, the capabilities, and the push options if the server supports them.
    pub fn request(&self, offered: &Capabilities, push_options: &[&str]) -> Bytes {
        let with_options = !push_options.is_empty() && offered.has("push-options");
        // `quiet`, since the server's progress would come in the band of the hooks' messages, and be shown as one of
        // them. Not `atomic`: a single ref is moved or not.
        // A client must not name a capability that the server did not offer (gitprotocol-capabilities).
        let mut capabilities = vec!["report-status", "side-band-64k", "quiet", "ofs-delta"];
        capabilities.retain(|name| offered.has(name));
        if with_options {
            capabilities.push("push-options");
        }
        if offered.has("object-format") {
            capabilities.push("object-format=sha1");
        }
        let agent = offered.agent();
        capabilities.extend(agent.as_deref());
        let capabilities = capabilities.join(" ");
        let Self {
            reference,
            old,
            new,
        } = self;
        let mut request = PacketWriter::new();
        request
            .line(&format!("{old} {new} {reference}\0{capabilities}"))
            .flush();
        if with_options {
            for option in push_options {
                request.line(option);
            }
            request.flush();
        }
        request.finish()
    }
}

/// The server's report of a push (`report-status`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportStatus {
    /// Why the pack was not unpacked; `None` after `unpack ok`.
    pub unpack_error: Option<String>,
    /// Why the ref was not moved; `None` after `ok <ref>`.
    pub reference_error: Option<String>,
    /// The messages of the server and its hooks for people.
    pub messages: String,
}

impl ReportStatus {
    const LIMIT: usize = 64 * 1024;

    /// Reads the report of a push of one ref.
    ///
    /// # Errors
    /// [`Error::Remote`] with the server's messages, if the report is cut off after some.
    pub async fn read<R: AsyncRead + Unpin>(
        packets: &mut PacketReader<R>,
        offered: &Capabilities,
        reference: &str,
    ) -> Result<Self> {
        // Without the sideband the report's packets follow as they are.
        if !offered.has("side-band-64k") {
            return Self::parse(packets, reference, String::new()).await;
        }
        let trace = packets.trace();
        let mut sideband = Sideband::new(packets);
        let mut inner = Vec::new();
        loop {
            match sideband.data().await {
                Ok(Some(data)) => inner.extend_from_slice(&data),
                // The report ends in a flush packet of its own: a server that rejects a pack half read may close without another.
                Ok(None) | Err(Error::Cut) => break,
                Err(error) => return Err(error),
            }
            if inner.len() > Self::LIMIT {
                return Err(Error::Limit {
                    what: "the report of a push, in bytes,",
                    limit: Self::LIMIT,
                });
            }
        }
        let messages = sideband.messages();
        let mut inner = PacketReader::new(inner.as_slice()).traced(trace);
        match Self::parse(&mut inner, reference, messages.clone()).await {
            // A server that gives up without a report has said why in the messages, if anywhere.
            Err(Error::Cut) if !messages.is_empty() => Err(Error::Remote(messages)),
            report => report,
        }
    }

    /// Reads `unpack ok|WHY`, then `ok REF` or `ng REF WHY`, up to the flush packet.
    async fn parse<R: AsyncRead + Unpin>(
        packets: &mut PacketReader<R>,
        reference: &str,
        messages: String,
    ) -> Result<Self> {
        let mut unpack = None;
        let mut moved = None;
        // Two lines are due. Newer reports have more (`option …`), which are skipped; a report without end is not.
        for _ in 0..16 {
            let Packet::Data(line) = packets.line().await? else {
                break;
            };
            let text = String::from_utf8_lossy(&line);
            if let Some(result) = text.strip_prefix("unpack ") {
                unpack = Some(Some(result.to_owned()).filter(|why| why != "ok"));
            } else if text.strip_prefix("ok ") == Some(reference) {
                moved = Some(None);
            } else if let Some(why) = text
                .strip_prefix("ng ")
                .and_then(|rest| rest.strip_prefix(reference))
            {
                moved = rejection(why).map(Some).or(moved);
            }
        }
        match (unpack, moved) {
            (Some(unpack_error), Some(reference_error)) => Ok(Self {
                unpack_error,
                reference_error,
                messages,
            }),
            // Where the pack was not unpacked, no ref can have moved, so its line may be missing.
            (Some(Some(unpack_error)), None) => Ok(Self {
                reference_error: Some("not moved".to_owned()),
                unpack_error: Some(unpack_error),
                messages,
            }),
            _ => Err(Error::garbage(
                "the report of the push names neither the pack nor the ref",
            )),
        }
    }
}

/// Parses what follows the ref in `ng REF WHY`; `None` for another ref, whose name begins like ours.
fn rejection(why: &str) -> Option<String> {
    match why.strip_prefix(' ') {
        Some(why) => Some(why.to_owned()),
        None if why.is_empty() => Some("without a reason".to_owned()),
        None => None,
    }
}
