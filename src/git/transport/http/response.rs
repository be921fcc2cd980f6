//! Reads the head of a response: git's own content type, or one of the many ways to refuse.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use tokio::io::AsyncReadExt;
use url::Url;

use super::redirect::{is_redirect, shown};
use crate::error::{Error, Kind};
use crate::git::transport::JOB_TOKEN_USER;
use crate::git::transport::{HostMessage, Meaning, Reader, Service};

/// How much of a rejection's body is shown, in bytes.
const WORDS: u64 = 1024;

/// What must be known of a request to understand its response.
pub(super) struct RequestSummary {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) service: Service,
    /// The content type of git's own response.
    pub(super) expected: String,
    /// The user of the credentials, where there are any.
    pub(super) user: Option<String>,
    /// The URL is on the origin that was configured, which alone gets the credentials.
    pub(super) at_home: bool,
}

/// A response that is not git's.
pub(super) struct Rejection {
    kind: Kind,
    message: String,
    advice: Option<&'static str>,
    /// Whether the body is text for people.
    has_message: bool,
    /// Whether our own setup explains a denial (a redirect, a job's token), whatever the host says about it.
    is_ours: bool,
}

impl Rejection {
    /// Makes the error, with the server's own message where the body has one.
    pub(super) async fn explain(self, body: &mut Reader, limit: Duration) -> Error {
        if !self.has_message {
            return self.error();
        }
        let mut words = Vec::new();
        // A body that cannot be read in time is only missing from the message.
        let _ = tokio::time::timeout(limit, body.take(WORDS).read_to_end(&mut words)).await;
        let words = String::from_utf8_lossy(&words);
        let shown: String = words
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        match shown.trim() {
            "" => self.error(),
            shown => self
                .with_message(&HostMessage::new(&words))
                .error()
                .because(shown.to_owned()),
        }
    }

    /// Takes the meaning of a denial from the host's message: one of many reasons, or an outage that passes.
    fn with_message(self, words: &HostMessage) -> Self {
        let known = words.meaning().filter(|answer| {
            // Only a denial has many meanings. Where our own setup explains it, an outage still comes first: it passes
            // by itself.
            self.kind == Kind::Permission && (answer.kind == Kind::Server || !self.is_ours)
        });
        match known {
            Some(Meaning { kind, advice }) => Self {
                kind,
                advice: Some(advice),
                ..self
            },
            None => self,
        }
    }

    fn error(self) -> Error {
        let error = Error::new(self.kind, self.message);
        match self.advice {
            Some(advice) => error.advise(advice),
            None => error,
        }
    }
}

impl RequestSummary {
    /// Says whether the request changes nothing, so that it may be repeated.
    pub(super) fn only_reads(&self) -> bool {
        self.method == Method::GET || self.service == Service::UploadPack
    }
}

/// Returns what is wrong with a response, if anything is.
pub(super) fn check(response: &Response, request_summary: &RequestSummary) -> Option<Rejection> {
    let content = header(response.headers(), CONTENT_TYPE).unwrap_or_default();
    let essence = content.split(';').next().unwrap_or_default().trim();
    if !response.status().is_success() {
        // As git does: a page of HTML is for browsers, and tells little in a log.
        let has_message = essence.eq_ignore_ascii_case("text/plain");
        return Some(refused(response, request_summary, has_message));
    }
    // A login page or a captive portal answers 200 as well: only the content type tells git's response from it.
    if essence.eq_ignore_ascii_case(&request_summary.expected) {
        return None;
    }
    let message = format!(
        "{} {}: the content type is {}, not {}; this is no smart HTTP git server",
        request_summary.method,
        shown(&request_summary.url),
        if essence.is_empty() {
            "missing"
        } else {
            essence
        },
        request_summary.expected,
    );
    Some(Rejection {
        kind: Kind::Server,
        message,
        advice: Some(
            "Check the URL: a login page, a captive portal, or a server of plain files responds like this.",
        ),
        has_message: false,
        is_ours: true,
    })
}

fn refused(response: &Response, request_summary: &RequestSummary, has_message: bool) -> Rejection {
    let status = response.status();
    let retry_after = header(response.headers(), RETRY_AFTER);
    let (kind, meaning) = meaning(status);
    let mut message = format!(
        "{} {}: {status}",
        request_summary.method,
        shown(&request_summary.url)
    );
    if !meaning.is_empty() {
        message = format!("{message}: {meaning}");
    }
    if let Some(retry_after) = retry_after {
        message = format!("{message} (Retry-After: {retry_after})");
    }
    let user = request_summary.user.as_deref();
    Rejection {
        kind,
        message,
        advice: advice(status, request_summary),
        has_message,
        is_ours: user.is_some_and(|user| !request_summary.at_home || user == JOB_TOKEN_USER),
    }
}

/// Maps a status to the kind of the failure and to what it means for a git repository.
fn meaning(status: StatusCode) -> (Kind, &'static str) {
    match status.as_u16() {
        401 => (
            Kind::Auth,
            "authentication required, or the credentials are not accepted",
        ),
        403 => (Kind::Permission, "access denied"),
        451 => (Kind::Permission, "not available for legal reasons"),
        404 | 410 => (
            Kind::Permission,
            "not found, or not visible with these credentials",
        ),
        407 => (Kind::Config, "proxy authentication required"),
        411 => (
            Kind::Permission,
            "the server takes no push whose length is not known in advance",
        ),
        413 => (Kind::Permission, "the push is too large for the server"),
        408 | 429 | 500..=599 => (Kind::Server, ""),
        // A redirected POST would have to send the pack again, to a place that nobody configured.
        _ if is_redirect(status) => (Kind::Server, "only an advertisement may be redirected"),
        _ => (Kind::Server, "a status that git's protocol does not have"),
    }
}

fn advice(status: StatusCode, request_summary: &RequestSummary) -> Option<&'static str> {
    let (user, writes) = (
        request_summary.user.as_deref(),
        request_summary.service == Service::ReceivePack,
    );
    let advice = match status.as_u16() {
        // First, since the others would send people to check credentials that were never sent.
        401 | 403 | 404 if user.is_some() && !request_summary.at_home => {
            "Set the URL to the one that the redirect leads to: credentials are sent to the configured server only."
        }
        401 | 403 if user == Some(JOB_TOKEN_USER) => {
            "Turn on the project's setting \"Allow Git push requests to the repository\" (CI/CD, job token permissions), \
             without which a job's token cannot push, or set FERRY_MIRROR_TOKEN to a token that may write the repository."
        }
        401 if user.is_none() => {
            "For the mirror, set FERRY_MIRROR_TOKEN to a token that may write the repository, or run as a job of \
             the mirror's own GitLab with CI_JOB_TOKEN and its setting \"Allow Git push requests to the repository\"."
        }
        401 => {
            "Check FERRY_MIRROR_TOKEN, or the user and password in the URL: they may be expired, revoked, or for another \
             server."
        }
        403 if writes => {
            "Check that the user or token may write the repository and push to the branch."
        }
        403 => "Check that the user or token may read the repository.",
        404 | 410 => {
            "Check the URL; most hosts hide private repositories this way from a user who may not see them."
        }
        407 => "Put the proxy's user and password into the proxy's URL (HTTPS_PROXY, HTTP_PROXY).",
        411 => {
            "Let the server, or the proxy before it, take requests with `Transfer-Encoding: chunked`: a push of more than 1 MiB is \
             sent while it arrives. Or use ssh."
        }
        413 => {
            "Raise the limit of the server or of the proxy before it (client_max_body_size in nginx), or use ssh."
        }
        _ => return None,
    };
    Some(advice)
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_kind() {
        let kinds = [
            (400, Kind::Server),
            (401, Kind::Auth),
            (403, Kind::Permission),
            (404, Kind::Permission),
            (407, Kind::Config),
            (408, Kind::Server),
            (410, Kind::Permission),
            (411, Kind::Permission),
            (413, Kind::Permission),
            (429, Kind::Server),
            (500, Kind::Server),
            (503, Kind::Server),
            (307, Kind::Server),
            (418, Kind::Server),
        ];
        for (status, kind) in kinds {
            let found = StatusCode::from_u16(status).map(|status| meaning(status).0);
            assert_eq!(found.ok(), Some(kind), "{status}");
        }
    }

    #[test]
    fn a_denial_has_the_meaning_of_the_hosts_message_unless_our_side_explains_it() {
        let meaning_of = |words: &str, is_ours: bool| {
            let rejection = Rejection {
                kind: Kind::Permission,
                message: String::new(),
                advice: Some("Ours."),
                has_message: true,
                is_ours,
            };
            let error = rejection.with_message(&HostMessage::new(words)).error();
            (error.kind(), error.advice() == Some("Ours."))
        };
        let (denied, moved) = (
            "This deploy key does not have write access to this project.",
            "The repository is temporarily read-only. Please try again later.",
        );
        assert_eq!(meaning_of(denied, false), (Kind::Permission, false));
        assert_eq!(meaning_of(denied, true), (Kind::Permission, true));
        assert_eq!(meaning_of(moved, false), (Kind::Server, false));
        assert_eq!(meaning_of(moved, true), (Kind::Server, false));
        assert_eq!(
            meaning_of("Your account has been blocked.", false),
            (Kind::Auth, false)
        );
        assert_eq!(meaning_of("Forbidden", false), (Kind::Permission, true));
    }
}
