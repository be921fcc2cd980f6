//! Retries a command: after transient failures with exponential backoff, after races at once, within `network.timeout`.

use std::pin::pin;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use tracing::{info, warn};

use crate::config::Network;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::transport::Remote;
use crate::mirror::report::Report;
use crate::progress::Progress;

/// How often a command is tried when another push, or a change of upstream, interferes. Three in a row are
/// hardly chance: something else pushes to the branch all the time.
const RACES: usize = 3;

/// A push that failed, or whose report was lost: it was done if the mirror turns out to be at `tip`.
#[derive(Debug)]
pub struct UnconfirmedPush {
    tip: ObjectId,
    report: Report,
    failure: Kind,
}

impl UnconfirmedPush {
    /// Remembers a push that moves the mirror to `tip`, and that ended in `error`.
    pub fn new(tip: ObjectId, report: Report, error: &Error) -> Self {
        Self {
            tip,
            report,
            failure: error.kind(),
        }
    }

    /// Returns the report of the push if the mirror's tip shows that it was done.
    pub fn confirmed(unconfirmed: &mut Option<Self>, tip: Option<ObjectId>) -> Option<Report> {
        let confirmed = unconfirmed.take_if(|pushed| Some(pushed.tip) == tip)?;
        info!("{}", confirmed.how());
        Some(confirmed.report)
    }

    /// Says how the mirror came to be at the commit of this push.
    fn how(&self) -> &'static str {
        match self.failure {
            // Two syncs of the same second make the same commit.
            Kind::Race => "another push moved the mirror to the same commit; this push was refused",
            Kind::Network => "the push whose report was lost has reached the mirror",
            _ => "the mirror is at the commit of the push that was reported as failed",
        }
    }
}

/// Runs `attempt` until it succeeds or fails for good, and adds traffic and duration to its report.
///
/// # Errors
/// The last attempt's; `network` when the command takes longer than `network.timeout`.
pub async fn retry(
    network: &Network,
    remotes: [&Remote; 2],
    progress: &Progress,
    attempt: impl AsyncFnMut(&mut Option<UnconfirmedPush>) -> Result<Report>,
) -> Result<Report> {
    let started = Instant::now();
    // Around all attempts: what counts is how long a job runs, not each of its attempts.
    let mut attempts = pin!(repeat(network.retries, attempt));
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
    mut attempt: impl AsyncFnMut(&mut Option<UnconfirmedPush>) -> Result<Report>,
) -> Result<Report> {
    let mut delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(20))
        // Many mirrors are synced at the same minute: jitter keeps their retries from meeting at the server again.
        .with_jitter()
        .with_max_times(retries as usize)
        .build();
    let mut races = 0;
    let mut unconfirmed = None;
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
            return Err(error);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_that_was_refused_is_not_said_to_have_arrived() {
        let how = |kind| {
            let error = Error::new(kind, "it failed");
            UnconfirmedPush::new(ObjectId::ZERO, Report::about(ObjectId::ZERO), &error).how()
        };
        assert!(how(Kind::Network).contains("report was lost"));
        assert!(how(Kind::Race).starts_with("another push"));
        assert!(!how(Kind::Server).contains("lost"));
    }
}
