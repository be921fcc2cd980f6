//! Inflates a gzip file that others made, as far as its limits allow.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The most that is read of a file, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The file itself.
    pub compressed: u64,
    /// All that it inflates to.
    pub inflated: u64,
    /// What it may inflate to, whatever its size.
    pub free: u64,
    /// Beyond that, what each of its bytes may inflate to.
    pub ratio: u64,
}

/// Reads what a gzip file inflates to; beyond its limits that fails with `InvalidData` and a clause such as `it inflates to
/// more than 100 times its size`.
pub struct Inflated<R> {
    decoder: GzDecoder<Counted<R>>,
    inflated: u64,
    limits: Limits,
}

impl<R: BufRead> Inflated<R> {
    /// Reads this file.
    pub fn new(inner: R, limits: Limits) -> Self {
        let decoder = GzDecoder::new(Counted { inner, read: 0 });
        Self {
            decoder,
            inflated: 0,
            limits,
        }
    }
}

impl<R: BufRead> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.inflated += read as u64;
        let (limits, compressed) = (self.limits, self.decoder.get_ref().read);
        if compressed > limits.compressed {
            return Err(beyond(format!(
                "it has more than {}",
                mib(limits.compressed)
            )));
        }
        if self.inflated > limits.inflated {
            let most = mib(limits.inflated);
            return Err(beyond(format!("it inflates to more than {most}")));
        }
        if self.inflated
            > limits
                .free
                .saturating_add(limits.ratio.saturating_mul(compressed))
        {
            let most = limits.ratio;
            return Err(beyond(format!(
                "it inflates to more than {most} times its size"
            )));
        }
        Ok(read)
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Makes the error of what is beyond a limit.
pub(in crate::server) fn beyond(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Counts the bytes that are read through it.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.read += amount as u64;
        self.inner.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const LIMITS: Limits = Limits {
        compressed: 3 << 20,
        inflated: 5 << 20,
        free: 1 << 20,
        ratio: 100,
    };

    fn gzip(bytes: &[u8], level: Compression) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn each_limit_ends_the_reading() {
        let read = |file: &[u8]| {
            let mut bytes = Vec::new();
            let read = Inflated::new(file, LIMITS).read_to_end(&mut bytes);
            read.map_err(|error| error.to_string())
        };
        let (zeros, stored) = (vec![0; 6 << 20], Compression::none());
        let (small, best) = (&zeros[..1 << 20], Compression::best());
        assert_eq!(read(&gzip(small, best)), Ok(1 << 20));
        assert_eq!(read(&gzip(&zeros[..2 << 20], stored)), Ok(2 << 20));
        let said = |file: &[u8]| read(file).unwrap_err();
        assert_eq!(
            said(&gzip(&zeros[..4 << 20], stored)),
            "it has more than 3 MiB"
        );
        assert_eq!(
            said(&gzip(&zeros[..3 << 20], best)),
            "it inflates to more than 100 times its size"
        );
        // Half of it does not compress, so that the ratio is kept.
        let mut mixed: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(1 << 20)
            .collect();
        mixed.extend(&zeros);
        assert_eq!(said(&gzip(&mixed, best)), "it inflates to more than 5 MiB");
    }
}
