//! What the configuration means to the parts of the helper.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::clock::Schedule;
use super::core;
use super::pipeline_gate::Limits;
use super::server::{self, Slowness};
use crate::config::{Rhythm, TriggerConfig};
use crate::error::{Error, Kind, Result};
use crate::trigger::gitlab::Project;

/// Turns a duration into one that times can be added to.
pub(super) fn span(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Reads what the core is told.
///
/// # Errors
/// `config` where the clock cannot be read, or the watch has nothing to look at.
pub(super) fn core_settings(
    config: &TriggerConfig,
    project: &Project<'_>,
) -> Result<core::Settings> {
    let trigger = &config.trigger;
    let jitter = span(trigger.jitter);
    let schedule = match &trigger.every {
        None => None,
        Some(Rhythm::Every(interval)) => Some(Schedule::every(span(*interval), jitter)),
        Some(Rhythm::Cron(expression)) => {
            let read = Schedule::cron(expression, &trigger.time_zone, jitter);
            Some(read.map_err(|reason| Error::new(Kind::Config, reason))?)
        }
    };
    if trigger.poll.is_some() {
        config.repositories("the watch (trigger.poll)")?;
    }
    Ok(core::Settings {
        limits: Limits {
            min_interval: span(trigger.min_interval),
            assume_running: span(trigger.assume_running),
        },
        schedule,
        poll: trigger.poll.map(span),
        can_look: config.repositories.is_some(),
        can_read: project.can_read(),
        alarm_after: span(trigger.alarm_after),
        repeat_after: span(config.mail.repeat_after),
    })
}

/// Reads what the endpoint is told.
pub(super) fn server_settings(config: &TriggerConfig) -> server::Settings {
    let (trigger, secrets) = (&config.trigger, &config.secrets);
    let branch = config
        .repositories
        .as_ref()
        .map(|both| &both.upstream.branch);
    server::Settings {
        token: secrets.trigger_token.clone(),
        hook_token: secrets.hook_token.clone(),
        query_token: trigger.query_token,
        rate_limit: trigger.rate_limit,
        looks: config.repositories.is_some(),
        project: trigger.project.clone(),
        reference: trigger.reference.clone(),
        upstream_branch: branch.map_or("master", String::as_str).to_owned(),
        slowness: Slowness::default(),
    }
}

/// Listens on the endpoint's address.
///
/// # Errors
/// `config` where that cannot be.
pub(super) async fn listen(config: &TriggerConfig) -> Result<TcpListener> {
    let address = config.trigger.listen;
    let bound = TcpListener::bind(address).await;
    let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = bound.map_err(|cause| {
        Error::new(Kind::Config, format!("cannot listen on {address}"))
            .because(cause)
            .advise("Set trigger.listen to an address of this machine with a port that nobody else uses.")
    })?;
    info!("listening on http://{address}");
    Ok(listener)
}

/// Says what the helper will do.
pub(super) fn describe(config: &TriggerConfig, settings: &core::Settings) {
    let trigger = &config.trigger;
    info!(
        "fires {} of {}{}",
        trigger.reference, trigger.gitlab, trigger.project
    );
    let shown = humantime::format_duration;
    match &trigger.every {
        Some(Rhythm::Every(interval)) => info!("clock: every {}", shown(*interval)),
        Some(Rhythm::Cron(expression)) => info!("clock: {expression} ({})", trigger.time_zone),
        None => info!("clock: off (trigger.every)"),
    }
    match trigger.poll {
        Some(poll) => info!("watch: every {}", shown(poll)),
        None if settings.can_look => info!("watch: off (trigger.poll); the first look may fire"),
        None => info!("watch: off (trigger.poll, mirror.url)"),
    }
    if config.mail.smtp.is_none() {
        info!("mails: off (mail.smtp)");
    }
    if config.secrets.trigger_token.is_none() {
        warn!(
            "FERRY_TRIGGER_TOKEN is not set: whoever can connect to {} may fire",
            trigger.listen
        );
    }
}
