//! Reads from files on disk without holding up the thread that answers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::io::ReadWriteFlags;
use tokio::task::spawn_blocking;

/// Reads so many bytes: at once where the system has them in memory, else in a thread that may wait for the disk.
///
/// # Errors
/// As the disk says; also where the file is shorter.
pub(super) async fn read(file: &Arc<File>, from: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = BytesMut::zeroed(length);
    let mut pieces = [io::IoSliceMut::new(&mut bytes)];
    let read = rustix::io::preadv2(file, &mut pieces, from, ReadWriteFlags::NOWAIT);
    if read == Ok(length) {
        return Ok(bytes.freeze());
    }
    let file = Arc::clone(file);
    let reading = spawn_blocking(move || {
        file.read_exact_at(&mut bytes, from)?;
        Ok(bytes.freeze())
    });
    reading.await.map_err(io::Error::other)?
}
