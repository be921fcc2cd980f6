//! `receive-pack`: asking a server to move a ref and sending it the objects for that.

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::{AGENT, Capabilities, Error, Packet, PacketReader, PacketWriter, Result, Sideband};
use crate::git::ObjectId;

#[cfg(test)]
mod tests;

/// The one ref that a push moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The full name, `refs/heads/…`.
    pub reference: String,
    /// Where it is: the server refuses the push when it is elsewhere. [`ObjectId::ZERO`] for a ref to be made.
    pub old: ObjectId,
    /// Where it shall be.
    pub new: ObjectId,
}

impl Update {
    /// Builds the request that comes before the pack: the ref, what we can do, and the push options where offered.
    pub fn request(&self, offered: &Capabilities, push_options: &[&str]) -> Bytes {
        let with_options = !push_options.is_empty() && offered.has("push-options");
        let mut wished = vec!["report-status", "side-band-64k", "quiet", "ofs-delta"];
        wished.retain(|name| offered.has(name));
        if with_options {
            wished.push("push-options");
        }
        let mut capabilities = wished.join(" ");
        if offered.has("object-format") {
            capabilities.push_str(" object-format=sha1");
        }
        let Self {
            reference,
            old,
            new,
        } = self;
        let mut request = PacketWriter::new();
        request
            .line(&format!(
                "{old} {new} {reference}\0{capabilities} agent={AGENT}"
            ))
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

/// The server's account of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Why the pack was not taken; `None` after `unpack ok`.
    pub unpack_error: Option<String>,
    /// Why the ref was not moved; `None` after `ok <ref>`.
    pub reference_error: Option<String>,
    /// What the server and its hooks said for people.
    pub messages: String,
}

impl Report {
    const LIMIT: usize = 64 * 1024;

    /// Reads the report of a push of one ref.
    ///
    /// # Errors
    /// Where the report breaks off, what the server said until then comes with the error as [`Error::Remote`], if it
    /// said anything.
    pub async fn read<R: AsyncRead + Unpin>(
        packets: &mut PacketReader<R>,
        offered: &Capabilities,
        reference: &str,
    ) -> Result<Self> {
        if !offered.has("side-band-64k") {
            return Self::parse(packets, reference, String::new()).await;
        }
        let trace = packets.trace();
        let mut sideband = Sideband::new(packets);
        let mut inner = Vec::new();
        loop {
            match sideband.data().await {
                Ok(Some(data)) => inner.extend_from_slice(&data),
                // A report has an end of its own: a server that refuses a pack half read may go without more.
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
                moved = refusal(why).map(Some).or(moved);
            }
        }
        match (unpack, moved) {
            (Some(unpack_error), Some(reference_error)) => Ok(Self {
                unpack_error,
                reference_error,
                messages,
            }),
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

/// Reads what follows the ref in `ng REF WHY`; `None` where another ref is meant, whose name begins like ours.
fn refusal(why: &str) -> Option<String> {
    match why.strip_prefix(' ') {
        Some(why) => Some(why.to_owned()),
        None if why.is_empty() => Some("without a reason".to_owned()),
        None => None,
    }
}
