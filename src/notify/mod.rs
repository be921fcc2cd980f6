//! Tells a person by mail: that a sync failed, that one met something to look at, that the mirror is in order again.
//!
//! What is told and when is decided in `notice`; here it is looked up, sent and remembered.

mod command_line;
mod memory_file;
pub mod notice;
pub mod smtp;
mod standing;
mod trigger;

use aws_lc_rs::digest::{SHA256, digest};
use tracing::{error, info};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::git::RemoteUrl;
use crate::mirror::relay::Surroundings;
use crate::mirror::report::{Report, Warning};
use crate::notify::notice::{Event, Failure, Notice, Place, Standing};
use crate::notify::smtp::{Letter, Post};
use memory_file::MemoryFile;

pub use trigger::alarm;

/// Tells what is to be told after a sync, where mails are configured.
///
/// Never fails and never changes what the sync came to: a mail that cannot be sent is an error in the log.
pub async fn after_sync(config: &Config, end: &Result<Report>, around: Surroundings<'_>) {
    let Some(_) = config.mail.route() else {
        return;
    };
    let mut memory = MemoryFile::open(config.mail.state.as_deref(), &thread(config));
    let now = around.now();
    match end {
        Err(failure) if failure.kind().exit_code() == 2 => return,
        Err(failure) => {
            memory.record.failed(now);
            let event = Event::Failed(Failure::from(failure));
            tell_if_due(config, event, &mut memory, around).await;
        }
        Ok(report) => {
            memory.record.succeeded(now);
            let calling = calling(&report.warnings, memory.is_kept());
            if !calling.is_empty() {
                tell_if_due(config, Event::Warned(calling), &mut memory, around).await;
            }
            if let Some(event) = memory.record.recovery() {
                tell_if_due(config, event, &mut memory, around).await;
            }
        }
    }
    memory.save();
}

/// Sends a test mail, whatever is remembered.
///
/// # Errors
/// As [`Post::send`]; `config` where mails are not configured.
pub async fn test(config: &Config, around: Surroundings<'_>) -> Result<Vec<Error>> {
    let notice = notice(config, Event::Test, None, around).await;
    send(config, &notice, around).await
}

/// Returns the warnings that call a person. Those that each sync repeats are told only where it can be remembered that they
/// were.
fn calling(warnings: &[Warning], is_remembered: bool) -> Vec<Warning> {
    let is_told = |warning: &&Warning| {
        let topic = warning.calls();
        topic.is_some_and(|topic| is_remembered || !topic.is_standing())
    };
    warnings.iter().filter(is_told).cloned().collect()
}

async fn tell_if_due(
    config: &Config,
    event: Event,
    memory: &mut MemoryFile,
    around: Surroundings<'_>,
) {
    let now = around.now();
    let Some(event) = memory.record.due(event, now, config.mail.repeat_after) else {
        return info!("no mail: the same was mailed less than mail.repeat_after ago");
    };
    around.progress.phase("sending a mail");
    let notice = notice(config, event, Some(memory), around).await;
    match send(config, &notice, around).await {
        Ok(refused) => {
            for recipient in refused {
                log(config, "a recipient does not get the mail", &recipient);
            }
            memory.record.told(&notice.event, now);
        }
        Err(failure) => log(config, "the mail could not be sent", &failure),
    }
}

async fn notice(
    config: &Config,
    event: Event,
    memory: Option<&MemoryFile>,
    around: Surroundings<'_>,
) -> Notice {
    let standing = match &event {
        Event::Failed(_) => standing::look(config).await,
        _ => Standing::default(),
    };
    let by_hand = match &event {
        Event::Failed(_) | Event::Warned(_) => command_line::dry_run(config),
        _ => String::new(),
    };
    let kept = memory.filter(|memory| memory.is_kept());
    Notice {
        event,
        mirror: place(&config.mirror.url, &config.mirror.branch),
        upstream: Some(place(&config.upstream.url, &config.upstream.branch)),
        standing,
        last_success: kept.and_then(|memory| memory.record.last_success),
        job: config.job.clone(),
        by_hand,
        repeat_after: kept.map(|_| config.mail.repeat_after),
        now: around.now(),
    }
}

fn place(url: &RemoteUrl, branch: &str) -> Place {
    Place {
        url: url.to_string(),
        branch: branch.to_owned(),
    }
}

async fn send(config: &Config, notice: &Notice, around: Surroundings<'_>) -> Result<Vec<Error>> {
    let (text, html) = notice.bodies()?;
    let letter = Letter {
        subject: config.scrub(&notice.subject()),
        text: config.scrub(&text),
        html: config.scrub(&html),
        thread: thread(config),
        date: (around.clock)(),
    };
    Post::of(config)?.send(&letter).await
}

/// Names the mirror, the same for every mail about it, without saying where it is.
fn thread(config: &Config) -> String {
    thread_of(&place(&config.mirror.url, &config.mirror.branch))
}

fn thread_of(mirror: &Place) -> String {
    let name = format!("{} {}", mirror.url, mirror.branch);
    let hash = digest(&SHA256, name.as_bytes());
    format!("crates-ferry-{}", hex::encode(&hash.as_ref()[..10]))
}

fn log(config: &Config, what: &str, failure: &Error) {
    error!("{}", config.scrub(&line(what, failure)));
}

/// Writes a failure with its causes and its advice in one line.
pub fn line(what: &str, failure: &Error) -> String {
    let causes: String = failure
        .causes()
        .iter()
        .map(|cause| format!(": {cause}"))
        .collect();
    let advice = failure.advice().map(|advice| format!(" ({advice})"));
    format!("{what}: {failure}{causes}{}", advice.unwrap_or_default())
}
