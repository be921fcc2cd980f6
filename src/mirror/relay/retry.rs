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
    let mut attempts = pin!(repeat(network.retries, remotes[1], attempt));
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
        let delay = match error.kind() {
            Kind::Race if races + 1 < RACES => {
                races += 1;
                // The other push is done already, and each pause is a chance for the next one.
                Some(Duration::ZERO)
            }
            Kind::Race => None,
            _ if error.is_transient() => delays.next(),
            _ => None,
        };
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
