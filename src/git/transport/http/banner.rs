//! The `# service=` line before an advertisement, which some servers leave out in protocol v2.

use std::io::{self, Cursor};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::transport::Reader;

/// Skips the banner and the flush after it, if they are there, and not one byte more.
pub(super) async fn skip(mut reader: Reader) -> io::Result<Reader> {
    let mut start = Vec::new();
    take(&mut reader, &mut start, 4).await?;
    if let Some(rest) = payload_length(&start) {
        take(&mut reader, &mut start, rest).await?;
        if start[4..].starts_with(b"# service=") {
            start.clear();
            take(&mut reader, &mut start, 4).await?;
            // Some servers leave the flush packet out as well: these bytes then begin the advertisement.
            if start == b"0000" {
                start.clear();
            }
        }
    }
    Ok(Box::new(Cursor::new(start).chain(reader)))
}

/// Appends up to `count` bytes, fewer only at the end of the input.
async fn take(
    reader: &mut (impl AsyncRead + Unpin),
    start: &mut Vec<u8>,
    count: u64,
) -> io::Result<()> {
    reader.take(count).read_to_end(start).await.map(|_| ())
}

/// Parses a data packet's length; `None` is left to the reader of the advertisement, which reports it.
fn payload_length(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok().filter(|d| d.len() == 4)?;
    let length = u64::from_str_radix(digits, 16).ok()?;
    length.checked_sub(4).filter(|rest| *rest > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn left(advertisement: &'static [u8]) -> String {
        let mut text = String::new();
        let mut reader = skip(Box::new(advertisement)).await.unwrap();
        reader.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_banner_and_its_flush_are_taken_away() {
        let left = left(b"001e# service=git-upload-pack\n0000000eversion 2\n0000").await;
        assert_eq!(left, "000eversion 2\n0000");
    }

    #[tokio::test]
    async fn an_advertisement_without_a_banner_stays_as_it_is() {
        assert_eq!(left(b"000eversion 2\n0000").await, "000eversion 2\n0000");
    }

    #[tokio::test]
    async fn a_banner_without_its_flush_is_accepted() {
        let left = left(b"001e# service=git-upload-pack\n000eversion 2\n0000").await;
        assert_eq!(left, "000eversion 2\n0000");
    }

    #[tokio::test]
    async fn what_is_no_pkt_line_is_left_to_the_reader() {
        for text in ["", "00", "0000", "hello world", "+0ff", "00ffshort"] {
            assert_eq!(left(text.as_bytes()).await, text);
        }
    }
}
