//! An open git service: requests go out whole, answers come back as packets.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::http::HttpRemote;
use super::{Reader, Service, Stderr, Writer};
use crate::error::Result;
use crate::git::wire::{Advertisement, PacketReader, PacketTrace, PacketWriter, Protocol};

/// An open git service that has introduced itself.
pub struct Connection {
    /// What the service said of itself.
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
                answer: PacketReader::new(Box::new(tokio::io::empty())),
            },
        }
    }

    /// Says whether the server forgets everything between two requests.
    pub fn is_stateless(&self) -> bool {
        matches!(self.channel, Channel::Http { .. })
    }

    /// Returns what the service wrote to its error output so far.
    pub fn stderr(&self) -> String {
        match &self.channel {
            Channel::Stream { stderr, .. } => stderr.text(),
            Channel::Http { .. } => String::new(),
        }
    }

    /// Returns the answer to the last request, at the point to which it has been read.
    pub fn packets(&mut self) -> &mut PacketReader<Reader> {
        match &mut self.channel {
            Channel::Stream { packets, .. } => packets,
            Channel::Http { answer, .. } => answer,
        }
    }

    /// Sends one request; its answer is then read from [`Connection::packets`].
    ///
    /// # Errors
    /// Only for HTTP as the transport says. On a byte stream a failure to write is left for the reader to explain: the
    /// server has closed its end, and mostly said why.
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

    /// Sends a push: `head`, then what `pack` yields. Returns once the answer can be read.
    ///
    /// An error in `pack` ends the push such that the server sees it cut off, never complete. On a byte stream the server
    /// may answer before it has read everything; what it says is then read instead.
    ///
    /// # Errors
    /// Only for HTTP as the transport says.
    pub async fn push(
        &mut self,
        head: Bytes,
        pack: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<()> {
        self.trace.sent(&head);
        let mut pack = traced(pack, &self.trace);
        match &mut self.channel {
            Channel::Stream { writer, .. } => {
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

    /// Takes leave of the service so that it does not complain about a connection that was cut.
    pub async fn close(mut self) {
        if let Channel::Stream { writer, .. } = &mut self.channel {
            let farewell = PacketWriter::new().flush().finish();
            self.trace.sent(&farewell);
            if writer.write_all(&farewell).await.is_ok() {
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
    let (sender, passed) = mpsc::channel(1);
    let trace = trace.clone();
    tokio::spawn(async move {
        while let Some(piece) = pack.recv().await {
            if let Ok(bytes) = &piece {
                trace.sent_pack(bytes.len());
            }
            // Whoever reads has given up; dropping `pack` tells the producer.
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
        if !is_begun {
            writer.write_all(head).await?;
            is_begun = true;
        }
        writer.write_all(&chunk).await?;
    }
    writer.flush().await
}
