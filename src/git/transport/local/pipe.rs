//! The service's end of a connection inside this process: a thread that reads and writes as a process on a pipe would.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::wire::{self, Packet, PacketReader, PacketWriter};

/// How long the service may be silent before it sends a keepalive: the default of git's `uploadpack.keepAlive`.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The most of a message that one packet of the sideband carries: 65,520 bytes less the length and the band.
const BAND_PAYLOAD: usize = 65_515;

/// Why a service ends early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client hung up.
    Gone,
    /// The service cannot or will not go on, and tells the client why.
    Refused(String),
}

impl Failure {
    /// Makes the refusal of something that failed, with its cause.
    pub(super) fn because(what: impl Display, cause: impl Display) -> Self {
        Self::Refused(format!("{what}: {cause}"))
    }

    /// Makes the refusal of something that failed.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self::Refused(what.into())
    }
}

/// The result of a step of a service.
pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What the client sends.
pub(super) struct Input {
    runtime: Handle,
    packets: PacketReader<ReadHalf<DuplexStream>>,
    hung_up: CancellationToken,
}

/// What the client receives. Clones write to the same client.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Writer>>);

struct Writer {
    runtime: Handle,
    stream: WriteHalf<DuplexStream>,
    hung_up: CancellationToken,
    last_sent: Instant,
    has_sideband: bool,
}

/// Takes both directions of the service's end; `hung_up` is cancelled when the client is gone.
pub(super) fn halves(
    stream: DuplexStream,
    runtime: Handle,
    hung_up: CancellationToken,
) -> (Input, Output) {
    let (reader, stream) = tokio::io::split(stream);
    let input = Input {
        runtime: runtime.clone(),
        packets: PacketReader::new(reader),
        hung_up: hung_up.clone(),
    };
    let writer = Writer {
        runtime,
        stream,
        hung_up,
        last_sent: Instant::now(),
        has_sideband: false,
    };
    (input, Output(Arc::new(Mutex::new(writer))))
}

impl Input {
    /// Reads a packet with a line of text.
    pub(super) fn line(&mut self) -> Result<Packet> {
        let line = async {
            tokio::select! {
                // A client that hung up comes first: its last bytes, still in the pipe, must not complete a push that
                // it gave up.
                biased;
                () = self.hung_up.cancelled() => Err(wire::Error::Cut),
                line = self.packets.line() => line,
            }
        };
        self.runtime.block_on(line).map_err(unreadable)
    }

    /// Reads lines up to the next packet that is not one, and returns that as well.
    pub(super) fn lines(&mut self, limit: usize) -> Result<(Vec<String>, Packet)> {
        let mut lines = Vec::new();
        loop {
            match self.line()? {
                Packet::Data(_) if lines.len() == limit => {
                    return Err(Failure::new(format!(
                        "more than {limit} lines in a request"
                    )));
                }
                Packet::Data(line) => lines.push(String::from_utf8_lossy(&line).into_owned()),
                end => return Ok((lines, end)),
            }
        }
    }

    /// Reads what follows the packets; returns no bytes where the client closed its end.
    pub(super) fn bytes(&mut self) -> Result<Bytes> {
        let bytes = async {
            tokio::select! {
                biased;
                () = self.hung_up.cancelled() => Err(wire::Error::Cut),
                bytes = self.packets.bytes() => bytes,
            }
        };
        self.runtime.block_on(bytes).map_err(unreadable)
    }
}

fn unreadable(error: wire::Error) -> Failure {
    match error {
        wire::Error::Cut | wire::Error::Io(_) => Failure::Gone,
        other => Failure::new(other.to_string()),
    }
}

impl Output {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the sideband has begun, so that keepalives may be sent.
    pub(super) fn begin_sideband(&self) {
        self.writer().has_sideband = true;
    }

    /// Notes that the sideband has ended: a keepalive would now be taken for a line.
    pub(super) fn end_sideband(&self) {
        self.writer().has_sideband = false;
    }

    /// Sends bytes as they are.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<()> {
        let writer = &mut *self.writer();
        let Writer {
            runtime,
            stream,
            hung_up,
            last_sent,
            ..
        } = writer;
        let sent = runtime.block_on(async {
            tokio::select! {
                biased;
                () = hung_up.cancelled() => Err(io::ErrorKind::BrokenPipe.into()),
                sent = stream.write_all(bytes) => sent,
            }
        });
        *last_sent = Instant::now();
        sent.map_err(|_| Failure::Gone)
    }

    /// Sends a message of packets.
    pub(super) fn packets(&self, message: &mut PacketWriter) -> Result<()> {
        self.send(&message.finish())
    }

    /// Sends bytes in a band of the sideband.
    pub(super) fn band(&self, band: u8, bytes: &[u8]) -> Result<()> {
        let mut packet = Vec::with_capacity(bytes.len().min(BAND_PAYLOAD) + 5);
        for part in bytes.chunks(BAND_PAYLOAD) {
            packet.clear();
            // Writing to memory does not fail.
            let _ = write!(packet, "{:04x}", part.len() + 5);
            packet.push(band);
            packet.extend_from_slice(part);
            self.send(&packet)?;
        }
        Ok(())
    }

    /// Sends a keepalive in the sideband after a silence, so that the client does not time out; fails if it is gone.
    pub(super) fn keep_alive(&self) -> Result<()> {
        self.check()?;
        {
            // In a block of its own: `send` takes the lock again.
            let writer = self.writer();
            if !writer.has_sideband || writer.last_sent.elapsed() < KEEP_ALIVE {
                return Ok(());
            }
        }
        self.send(b"0005\x01")
    }

    /// Fails if the client has hung up.
    pub(super) fn check(&self) -> Result<()> {
        match self.writer().hung_up.is_cancelled() {
            true => Err(Failure::Gone),
            false => Ok(()),
        }
    }

    /// Says whether the client has hung up.
    pub(super) fn is_gone(&self) -> bool {
        self.check().is_err()
    }
}

/// Collects data for the first band of the sideband into few large packets.
pub(super) struct BandWriter {
    output: Output,
    buffer: Vec<u8>,
}

impl BandWriter {
    /// Begins a multiplexed stream of data.
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            buffer: Vec::with_capacity(BAND_PAYLOAD),
        }
    }

    /// Appends data.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.buffer.len() + bytes.len() >= BAND_PAYLOAD {
            let (now, later) = bytes.split_at(BAND_PAYLOAD - self.buffer.len());
            self.buffer.extend_from_slice(now);
            self.output.band(1, &self.buffer)?;
            self.buffer.clear();
            bytes = later;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is still buffered.
    pub(super) fn finish(mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.buffer);
        self.output.band(1, &rest)
    }
}
