//! Shared by both use cases: the email of a notice, and the line that the log shows for an error.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};

use super::notice::{Notice, RemoteBranch};
use super::smtp::Email;
use crate::error::{Error, Result};
use crate::git::RemoteUrl;

/// Writes a notice as an email.
///
/// The whole texts pass `scrub` last: a server may have repeated a secret in an error message that the notice quotes.
pub(super) fn email(
    notice: &Notice,
    date: SystemTime,
    scrub: impl Fn(&str) -> String,
) -> Result<Email> {
    let (text, html) = notice.bodies()?;
    Ok(Email {
        subject: scrub(&notice.subject()),
        text: scrub(&text),
        html: scrub(&html),
        thread: thread(&notice.mirror),
        date,
    })
}

/// Returns the thread of all mails about a mirror.
///
/// It is a hash, because headers pass through other people's mail servers, which need not learn where the mirror is.
pub(super) fn thread(mirror: &RemoteBranch) -> String {
    let name = format!("{} {}", mirror.url, mirror.branch);
    let hash = digest(&SHA256, name.as_bytes());
    // 80 bits tell all mirrors of a mailbox apart, and keep the header on one line.
    format!("crates-ferry-{}", hex::encode(&hash.as_ref()[..10]))
}

pub(super) fn remote_branch(url: &RemoteUrl, branch: &str) -> RemoteBranch {
    RemoteBranch {
        url: url.to_string(),
        branch: branch.to_owned(),
    }
}

/// Returns an error with its causes and its advice on one line.
pub fn line(error: &Error) -> String {
    match error.advice() {
        Some(advice) => format!("{} ({advice})", error.chain()),
        None => error.chain(),
    }
}
