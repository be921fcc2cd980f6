//! Writes lines that gathered in memory a few times a second, in a thread of its own, so that no request waits for the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many bytes wait for the disk at most; further lines are counted as lost.
const WAITING: usize = 8 << 20;
/// For how long lines gather.
const GATHER: Duration = Duration::from_millis(100);

/// Takes lines.
pub(super) struct Writer {
    gathered: Arc<Gathered>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where lines are written.
pub(super) enum Place {
    Stderr,
    /// A file, with its path: where another one is there, or none, the lines go into a new one.
    File(PathBuf, File),
}

/// The lines that wait for the disk.
#[derive(Default)]
struct Gathered {
    lines: Mutex<Lines>,
    has_news: Condvar,
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
    pub(super) fn start(mut place: Place) -> Self {
        let gathered = Arc::<Gathered>::default();
        let taking = Arc::clone(&gathered);
        let thread = thread::spawn(move || {
            let mut is_last = false;
            while !is_last {
                let lines = taking.take();
                is_last = lines.is_last;
                // A full disk must not end the server.
                if place.write(&lines.bytes).is_err() {
                    taking.lost.fetch_add(lines.number, Ordering::Relaxed);
                }
            }
        });
        Self {
            gathered,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Takes a line, which `write` writes.
    pub(super) fn add(&self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut lines = self.gathered.lock();
        let before = lines.bytes.len();
        if before > WAITING || !write(&mut lines.bytes) {
            lines.bytes.truncate(before);
            self.gathered.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lines.bytes.push(b'\n');
        lines.number += 1;
        drop(lines);
        if before == 0 {
            self.gathered.has_news.notify_one();
        }
    }

    /// Returns how many lines were lost.
    pub(super) fn lost(&self) -> u64 {
        self.gathered.lost.load(Ordering::Relaxed)
    }

    /// Writes what is left, and ends the thread.
    pub(super) fn finish(&self) {
        self.gathered.lock().is_last = true;
        self.gathered.has_news.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A thread that panicked has nothing left to write.
        thread.map(JoinHandle::join);
    }
}

impl Gathered {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a line, and for those that come soon after, and takes all.
    fn take(&self) -> Lines {
        let is_idle = |lines: &mut Lines| lines.bytes.is_empty() && !lines.is_last;
        let lines = self.has_news.wait_while(self.lock(), is_idle);
        let lines = lines.unwrap_or_else(PoisonError::into_inner);
        let gathering = self
            .has_news
            .wait_timeout_while(lines, GATHER, |lines| !lines.is_last);
        let (mut lines, _) = gathering.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut lines)
    }
}

impl Place {
    /// Opens a file, whose end the lines are added to.
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
