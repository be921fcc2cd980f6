//! Turns the configuration into the settings of the helper's parts.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::clock::Schedule;
use super::core::CoreSettings;
use super::gitlab::Project;
use super::pipeline_gate::Pacing;
use super::server::{EndpointSettings, Timeouts};
use crate::config::{Rhythm, TriggerConfig};
use crate::error::{Error, Kind, Result};

/// Turns a duration into one that can be added to a timestamp.
pub(super) fn signed(duration: Duration) -> SignedDuration {
    // Out of range means longer than a calendar lasts: for ever.
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Makes the settings of the core.
///
/// # Errors
/// `config` for an invalid schedule, or a watch without repositories.
pub(super) fn core_settings(config: &TriggerConfig, project: &Project<'_>) -> Result<CoreSettings> {
    let trigger = &config.trigger;
    let jitter = signed(trigger.jitter);
    let schedule = match &trigger.every {
        None => None,
        Some(Rhythm::Every(interval)) => Some(Schedule::every(signed(*interval), jitter)),
        Some(Rhythm::Cron(expression)) => {
            let read = Schedule::cron(expression, &trigger.time_zone, jitter);
            Some(read.map_err(|reason| Error::new(Kind::Config, reason))?)
        }
    };
    if trigger.poll.is_some() {
        // For its error only: without repositories there is nothing to watch.
        config.repositories("the watch (trigger.poll)")?;
    }
    Ok(CoreSettings {
        pacing: Pacing {
            min_interval: signed(trigger.min_interval),
            assume_running: signed(trigger.assume_running),
        },
        schedule,
        poll: trigger.poll.map(signed),
        can_poll: config.repositories.is_some(),
        can_read: project.can_read(),
        alarm_after: signed(trigger.alarm_after),
        repeat_after: signed(config.mail.repeat_after),
    })
}

/// Makes the settings of the endpoint.
pub(super) fn endpoint_settings(config: &TriggerConfig) -> EndpointSettings {
    let (trigger, secrets) = (&config.trigger, &config.secrets);
    let branch = config
        .repositories
        .as_ref()
        .map(|both| &both.upstream.branch);
    EndpointSettings {
        token: secrets.trigger_token.clone(),
        hook_token: secrets.hook_token.clone(),
        query_token: trigger.query_token,
        rate_limit: trigger.rate_limit,
        polls: config.repositories.is_some(),
        project: trigger.project.clone(),
        reference: trigger.reference.clone(),
        upstream_branch: branch.map_or("master", String::as_str).to_owned(),
        timeouts: Timeouts::default(),
    }
}

/// Listens on the endpoint's address.
///
/// # Errors
/// `config` if the address cannot be used.
pub(super) async fn listen(config: &TriggerConfig) -> Result<TcpListener> {
    let address = config.trigger.listen;
    let bound = TcpListener::bind(address).await;
    let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = bound.map_err(|cause| {
        Error::new(
            Kind::Config,
            format!("trigger.listen: cannot listen on {address}"),
        )
        .because(cause)
        .advise("Set `trigger.listen` to an address of this machine and a free port.")
    })?;
    info!("listening on http://{address}");
    Ok(listener)
}

/// Logs what the helper will do.
pub(super) fn describe(config: &TriggerConfig, settings: &CoreSettings) {
    let trigger = &config.trigger;
    info!(
        "starting pipelines of {}{} for {}",
        trigger.gitlab, trigger.project, trigger.reference
    );
    let shown = humantime::format_duration;
    match &trigger.every {
        Some(Rhythm::Every(interval)) => info!("clock: every {}", shown(*interval)),
        Some(Rhythm::Cron(expression)) => info!("clock: {expression} ({})", trigger.time_zone),
        None => info!("clock: off (trigger.every)"),
    }
    match trigger.poll {
        Some(poll) => info!("watch: polls every {}", shown(poll)),
        None if settings.can_poll => {
            info!("watch: off (trigger.poll); only the first poll may start a pipeline")
        }
        None => info!("watch: off (trigger.poll, mirror.url)"),
    }
    if config.mail.smtp.is_none() {
        info!("mails: off (mail.smtp)");
    }
    if config.secrets.trigger_token.is_none() {
        warn!(
            "FERRY_TRIGGER_TOKEN is not set: anyone who can connect to {} can start pipelines",
            trigger.listen
        );
    }
}
