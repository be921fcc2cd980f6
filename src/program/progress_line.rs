//! The words of a progress bar.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use crate::count::noun_of;
use crate::progress::Progress;

/// Returns for example `carrying the pack: 1,234 objects, 5.00 MiB, 2.50 MiB/s`.
pub fn progress_line(progress: &Progress, elapsed: Duration) -> String {
    let mut line = progress.current_phase();
    if progress.objects() > 0 {
        let objects = HumanCount(progress.objects().into());
        let noun = noun_of(progress.objects(), "object");
        line.push_str(&format!(
            ": {objects} {noun}, {}",
            HumanBytes(progress.bytes())
        ));
    }
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    if let Some(rate) = progress
        .bytes()
        .saturating_mul(1000)
        .checked_div(millis)
        .filter(|rate| *rate > 0)
    {
        line.push_str(&format!(", {}/s", HumanBytes(rate)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_what_is_known_so_far() {
        let progress = Progress::default();
        progress.phase("reading upstream");
        assert_eq!(progress_line(&progress, Duration::ZERO), "reading upstream");
        progress.phase("carrying the pack");
        progress.pack_objects(1234);
        assert_eq!(
            progress_line(&progress, Duration::ZERO),
            "carrying the pack: 1,234 objects, 0 B"
        );
        progress.pack_bytes(5 << 20);
        assert_eq!(
            progress_line(&progress, Duration::from_secs(2)),
            "carrying the pack: 1,234 objects, 5.00 MiB, 2.50 MiB/s"
        );
    }
}
