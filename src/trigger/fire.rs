//! `fire`: creates one pipeline, now.

use std::fmt;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

use super::gitlab::{self, ApiError, Pipeline, Project, Remedy};
use super::poller::Poller;
use crate::config::TriggerConfig;
use crate::error::{Error, Kind, Result};
use crate::mirror::Context;

/// How often the status of a pipeline is read while it is followed.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(5);

/// The flags of `fire`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Creates a pipeline only if the mirror lacks what upstream has.
    pub if_behind: bool,
    /// Follows the pipeline to its end.
    pub wait: bool,
}

/// The result of `fire`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Fired {
    /// A pipeline was created.
    Fired {
        /// Its id.
        pipeline: u64,
        /// Its status when it was last read.
        status: String,
        /// Its page.
        pipeline_url: Option<String>,
    },
    /// The mirror has everything that upstream has, so that no pipeline was created.
    UpToDate,
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fired {
                pipeline_url: Some(url),
                ..
            } => f.write_str(url),
            Self::Fired { pipeline, .. } => write!(f, "pipeline {pipeline}"),
            Self::UpToDate => f.write_str("up to date: no pipeline needed"),
        }
    }
}

/// Creates one pipeline.
///
/// # Errors
/// `network` or `server` for transient failures, also after `network.timeout`; `auth`, `permission` or `pipeline` if
/// GitLab refuses; `pipeline` if a pipeline that is followed does not succeed; with `if_behind` those of a sync that
/// cannot read its remotes.
pub async fn run(config: &TriggerConfig, options: Options, around: Context<'_>) -> Result<Fired> {
    let end = Instant::now() + config.network.timeout;
    // `end` goes along, so that what waits can stop before it and say what it waited for.
    let work = tokio::time::timeout_at(end, fire(config, options, around, end));
    work.await.unwrap_or_else(|_| {
        Err(timed_out(config).advise("`network.timeout` says how long a command may take."))
    })
}

fn timed_out(config: &TriggerConfig) -> Error {
    let limit = humantime::format_duration(config.network.timeout);
    Error::new(Kind::Network, format!("timed out after {limit}"))
}

async fn fire(
    config: &TriggerConfig,
    options: Options,
    around: Context<'_>,
    end: Instant,
) -> Result<Fired> {
    let project = Project::of(config)?;
    if options.wait && !project.can_read() {
        return Err(gitlab::no_read_token());
    }
    if options.if_behind {
        let poller = Poller::new(config.repositories("--if-behind")?)?;
        if !poller.is_behind().await? {
            return Ok(Fired::UpToDate);
        }
    }
    // With the end of the command: once it has come, only this knows that the request was under way.
    let firing = || async {
        let asked = tokio::time::timeout_at(end, project.fire((around.clock)()));
        asked.await.unwrap_or_else(|_| {
            let remedy = Remedy::Retry {
                may_be_created: true,
            };
            let error = timed_out(config);
            Err(ApiError { error, remedy })
        })
    };
    // Another try after a lost answer could create a second pipeline.
    let is_safe = |failure: &ApiError| !failure.remedy.may_be_created();
    let created = retry(config, end, firing, is_safe).await;
    let pipeline = created.map_err(not_created)?;
    let pipeline = match options.wait {
        true => follow(config, &project, pipeline, around, end).await?,
        false => pipeline,
    };
    Ok(Fired::Fired {
        pipeline: pipeline.id,
        status: pipeline.status,
        pipeline_url: pipeline.url,
    })
}

/// Makes the error of a pipeline that was not created, as far as that is known.
fn not_created(failure: ApiError) -> Error {
    match failure.remedy.may_be_created() {
        true => failure
            .error
            .on("it is not known whether a pipeline was created")
            .advise("Look for it in the project: Build, Pipelines. If there is none, run the command again."),
        false => failure.error.on("cannot create a pipeline"),
    }
}

/// Retries those transient failures after which that is safe, `network.retries` times, and no earlier than GitLab allows.
async fn retry<F>(
    config: &TriggerConfig,
    end: Instant,
    request: impl FnMut() -> F,
    is_safe: impl Fn(&ApiError) -> bool,
) -> Result<Pipeline, ApiError>
where
    F: Future<Output = Result<Pipeline, ApiError>>,
{
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(30))
        .with_jitter()
        .with_max_times(config.network.retries as usize);
    let retrying = request
        .retry(delays)
        .when(|failure: &ApiError| failure.remedy != Remedy::Person && is_safe(failure))
        .notify(|failure: &ApiError, pause| {
            let pause = humantime::format_duration(Duration::from_secs(pause.as_secs() + 1));
            warn!("{}; retrying within {pause}", failure.error);
        })
        .adjust(|failure: &ApiError, pause| {
            let pause = match failure.remedy {
                Remedy::Wait { pause: wait, .. } => pause.map(|pause| pause.max(wait)),
                Remedy::Retry { .. } | Remedy::Person => pause,
            };
            // Waiting past the deadline would end as a timeout, and hide what GitLab said.
            pause.filter(|pause| Instant::now() + *pause < end)
        });
    retrying.await
}

async fn follow(
    config: &TriggerConfig,
    project: &Project<'_>,
    fired: Pipeline,
    around: Context<'_>,
    end: Instant,
) -> Result<Pipeline> {
    let page = fired.url.clone().unwrap_or_else(|| fired.id.to_string());
    info!("fired {page}");
    let mut pipeline = fired;
    loop {
        match pipeline.status.as_str() {
            "success" => return Ok(pipeline),
            // `manual` is final here: the pipeline waits for a person, and may do so for ever.
            "failed" | "canceled" | "skipped" | "manual" => {
                let message = format!("the pipeline {page} finished as `{}`", pipeline.status);
                return Err(Error::new(Kind::Pipeline, message)
                    .advise("Open the pipeline: the log of its job says why it failed."));
            }
            status => info!("{page}: {status}"),
        }
        if Instant::now() + FOLLOW_INTERVAL >= end {
            let message = format!("the pipeline {page} is still `{}`", pipeline.status);
            return Err(Error::new(Kind::Network, message).advise(
                "The pipeline goes on by itself. `network.timeout` says how long it is followed.",
            ));
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let id = pipeline.id;
        let reading = || project.pipeline(id, (around.clock)());
        // Reading creates nothing.
        let read = retry(config, end, reading, |_| true).await;
        pipeline = read.map_err(|failure| failure.error.on("cannot read the pipeline"))?;
    }
}
