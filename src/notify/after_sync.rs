//! Mails the result of a sync: `notice` decides what is due, this module gathers what it needs, sends it and records it.

use tracing::{error, info};

use super::email::{email, line, remote_branch, thread};
use super::history_file::HistoryFile;
use super::notice::{Event, Failure, MirrorStatus, Notice};
use super::smtp::Mailer;
use super::{command_line, mirror_status};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::mirror::Context;
use crate::mirror::report::{Report, Warning};

/// Mails the result of a sync where it is due and mails are configured.
///
/// Never fails and never changes the result: a mail that cannot be sent is an error in the log.
pub async fn after_sync(config: &Config, result: &Result<Report>, around: Context<'_>) {
    // Before the file is opened: who wants no mails gets no file, and no warning about it.
    let Some(_) = config.mail.route() else {
        return;
    };
    let mirror = remote_branch(&config.mirror.url, &config.mirror.branch);
    let mut file = HistoryFile::open(config.mail.state.as_deref(), &thread(&mirror));
    let now = around.now();
    match result {
        // Whoever has just changed the configuration or the command line sees the error without a mail. What came up
        // later, such as a branch that upstream renamed, nobody may be looking at.
        Err(error) if error.kind().exit_code() == 2 && !error.is_underway() => return,
        Err(error) => {
            file.history.failed(now);
            let event = Event::Failed(Failure::from(error));
            mail_if_due(config, event, &mut file, around).await;
        }
        Ok(report) => {
            file.history.succeeded(now);
            // Two mails at most: a sync that works again may still have something to warn of.
            let warnings = for_a_person(&report.warnings, file.is_persistent());
            if !warnings.is_empty() {
                mail_if_due(config, Event::Warned(warnings), &mut file, around).await;
            }
            if let Some(event) = file.history.recovery() {
                mail_if_due(config, event, &mut file, around).await;
            }
        }
    }
    file.save();
}

/// Sends a test mail, whatever was mailed before.
///
/// # Errors
/// As [`Mailer::send`]; `config` where mails are not configured.
pub async fn test(config: &Config, around: Context<'_>) -> Result<Vec<Error>> {
    let notice = notice(config, Event::Test, None, around).await;
    send(config, &notice, around).await
}

/// Returns the warnings that need a person.
///
/// Without a file that records what was mailed, warnings that every sync repeats are left out: they would make every sync
/// send a mail.
fn for_a_person(warnings: &[Warning], is_recorded: bool) -> Vec<Warning> {
    let is_mailed = |warning: &&Warning| {
        let topic = warning.calls();
        topic.is_some_and(|topic| is_recorded || !topic.is_standing())
    };
    warnings.iter().filter(is_mailed).cloned().collect()
}

async fn mail_if_due(config: &Config, event: Event, file: &mut HistoryFile, around: Context<'_>) {
    let now = around.now();
    let Some(event) = file.history.due(event, now, config.mail.repeat_after) else {
        return info!("no mail: the same was mailed less than mail.repeat_after ago");
    };
    around.progress.phase("sending a mail");
    let notice = notice(config, event, Some(file), around).await;
    match send(config, &notice, around).await {
        Ok(refused) => {
            for recipient in refused {
                log(config, "cannot mail one recipient", &recipient);
            }
            // Not before it is sent: what could not be mailed is due again at the next sync.
            file.history.mailed(&notice.event, now);
        }
        Err(error) => log(config, "cannot send the mail", &error),
    }
}

async fn notice(
    config: &Config,
    event: Event,
    file: Option<&HistoryFile>,
    around: Context<'_>,
) -> Notice {
    let mirror_status = match &event {
        Event::Failed(_) => mirror_status::read(config).await,
        _ => MirrorStatus::default(),
    };
    let dry_run = match &event {
        Event::Failed(_) | Event::Warned(_) => command_line::dry_run(config),
        _ => String::new(),
    };
    // Without a file nothing is known of earlier runs, and the mail must not promise a pause that nothing keeps.
    let file = file.filter(|file| file.is_persistent());
    Notice {
        event,
        mirror: remote_branch(&config.mirror.url, &config.mirror.branch),
        upstream: Some(remote_branch(&config.upstream.url, &config.upstream.branch)),
        mirror_status,
        last_success: file.and_then(|file| file.history.last_success),
        job: config.job.clone(),
        dry_run,
        repeat_after: file.map(|_| config.mail.repeat_after),
        now: around.now(),
    }
}

async fn send(config: &Config, notice: &Notice, around: Context<'_>) -> Result<Vec<Error>> {
    let email = email(notice, (around.clock)(), |text| config.scrub(text))?;
    Mailer::of(config)?.send(&email).await
}

fn log(config: &Config, what: &str, error: &Error) {
    error!("{what}: {}", config.scrub(&line(error)));
}
