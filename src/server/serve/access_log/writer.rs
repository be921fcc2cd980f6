//! Buffers lines, and writes them a few times a second in a thread of its own: no request waits for the disk.
//!
//! `tracing-appender` does so, too, but sends each line through a channel, which costs an allocation and often a
//! wake-up for each; its files rotate by time only, while ours follow logrotate.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many bytes may wait for the disk; further lines are counted as lost.
const WAITING: usize = 8 << 20;
/// How long lines are buffered.
const GATHER: Duration = Duration::from_millis(100);

/// The handle of the thread that writes.
pub(super) struct Writer {
    buffer: Arc<Buffer>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where lines are written.
pub(super) enum Destination {
    Stderr,
    /// A file and its path. If the path no longer leads to the file, as after logrotate, it is opened again.
    File(PathBuf, File),
}

/// The lines that wait for the disk, and who waits for lines.
#[derive(Default)]
struct Buffer {
    lines: Mutex<Lines>,
    is_filled: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    number: u64,
    is_last: bool,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(mut destination: Destination) -> Self {
        let buffer = Arc::<Buffer>::default();
        let taking = Arc::clone(&buffer);
        let thread = thread::spawn(move || {
            let mut is_last = false;
            while !is_last {
                let lines = taking.take();
                is_last = lines.is_last;
                // A full disk must not end the server.
                if destination.write(&lines.bytes).is_err() {
                    taking.lost.fetch_add(lines.number, Ordering::Relaxed);
                }
            }
        });
        Self {
            buffer,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Adds a line, which `write` writes into the buffer.
    pub(super) fn add(&self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut lines = self.buffer.lock();
        let before = lines.bytes.len();
        if before > WAITING || !write(&mut lines.bytes) {
            lines.bytes.truncate(before);
            self.buffer.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lines.bytes.push(b'\n');
        lines.number += 1;
        drop(lines);
        // The thread sleeps without a limit only while the buffer is empty: one wake-up a batch.
        if before == 0 {
            self.buffer.is_filled.notify_one();
        }
    }

    /// Returns how many lines were lost.
    pub(super) fn lost(&self) -> u64 {
        self.buffer.lost.load(Ordering::Relaxed)
    }

    /// Writes the lines that are left, and ends the thread.
    pub(super) fn finish(&self) {
        self.buffer.lock().is_last = true;
        self.buffer.is_filled.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A thread that panicked has nothing left to write.
        thread.map(JoinHandle::join);
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a line and for those that follow soon, and takes them all.
    fn take(&self) -> Lines {
        let is_idle = |lines: &mut Lines| lines.bytes.is_empty() && !lines.is_last;
        let lines = self.is_filled.wait_while(self.lock(), is_idle);
        let lines = lines.unwrap_or_else(PoisonError::into_inner);
        let gathering = self
            .is_filled
            .wait_timeout_while(lines, GATHER, |lines| !lines.is_last);
        let (mut lines, _) = gathering.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut lines)
    }
}

impl Destination {
    /// Opens a file to append to it.
    pub(super) fn file(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        Ok(Self::File(path, file))
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().write_all(lines),
            Self::File(path, file) => {
                let (there, ours) = (path.metadata(), file.metadata()?);
                let is_ours =
                    there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
                if !is_ours {
                    *file = open(path)?;
                }
                file.write_all(lines)
            }
        }
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
