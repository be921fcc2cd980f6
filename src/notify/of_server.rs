//! Mails what a server finds out by itself: that upstream took back what was fetched from it, and that it holds an index back.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing::error;

use super::email::{email, line, remote_branch, thread};
use super::history_file::HistoryFile;
use super::notice::{Event, MirrorStatus, Notice};
use super::smtp::Mailer;
use crate::config::ServeConfig;
use crate::error::Result;

/// Mails an event of a server, where mails are configured and it is due; says whether that is done with.
///
/// # Errors
/// As [`Mailer::send`]. A recipient that is refused while another one is accepted is an error in the log.
pub async fn of_server(config: &ServeConfig, event: Event, now: SystemTime) -> Result<()> {
    let Some(route) = config.mail.route() else {
        return Ok(());
    };
    let index = remote_branch(&config.index.url, &config.index.branch);
    let state = config.mail_state();
    let mut file = HistoryFile::open(Some(&state), &thread(&index));
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let Some(event) = file.history.due(event, seconds, config.mail.repeat_after) else {
        return Ok(());
    };
    let upstream = remote_branch(&config.upstream.url, &config.upstream.branch);
    let notice = Notice {
        event,
        mirror: index,
        upstream: Some(upstream).filter(|_| !config.index.is_upstream),
        mirror_status: MirrorStatus::default(),
        last_success: None,
        job: config.job.clone(),
        dry_run: String::new(),
        repeat_after: Some(config.mail.repeat_after),
        now: seconds,
    };
    let mask = config.mask();
    let scrub = |text: &str| mask.apply(text).into_owned();
    let email = email(&notice, now, scrub)?;
    let mailer = Mailer {
        route,
        password: config.secrets.smtp_password.as_ref(),
        network: &config.network,
    };
    for refused in mailer.send(&email).await? {
        error!("cannot mail one recipient: {}", scrub(&line(&refused)));
    }
    file.history.mailed(&notice.event, seconds);
    file.save();
    Ok(())
}
