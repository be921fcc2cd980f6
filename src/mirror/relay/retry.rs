//! Retries a command: after transient failures with exponential backoff, after races at once, within `network.timeout`.

use std::pin::pin;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use tracing::warn;

use super::UnconfirmedPushes;
use crate::config::Network;
use crate::error::{Error, Kind, Result};
use crate::git::transport::Remote;
use crate::mirror::report::Report;
use crate::progress::Progress;

/// How often a command is tried when another push, or a change of upstream, interferes. Three in a row are
/// hardly chance: something else pushes to the branch all the time.
const RACES: usize = 3;

/// Runs `attempt` until it succeeds or fails for good, and adds traffic and duration to its report. `remotes` are upstream and
/// the mirror.
///
/// # Errors
/// The last attempt's; `network` when the command takes longer than `network.timeout`.
pub async fn retry(
    network: &Network,
    remotes: [&Remote; 2],
    progress: &Progress,
    attempt: impl AsyncFnMut(&mut UnconfirmedPushes) -> Result<Report>,
) -> Result<Report> {
    let started = Instant::now();
    // Around all attempts: what counts is how long a job runs, not each of its attempts.
    let left = || network.timeout.saturating_sub(started.elapsed());
    let mut attempts = pin!(repeat(network.retries, left, remotes[1], attempt));
    let within = tokio::time::timeout(network.timeout, attempts.as_mut()).await;
    // The attempts still live: what they wait for shows only as long as they do.
    let mut report =
        within.unwrap_or_else(|_| Err(too_long(network.timeout, remotes, progress)))?;
    report.received_bytes = remotes
        .iter()
        .map(|remote| remote.traffic().received())
        .sum();
    report.sent_bytes = remotes.iter().map(|remote| remote.traffic().sent()).sum();
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

async fn repeat(
    retries: u32,
    left: impl Fn() -> Duration,
    mirror: &Remote,
    mut attempt: impl AsyncFnMut(&mut UnconfirmedPushes) -> Result<Report>,
) -> Result<Report> {
    let mut delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(20))
        // Many mirrors are synced at the same minute: jitter keeps their retries from meeting at the server again.
        .with_jitter()
        .with_max_times(retries as usize)
        .build();
    let mut races = 0;
    let mut unconfirmed = UnconfirmedPushes::default();
    loop {
        let error = match attempt(&mut unconfirmed).await {
            Ok(report) => return Ok(report),
            Err(error) => error,
        };
        let delay = pause(&error, &mut races, &mut delays, left());
        let Some(delay) = delay else {
            // Any other failure is the server's word on what became of the push.
            let arrived = match error.kind().is_transient() {
                true => unconfirmed.look(mirror).await,
                false => None,
            };
            return arrived.ok_or(error);
        };
        warn!("{error}; retrying");
        tokio::time::sleep(delay).await;
    }
}

/// Returns how long to wait before the next attempt: at least for as long as the server asks. `None` ends it, also where no time is
/// `left` for that wait, since who asks earlier is only told the same, and may be kept out for longer.
fn pause(
    error: &Error,
    races: &mut usize,
    delays: &mut impl Iterator<Item = Duration>,
    left: Duration,
) -> Option<Duration> {
    match error.kind() {
        Kind::Race if *races + 1 < RACES => {
            *races += 1;
            // The other push is done already, and each pause is a chance for the next one.
            Some(Duration::ZERO)
        }
        Kind::Race => None,
        _ if error.is_transient() => {
            let asked = error.retry_after().unwrap_or_default();
            delays
                .next()
                .map(|delay| delay.max(asked))
                .filter(|_| asked < left)
        }
        _ => None,
    }
}

fn too_long(limit: Duration, remotes: [&Remote; 2], progress: &Progress) -> Error {
    let limit = humantime::format_duration(limit);
    let mut message = format!("the command took longer than {limit}");
    let phase = progress.current_phase();
    if !phase.is_empty() {
        message += &format!(" while {phase}");
    }
    let awaited = remotes
        .iter()
        .filter(|remote| remote.traffic().is_awaited());
    let awaited: Vec<String> = awaited.map(ToString::to_string).collect();
    if !awaited.is_empty() {
        message += &format!("; it waited for {}", awaited.join(" and "));
    }
    Error::new(Kind::Network, message).advise("Try again, or raise `network.timeout`.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pause_is_as_long_as_the_server_asks_and_none_is_longer_than_the_time_left() {
        let seconds = Duration::from_secs;
        for (asked, left, expected) in [
            (None, 60, Some(2)),
            (Some(1), 60, Some(2)),
            (Some(17), 60, Some(17)),
            (Some(60), 60, None),
            (Some(u64::MAX), 60, None),
        ] {
            let error = Error::new(Kind::Server, "503").after(asked.map(seconds));
            let mut delays = [seconds(2)].into_iter();
            let next = pause(&error, &mut 0, &mut delays, seconds(left));
            assert_eq!(next, expected.map(seconds), "{asked:?}");
            assert_eq!(pause(&error, &mut 0, &mut delays, seconds(left)), None);
        }
    }
}
