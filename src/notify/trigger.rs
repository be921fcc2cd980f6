//! Mails of the trigger helper.

use std::time::{SystemTime, UNIX_EPOCH};

use url::Url;

use super::{line, place, thread_of};
use crate::config::Job;
use crate::config::TriggerConfig;
use crate::error::Result;
use crate::notify::notice::{Event, Notice, Place, Standing};
use crate::notify::smtp::{Letter, Post};

/// Mails an event of the trigger helper, with the page of the pipeline that it is about; returns whether mails are
/// configured at all. Recipients that are refused while others are not are an error in the log.
///
/// # Errors
/// As [`Post::send`].
pub async fn alarm(
    config: &TriggerConfig,
    event: Event,
    pipeline: Option<&str>,
    now: SystemTime,
) -> Result<bool> {
    let Some(route) = config.mail.route() else {
        return Ok(false);
    };
    let notice = notice(config, event, pipeline, now);
    let (text, html) = notice.bodies()?;
    let letter = Letter {
        subject: config.scrub(&notice.subject()),
        text: config.scrub(&text),
        html: config.scrub(&html),
        thread: thread_of(&notice.mirror),
        date: now,
    };
    let post = Post {
        route,
        password: config.secrets.smtp_password.as_ref(),
        network: &config.network,
    };
    for refused in post.send(&letter).await? {
        let line = line("a recipient does not get the mail", &refused);
        tracing::error!("{}", config.scrub(&line));
    }
    Ok(true)
}

fn notice(config: &TriggerConfig, event: Event, pipeline: Option<&str>, now: SystemTime) -> Notice {
    let trigger = &config.trigger;
    let project = trigger.gitlab.join(&trigger.project).ok();
    // Without the mirror's address, the project that carries is what can be named.
    let carrier = Place {
        url: format!("{}{}", trigger.gitlab, trigger.project),
        branch: trigger.reference.clone(),
    };
    let both = config.repositories.as_ref().map(|both| {
        let mirror = place(&both.mirror.url, &both.mirror.branch);
        (mirror, place(&both.upstream.url, &both.upstream.branch))
    });
    let (mirror, upstream) = both.map_or((carrier, None), |(mirror, upstream)| {
        (mirror, Some(upstream))
    });
    let page = |text: &str| {
        let url = Url::parse(text).ok()?;
        matches!(url.scheme(), "https" | "http").then_some(url)
    };
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Notice {
        event,
        mirror,
        upstream,
        standing: Standing::default(),
        last_success: None,
        job: Job {
            pipeline: pipeline.and_then(page),
            project,
            project_path: Some(trigger.project.clone()),
            reference: Some(trigger.reference.clone()),
            ..Job::default()
        },
        by_hand: String::new(),
        repeat_after: Some(config.mail.repeat_after),
        now: i64::try_from(seconds).unwrap_or(i64::MAX),
    }
}
