//! Reads the head of a response: git's own content type, or one of the many ways to refuse.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use tokio::io::AsyncReadExt;
use url::Url;

use super::error::PROXY_ADVICE;
use super::redirect::{is_redirect, shown};
use crate::error::{Error, Kind};
use crate::retry_after::retry_after;
use crate::transport::JOB_TOKEN_USER;
use crate::transport::{HostMessage, Meaning, Reader, Service, Side};

/// How much of a rejection's body is shown, in bytes.
const WORDS: u64 = 1024;

/// What must be known of a request to understand its response.
pub(super) struct RequestSummary {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) service: Service,
    /// The content type of git's own response.
    pub(super) expected: String,
    pub(super) side: Side,
    /// The user of the credentials, where there are any.
    pub(super) user: Option<String>,
    /// The URL is on the origin that was configured, which alone gets the credentials.
    pub(super) at_home: bool,
}

/// A response that is not git's.
pub(super) struct Rejection {
    kind: Kind,
    message: String,
    advice: &'static str,
    /// For how long the server asks to wait.
    retry_after: Option<Duration>,
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
            Some(Meaning { kind, advice, .. }) => Self {
                kind,
                advice,
                ..self
            },
            None => self,
        }
    }

    fn error(self) -> Error {
        Error::new(self.kind, self.message)
            .advise(self.advice)
            .after(self.retry_after)
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
        advice: "Check the URL: a login page, a captive portal, or a server of plain files responds like this.",
        retry_after: None,
        has_message: false,
        is_ours: true,
    })
}

fn refused(response: &Response, request_summary: &RequestSummary, has_message: bool) -> Rejection {
    let asked = header(response.headers(), RETRY_AFTER);
    rejection(response.status(), asked, request_summary, has_message)
}

fn rejection(
    status: StatusCode,
    asked: Option<&str>,
    request_summary: &RequestSummary,
    has_message: bool,
) -> Rejection {
    let (kind, meaning) = meaning(status);
    let mut message = format!(
        "{} {}: {status}",
        request_summary.method,
        shown(&request_summary.url)
    );
    if !meaning.is_empty() {
        message = format!("{message}: {meaning}");
    }
    if let Some(asked) = asked {
        message = format!("{message} (Retry-After: {asked})");
    }
    let user = request_summary.user.as_deref();
    Rejection {
        kind,
        message,
        advice: advice(status, request_summary),
        retry_after: asked.and_then(|asked| retry_after(asked, SystemTime::now())),
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
        402 => (Kind::Permission, "payment required"),
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

fn advice(status: StatusCode, request_summary: &RequestSummary) -> &'static str {
    let (user, writes) = (
        request_summary.user.as_deref(),
        request_summary.service == Service::ReceivePack,
    );
    match status.as_u16() {
        // First, since the others would send people to check credentials that were never sent.
        401 | 403 | 404 if user.is_some() && !request_summary.at_home => {
            "Set the URL to the one that the redirect leads to: credentials are sent to the configured server only."
        }
        401 => match user {
            Some(user) => request_summary.side.wrong_credentials(user),
            None => request_summary.side.without_credentials(),
        },
        403 => request_summary.side.forbidden(user, writes),
        402 => {
            "Check the plan of the account that owns the repository: the host requires payment, or the account's limits are used up."
        }
        404 | 410 => request_summary.side.not_found(),
        407 => PROXY_ADVICE,
        411 => {
            "Let the server, or the proxy before it, take requests with `Transfer-Encoding: chunked`: a push of more than 1 MiB is \
             sent while it arrives. Or use ssh."
        }
        413 => {
            "Raise the limit of the server or of the proxy before it (client_max_body_size in nginx), or use ssh."
        }
        429 => "Try again later: the server limits how often it may be asked.",
        408 | 500..=599 => {
            "Try again later. If it fails again, ask the server's administrator, also about the proxy before it."
        }
        _ if is_redirect(status) => "Set the URL to the one that the redirect leads to.",
        _ => "Check the URL, and the proxies on the way: git servers do not give this answer.",
    }
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::row;

    #[test]
    fn every_status_has_its_kind() {
        let kinds = [
            (400, Kind::Server),
            (401, Kind::Auth),
            (402, Kind::Permission),
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
    fn each_status_advises_what_its_side_and_its_credentials_need() {
        let url: Url = "https://h.example/index.git/info/refs".parse().unwrap();
        let told = |status: u16, side, user: Option<&str>, service, at_home| {
            let summary = RequestSummary {
                method: Method::GET,
                url: url.clone(),
                service,
                expected: String::new(),
                side,
                user: user.map(str::to_owned),
                at_home,
            };
            let status = StatusCode::from_u16(status).unwrap();
            rejection(status, None, &summary, false).error()
        };
        let mut table = String::new();
        let (read, write) = (Service::UploadPack, Service::ReceivePack);
        for status in [401, 403] {
            for (side, user, service) in [
                (Side::Upstream, None, read),
                (Side::Upstream, Some("me"), read),
                (Side::Index, None, read),
                (Side::Index, Some("oauth2"), read),
                (Side::Index, Some(JOB_TOKEN_USER), read),
                (Side::Mirror, None, write),
                (Side::Mirror, Some("oauth2"), read),
                (Side::Mirror, Some("oauth2"), write),
                (Side::Mirror, Some(JOB_TOKEN_USER), write),
            ] {
                let user_shown = user.unwrap_or("nobody");
                let cause = format!("{status}, {side}, as {user_shown}, {}", service.name());
                table += &row(&cause, &told(status, side, user, service, true));
            }
        }
        let moved = told(401, Side::Mirror, Some("oauth2"), write, false);
        table += &row("401, mirror, after a redirect to another host", &moved);
        for side in [Side::Upstream, Side::Mirror, Side::Index] {
            let error = told(404, side, None, read, true);
            table += &row(&format!("404, {side}"), &error);
        }
        for status in [302, 402, 407, 408, 411, 413, 418, 429, 502] {
            let error = told(status, Side::Mirror, None, write, true);
            table += &row(&status.to_string(), &error);
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_denial_has_the_meaning_of_the_hosts_message_unless_our_side_explains_it() {
        let meaning_of = |words: &str, is_ours: bool| {
            let rejection = Rejection {
                retry_after: None,
                kind: Kind::Permission,
                message: String::new(),
                advice: "Ours.",
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
