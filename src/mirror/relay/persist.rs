//! Tries again: after passing failures with growing pauses, after races at once, within the time that a command may take.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backon::{BackoffBuilder, ExponentialBuilder};
use tracing::{info, warn};

use crate::config::Network;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::transport::Remote;
use crate::mirror::report::Report;
use crate::progress::Progress;

/// How often a command starts over because somebody else moved something meanwhile.
const RACES: usize = 3;

/// What a command works with besides its configuration.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Tells the time.
    pub clock: fn() -> SystemTime,
    /// Is told how far the command is.
    pub progress: &'a Progress,
}

impl Surroundings<'_> {
    /// Returns the time in seconds since 1970.
    pub fn now(&self) -> i64 {
        let since = (self.clock)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}

/// A push whose end was not seen: if the mirror turns out to be at `tip`, it was done.
#[derive(Debug)]
pub struct Unseen {
    tip: ObjectId,
    report: Report,
}

impl Unseen {
    /// Remembers a push that was made to move the mirror to `tip`.
    pub fn new(tip: ObjectId, report: Report) -> Self {
        Self { tip, report }
    }

    /// Returns the report of a push that turns out to have arrived.
    pub fn arrived(unseen: &mut Option<Self>, tip: Option<ObjectId>) -> Option<Report> {
        let arrived = unseen.take_if(|pushed| Some(pushed.tip) == tip)?;
        info!("the push had arrived");
        Some(arrived.report)
    }
}

/// Runs `attempt` until it succeeds or fails for good; adds to its report what went over the wire and how long it took.
///
/// # Errors
/// The last attempt's; `network` when the command takes longer than `network.timeout`.
pub async fn persist(
    network: &Network,
    remotes: [&Remote; 2],
    attempt: impl AsyncFnMut(&mut Option<Unseen>) -> Result<Report>,
) -> Result<Report> {
    let started = Instant::now();
    let within = tokio::time::timeout(network.timeout, repeat(network.retries, attempt));
    let mut report = within
        .await
        .unwrap_or_else(|_| Err(too_long(network.timeout)))?;
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
    mut attempt: impl AsyncFnMut(&mut Option<Unseen>) -> Result<Report>,
) -> Result<Report> {
    let mut delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(20))
        .with_jitter()
        .with_max_times(retries as usize)
        .build();
    let mut races = 0;
    let mut unseen = None;
    loop {
        let error = match attempt(&mut unseen).await {
            Ok(report) => return Ok(report),
            Err(error) => error,
        };
        let delay = match error.kind() {
            Kind::Race if races + 1 < RACES => {
                races += 1;
                Some(Duration::ZERO)
            }
            Kind::Race => None,
            kind if kind.is_transient() => delays.next(),
            _ => None,
        };
        let Some(delay) = delay else {
            return Err(error);
        };
        warn!("{error}; looking again");
        tokio::time::sleep(delay).await;
    }
}

fn too_long(limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::new(
        Kind::Network,
        format!("the command took longer than {limit}"),
    )
    .advise("try again; `network.timeout` says how long a command may take")
}
