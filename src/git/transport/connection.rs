//! An open git service: sends whole requests and packs, reads responses as packets.
//!
//! The packets that are sent are logged here, those that are received in `wire::PacketReader`.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::http::HttpRemote;
use super::{Reader, Service, Stderr, Writer};
use crate::error::Result;
use crate::wire::upload_pack::sideband;
use crate::wire::{Advertisement, PacketReader, PacketTrace, PacketWriter, Protocol, Sideband};

/// An open git service whose advertisement has been read.
pub struct Connection {
    /// The service's protocol version, capabilities and, in v0, refs.
    pub advertisement: Advertisement,
    channel: Channel,
    trace: PacketTrace,
}

enum Channel {
    Stream {
        packets: PacketReader<Reader>,
        writer: Writer,
        stderr: Stderr,
    },
    Http {
        remote: Arc<HttpRemote>,
        service: Service,
        answer: PacketReader<Reader>,
    },
}

impl Connection {
    pub(super) fn stream(
        packets: PacketReader<Reader>,
        writer: Writer,
        stderr: Stderr,
        advertisement: Advertisement,
        trace: PacketTrace,
    ) -> Self {
        Self {
            advertisement,
            trace,
            channel: Channel::Stream {
                packets,
                writer,
                stderr,
            },
        }
    }

    pub(super) fn http(
        remote: Arc<HttpRemote>,
        service: Service,
        advertisement: Advertisement,
        trace: PacketTrace,
    ) -> Self {
        Self {
            advertisement,
            trace,
            channel: Channel::Http {
                remote,
                service,
                // Nothing to read before the first request; the advertisement was a response of its own.
                answer: PacketReader::new(Box::new(tokio::io::empty())),
            },
        }
    }

    /// Says whether the transport is stateless, as HTTP is: the server remembers nothing between two requests.
    pub fn is_stateless(&self) -> bool {
        matches!(self.channel, Channel::Http { .. })
    }

    /// Returns the end of what the service has written to its error output so far.
    pub fn stderr(&self) -> String {
        match &self.channel {
            Channel::Stream { stderr, .. } => stderr.text(),
            Channel::Http { .. } => String::new(),
        }
    }

    /// Returns the response to the last request, read up to where the last reader stopped.
    pub fn packets(&mut self) -> &mut PacketReader<Reader> {
        match &mut self.channel {
            Channel::Stream { packets, .. } => packets,
            Channel::Http { answer, .. } => answer,
        }
    }

    /// Sends one request. Read its response from [`Connection::packets`].
    ///
    /// # Errors
    /// Only over HTTP, as the transport's. On a byte stream a failed write is no error here: the server has closed its end,
    /// and what it sent before, which the reader finds, mostly says why.
    pub async fn request(&mut self, request: Bytes) -> Result<()> {
        self.trace.sent(&request);
        match &mut self.channel {
            Channel::Stream { writer, .. } => {
                if writer.write_all(&request).await.is_ok() {
                    writer.flush().await.ok();
                }
            }
            Channel::Http {
                remote,
                service,
                answer,
            } => {
                let v2 = self.advertisement.protocol == Protocol::V2;
                let reader = remote.post(*service, v2, request).await?;
                *answer = PacketReader::new(reader).traced(self.trace.clone());
            }
        }
        Ok(())
    }

    /// Sends a push: `head`, then the pack. Returns once the response can be read.
    ///
    /// An error in `pack` cuts the push off, so that the server never takes a part for the whole. On a byte stream the server
    /// may respond, and stop reading, before it has read everything.
    ///
    /// # Errors
    /// Only over HTTP, as the transport's.
    pub async fn push(
        &mut self,
        head: Bytes,
        pack: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<()> {
        self.trace.sent(&head);
        let mut pack = traced(pack, &self.trace);
        match &mut self.channel {
            Channel::Stream { writer, .. } => {
                // Not an error yet: a server that refuses in mid-pack stops reading, and its report, read next, says
                // why. Closing the channel tells whoever fills it to stop.
                if write_push(writer, &head, &mut pack).await.is_err() {
                    pack.close();
                }
            }
            Channel::Http { remote, answer, .. } => {
                let reader = remote.push(head, pack).await?;
                *answer = PacketReader::new(reader).traced(self.trace.clone());
            }
        }
        Ok(())
    }

    /// Returns a reader of the pack that follows in the response of `upload-pack`.
    pub fn pack(&mut self) -> Sideband<'_, Reader> {
        let Advertisement {
            protocol,
            capabilities,
            ..
        } = &self.advertisement;
        let is_multiplexed = *protocol == Protocol::V2 || !sideband(capabilities).is_empty();
        match is_multiplexed {
            true => Sideband::new(self.packets()),
            false => Sideband::plain(self.packets()),
        }
    }

    /// Takes the connection with the response that is being read, and leaves one behind that has been hung up; over HTTP one that
    /// takes the next request.
    #[must_use]
    pub fn detach(&mut self) -> Self {
        let channel = match &self.channel {
            Channel::Stream { stderr, .. } => Channel::Stream {
                packets: PacketReader::new(Box::new(tokio::io::empty())),
                writer: Box::new(tokio::io::sink()),
                stderr: stderr.clone(),
            },
            Channel::Http {
                remote, service, ..
            } => Channel::Http {
                remote: Arc::clone(remote),
                service: *service,
                answer: PacketReader::new(Box::new(tokio::io::empty())),
            },
        };
        let left = Self {
            advertisement: self.advertisement.clone(),
            channel,
            trace: self.trace.clone(),
        };
        std::mem::replace(self, left)
    }

    /// Closes the connection of a byte stream, for good.
    pub fn hang_up(&mut self) {
        if let Channel::Stream {
            packets, writer, ..
        } = &mut self.channel
        {
            *packets = PacketReader::new(Box::new(tokio::io::empty()));
            *writer = Box::new(tokio::io::sink());
        }
    }

    /// Ends the conversation with a flush packet, without which the server logs a connection that was cut.
    pub async fn close(mut self) {
        if let Channel::Stream { writer, .. } = &mut self.channel {
            let flush = PacketWriter::new().flush().finish();
            self.trace.sent(&flush);
            if writer.write_all(&flush).await.is_ok() {
                writer.shutdown().await.ok();
            }
        }
    }
}

/// Logs the pieces of a pack as they pass, where a trace is asked for; otherwise the channel stays as it is.
fn traced(
    mut pack: mpsc::Receiver<io::Result<Bytes>>,
    trace: &PacketTrace,
) -> mpsc::Receiver<io::Result<Bytes>> {
    if !trace.is_on() {
        return pack;
    }
    // One piece, so that the detour through this task adds no buffer worth mentioning.
    let (sender, passed) = mpsc::channel(1);
    let trace = trace.clone();
    tokio::spawn(async move {
        while let Some(piece) = pack.recv().await {
            if let Ok(bytes) = &piece {
                trace.sent_pack(bytes.len());
            }
            // The reader has given up; dropping `pack` tells the producer.
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    passed
}

async fn write_push(
    writer: &mut Writer,
    head: &[u8],
    pack: &mut mpsc::Receiver<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut is_begun = false;
    while let Some(chunk) = pack.recv().await {
        let chunk = chunk?;
        // Not before the pack's first bytes: if upstream fails before them, the mirror has not even been asked to move
        // a ref.
        if !is_begun {
            writer.write_all(head).await?;
            is_begun = true;
        }
        writer.write_all(&chunk).await?;
    }
    writer.flush().await
}
