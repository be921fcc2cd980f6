//! Mails an alarm of the trigger helper, or that its cause is resolved.

use std::time::{SystemTime, UNIX_EPOCH};

use url::Url;

use super::email::{email, line, remote_branch};
use super::notice::{Event, MirrorStatus, Notice, Observed, RemoteBranch};
use super::smtp::Mailer;
use crate::config::{Job, TriggerConfig};
use crate::error::Result;

/// What the helper knows besides the event.
#[derive(Debug, Clone, Default)]
pub struct About<'a> {
    /// The page of the pipeline that the event is about.
    pub pipeline: Option<&'a str>,
    /// The mirror's tip, and when the helper saw it move there, in seconds since 1970.
    pub last_moved: Option<(String, i64)>,
}

/// Mails an event of the trigger helper; returns whether mails are configured at all.
///
/// A recipient that the server refuses while it accepts
/// another one is an error in the log.
///
/// # Errors
/// As [`Mailer::send`].
pub async fn alarm(
    config: &TriggerConfig,
    event: Event,
    about: About<'_>,
    now: SystemTime,
) -> Result<bool> {
    let Some(route) = config.mail.route() else {
        return Ok(false);
    };
    let notice = notice(config, event, about, now);
    let email = email(&notice, now, |text| config.scrub(text))?;
    let mailer = Mailer {
        route,
        password: config.secrets.smtp_password.as_ref(),
        network: &config.network,
    };
    for refused in mailer.send(&email).await? {
        let line = config.scrub(&line(&refused));
        tracing::error!("cannot mail one recipient: {line}");
    }
    Ok(true)
}

fn notice(config: &TriggerConfig, event: Event, about: About<'_>, now: SystemTime) -> Notice {
    let trigger = &config.trigger;
    let project = trigger.gitlab.join(&trigger.project).ok();
    // The helper runs without the mirror's address, too; then the mail names the project whose pipelines it starts.
    let fallback = RemoteBranch {
        // The server's address ends in a slash: see the parser of `trigger.gitlab`.
        url: format!("{}{}", trigger.gitlab, trigger.project),
        branch: trigger.reference.clone(),
    };
    let both = config.repositories.as_ref().map(|both| {
        let mirror = remote_branch(&both.mirror.url, &both.mirror.branch);
        (
            mirror,
            remote_branch(&both.upstream.url, &both.upstream.branch),
        )
    });
    let (mirror, upstream) = both.map_or((fallback, None), |(mirror, upstream)| {
        (mirror, Some(upstream))
    });
    // The address comes from GitLab's answer: nothing but a web page may become a link.
    let page = |text: &str| {
        let url = Url::parse(text).ok()?;
        matches!(url.scheme(), "https" | "http").then_some(url)
    };
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Notice {
        event,
        mirror,
        upstream,
        mirror_status: MirrorStatus {
            last_moved: about.last_moved.map_or(Observed::NotAsked, Observed::Known),
            ..MirrorStatus::default()
        },
        last_success: None,
        job: Job {
            pipeline: about.pipeline.and_then(page),
            project,
            project_path: Some(trigger.project.clone()),
            reference: Some(trigger.reference.clone()),
            ..Job::default()
        },
        dry_run: String::new(),
        repeat_after: Some(config.mail.repeat_after),
        now: i64::try_from(seconds).unwrap_or(i64::MAX),
    }
}
