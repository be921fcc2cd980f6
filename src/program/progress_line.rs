//! The words of a progress bar, and of the log in its place.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount};

use crate::count::noun_of;
use crate::progress::Progress;

/// Measures how fast bytes come now: an average from the beginning would fall for as long as a server thinks.
#[derive(Debug)]
pub struct Meter {
    at: Instant,
    bytes: u64,
    rate: u64,
}

impl Meter {
    /// Begins at this time, with no bytes.
    pub fn new(at: Instant) -> Self {
        let (bytes, rate) = (0, 0);
        Self { at, bytes, rate }
    }

    /// Returns the bytes per second, measured over a second at least.
    fn rate(&mut self, bytes: u64, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed >= Duration::from_secs(1) {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            let moved = bytes.saturating_sub(self.bytes).saturating_mul(1000);
            (self.at, self.bytes, self.rate) = (now, bytes, moved / millis);
        }
        self.rate
    }
}

/// Returns for example `carrying the pack: 1,234 objects, 5.00 MiB, 2.50 MiB/s` or `crate files: 12/345, 5.00 MiB, 2.50 MiB/s`.
pub fn progress_line(progress: &Progress, meter: &mut Meter, now: Instant) -> String {
    let phase = progress.current_phase();
    let has_files = progress.files() > 0;
    let (done, file_bytes) = progress.files_done();
    let bytes = if has_files {
        file_bytes
    } else {
        progress.bytes()
    };
    // Also while there are none, so that the first rate is that of the first bytes.
    let rate = match meter.rate(bytes, now) {
        0 => String::new(),
        rate => format!(", {}/s", HumanBytes(rate)),
    };
    let count = match (has_files, progress.objects()) {
        (true, _) => format!("{}/{}", HumanCount(done), HumanCount(progress.files())),
        (false, 0) => return phase,
        (false, objects) => {
            let noun = noun_of(objects, "object");
            format!("{} {noun}", HumanCount(objects.into()))
        }
    };
    format!("{phase}: {count}, {}{rate}", HumanBytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_what_is_known_so_far() {
        let start = Instant::now();
        let (progress, mut meter) = (Progress::default(), Meter::new(start));
        let mut after = |progress: &Progress, seconds: u64| {
            progress_line(progress, &mut meter, start + Duration::from_secs(seconds))
        };
        progress.phase("reading upstream");
        assert_eq!(after(&progress, 0), "reading upstream");
        progress.phase("carrying the pack");
        progress.pack_objects(1234);
        let nothing_yet = "carrying the pack: 1,234 objects, 0 B";
        assert_eq!(after(&progress, 0), nothing_yet);
        progress.pack_bytes(5 << 20);
        let half = "carrying the pack: 1,234 objects, 5.00 MiB, 2.50 MiB/s";
        assert_eq!(after(&progress, 2), half);
        // While the other side thinks, nothing is fast.
        progress.phase("waiting");
        assert_eq!(after(&progress, 4), "waiting: 1,234 objects, 5.00 MiB");
        progress.phase("crate files");
        progress.files_to_do(345);
        progress.file_done(7 << 20);
        let files = "crate files: 1/345, 7.00 MiB, 1.00 MiB/s";
        assert_eq!(after(&progress, 6), files);
    }
}
