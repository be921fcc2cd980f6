//! Shared by both use cases: the email of a notice, and the line that the log shows for an error.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};

use super::notice::{Notice, RemoteBranch};
use super::smtp::Email;
use crate::error::{Error, Result};
use crate::git::RemoteUrl;

/// Writes a notice as an email.
///
/// All its texts pass `scrub`: a server may have repeated a secret in an error message that the notice quotes.
pub(super) fn email(
    notice: &Notice,
    date: SystemTime,
    scrub: impl Fn(&str) -> String,
) -> Result<Email> {
    let (text, html) = notice.bodies(&scrub)?;
    Ok(Email {
        subject: notice.subject(&scrub),
        text,
        html,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Job;
    use crate::error::Kind;
    use crate::notify::notice::{Event, Failure, MirrorStatus};

    #[test]
    fn a_secret_is_masked_in_every_form_of_a_mail() {
        let secret = "p&ss<w>\"o'rd";
        let log = format!("https://ci.example/{}", "secret-in-a-path");
        let notice = Notice {
            event: Event::Failed(Failure {
                kind: Kind::Auth,
                message: format!("the server says: {secret} is wrong"),
                causes: vec![secret.to_owned()],
                advice: Some(format!("Do not use {secret}.")),
                is_transient: false,
            }),
            mirror: RemoteBranch {
                // So long that the subject cuts the secret apart.
                url: format!("https://host.example/secret-in-a-path/{}", "x".repeat(20)),
                branch: secret.to_owned(),
            },
            upstream: None,
            mirror_status: MirrorStatus::default(),
            last_success: None,
            job: Job {
                name: Some("sync".to_owned()),
                log: Some(log.parse().unwrap()),
                ..Job::default()
            },
            dry_run: format!("crates-ferry --mirror {secret}"),
            repeat_after: None,
            now: 0,
        };
        let scrub = |text: &str| {
            let text = text.replace(secret, "[masked]");
            text.replace("secret-in-a-path", "[masked]")
        };
        let mail = email(&notice, SystemTime::UNIX_EPOCH, scrub).unwrap();
        for text in [&mail.text, &mail.html] {
            assert_eq!(text.matches("[masked]").count(), 7, "{text}");
        }
        for text in [&mail.subject, &mail.text, &mail.html] {
            assert!(!text.contains("ss<w"), "{text}");
            assert!(!text.contains("a-path"), "{text}");
        }
    }
}
