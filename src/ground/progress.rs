//! The progress of a command: written by the use cases, read by the progress bar.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The phase of a command, the objects and bytes of its pack, and the files that are done. Shared by `Arc`, so every
/// method takes `&self`.
#[derive(Debug, Default)]
pub struct Progress {
    phase: Mutex<String>,
    objects: AtomicU32,
    bytes: AtomicU64,
    files: AtomicU64,
    files_done: AtomicU64,
    file_bytes: AtomicU64,
}

// Relaxed throughout: the bar shows numbers that need not agree with one another.
impl Progress {
    /// Sets the current phase, for example `reading upstream`.
    pub fn phase(&self, phase: &str) {
        // After a panic elsewhere the text is still whole, and a progress bar is no reason to end.
        let mut current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        phase.clone_into(&mut current);
    }

    /// Begins a pack with this many objects, as its header says, and resets its bytes.
    pub fn pack_objects(&self, objects: u32) {
        self.objects.store(objects, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Adds to the bytes received of the pack.
    pub fn pack_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Sets the number of files to do.
    pub fn files_to_do(&self, files: usize) {
        self.files_done.store(0, Ordering::Relaxed);
        self.files.store(files as u64, Ordering::Relaxed);
    }

    /// Counts a file as done; `bytes` is the total fetched or read so far.
    pub fn file_done(&self, bytes: u64) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
        self.file_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Returns the phase; empty before the first.
    pub fn current_phase(&self) -> String {
        let current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Returns the number of objects in the pack; 0 before its header is read.
    pub fn objects(&self) -> u32 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Returns the bytes of the pack received so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of files to do; 0 for a command without files.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Returns the number of files that are done, and their bytes.
    pub fn files_done(&self) -> (u64, u64) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (read(&self.files_done), read(&self.file_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pack_counts_from_nothing() {
        let progress = Progress::default();
        assert_eq!(
            (
                progress.current_phase().as_str(),
                progress.objects(),
                progress.bytes()
            ),
            ("", 0, 0)
        );
        progress.phase("carrying the pack");
        progress.pack_objects(7);
        progress.pack_bytes(10);
        progress.pack_bytes(5);
        assert_eq!(
            (
                progress.current_phase().as_str(),
                progress.objects(),
                progress.bytes()
            ),
            ("carrying the pack", 7, 15)
        );
        progress.pack_objects(8);
        assert_eq!((progress.objects(), progress.bytes()), (8, 0));
    }
}
