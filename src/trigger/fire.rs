//! `fire`: one pipeline, now.

use std::fmt;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

use super::poller::Eyes;
use crate::config::TriggerConfig;
use crate::error::{Error, Kind, Result};
use crate::mirror::Context;
use crate::trigger::gitlab::{self, Pipeline, Project, Refusal, Remedy};

/// How often a pipeline's state is read while it is followed.
const FOLLOW: Duration = Duration::from_secs(5);

/// What `fire` was asked for besides the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Fires only if the mirror lacks what upstream has.
    pub if_behind: bool,
    /// Follows the pipeline to its end.
    pub wait: bool,
}

/// What `fire` came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Fired {
    /// A pipeline was created.
    Fired {
        /// Its number.
        pipeline: u64,
        /// Its state as far as it was followed.
        status: String,
        /// Its page.
        pipeline_url: Option<String>,
    },
    /// The mirror has all that upstream has, so that nothing was fired.
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
            Self::UpToDate => f.write_str("up to date: nothing to fire for"),
        }
    }
}

/// Fires one pipeline.
///
/// # Errors
/// `network` or `server` when it may work later, also after `network.timeout`; `auth`, `permission` or `pipeline` as GitLab
/// refuses; `pipeline` when a pipeline that is followed does not succeed; with `if_behind` as a sync's look fails.
pub async fn run(config: &TriggerConfig, options: Options, around: Context<'_>) -> Result<Fired> {
    let limit = config.network.timeout;
    let end = Instant::now() + limit;
    let work = tokio::time::timeout_at(end, fire(config, options, around, end));
    work.await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(
            Error::new(Kind::Network, format!("it took longer than {limit}"))
                .advise("`network.timeout` says how long a command may take."),
        )
    })
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
        let eyes = Eyes::new(config.repositories("--if-behind")?)?;
        if !eyes.is_behind().await? {
            return Ok(Fired::UpToDate);
        }
    }
    let firing = || project.fire((around.clock)());
    let pipeline = persist(config, end, firing).await?;
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

/// Asks again after refusals that pass, as often as `network.retries` says, and no earlier than GitLab wants.
async fn persist<F>(
    config: &TriggerConfig,
    end: Instant,
    asking: impl FnMut() -> F,
) -> Result<Pipeline>
where
    F: Future<Output = Result<Pipeline, Refusal>>,
{
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(30))
        .with_jitter()
        .with_max_times(config.network.retries as usize);
    let asking = asking
        .retry(delays)
        .when(|refusal: &Refusal| refusal.remedy != Remedy::Person)
        .notify(|refusal: &Refusal, pause| {
            let pause = humantime::format_duration(Duration::from_secs(pause.as_secs() + 1));
            warn!("{}; asked again within {pause}", refusal.error);
        })
        .adjust(|refusal: &Refusal, pause| {
            let pause = match refusal.remedy {
                Remedy::Wait(told) => pause.map(|pause| pause.max(told)),
                Remedy::Retry { .. } | Remedy::Person => pause,
            };
            // A wait that outlasts the command is for its next run.
            pause.filter(|pause| Instant::now() + *pause < end)
        });
    asking.await.map_err(|refusal| refusal.error)
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
            "failed" | "canceled" | "skipped" | "manual" => {
                let message = format!("the pipeline {page} ended as `{}`", pipeline.status);
                return Err(Error::new(Kind::Pipeline, message)
                    .advise("Open the pipeline's page: the log of its job says why."));
            }
            status => info!("{page}: {status}"),
        }
        if Instant::now() + FOLLOW >= end {
            let message = format!("the pipeline {page} is still `{}`", pipeline.status);
            return Err(Error::new(Kind::Network, message)
                .advise("It goes on by itself; `network.timeout` says how long it is followed."));
        }
        tokio::time::sleep(FOLLOW).await;
        let id = pipeline.id;
        pipeline = persist(config, end, || project.pipeline(id, (around.clock)())).await?;
    }
}
