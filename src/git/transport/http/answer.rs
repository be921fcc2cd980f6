//! What the head of an answer means: git's own content type, or one of the many ways to say no.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use tokio::io::AsyncReadExt;
use url::Url;

use super::redirect::{is_redirect, shown};
use crate::error::{Error, Kind};
use crate::git::transport::JOB_TOKEN_USER;
use crate::git::transport::{HostAnswer, HostWords, Reader, Service};

/// How much of a refusal's own words is shown, in bytes.
const WORDS: u64 = 1024;

/// A request, as far as it matters to understand its answer.
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) service: Service,
    /// The content type of an answer in git's own words.
    pub(super) expected: String,
    /// The user of the credentials, where there are any.
    pub(super) user: Option<String>,
    /// The URL is on the origin that was configured, which alone gets the credentials.
    pub(super) at_home: bool,
}

/// An answer that is not the one asked for.
pub(super) struct Refusal {
    kind: Kind,
    message: String,
    advice: Option<&'static str>,
    /// The body is text for people.
    has_words: bool,
    /// The advice is about our side, whatever the host may say.
    is_ours: bool,
}

impl Refusal {
    /// Makes the error, with the server's own words where it has any.
    pub(super) async fn explain(self, body: &mut Reader, limit: Duration) -> Error {
        if !self.has_words {
            return self.error();
        }
        let mut words = Vec::new();
        // Words that cannot be read in time are only missing from the message.
        let _ = tokio::time::timeout(limit, body.take(WORDS).read_to_end(&mut words)).await;
        let words = String::from_utf8_lossy(&words);
        let shown: String = words
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        match shown.trim() {
            "" => self.error(),
            shown => self
                .heeding(&HostWords::new(&words))
                .error()
                .because(shown.to_owned()),
        }
    }

    /// Takes a denial for what the host's words say that it is: of many reasons, or a trouble that passes.
    fn heeding(self, words: &HostWords) -> Self {
        let known = words.meaning().filter(|answer| {
            self.kind == Kind::Permission && (answer.kind == Kind::Server || !self.is_ours)
        });
        match known {
            Some(HostAnswer { kind, advice }) => Self {
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

/// Says what is wrong with an answer, if anything is.
pub(super) fn judge(response: &Response, question: &Question) -> Option<Refusal> {
    let content = header(response.headers(), CONTENT_TYPE).unwrap_or_default();
    let essence = content.split(';').next().unwrap_or_default().trim();
    if !response.status().is_success() {
        let has_words = essence.eq_ignore_ascii_case("text/plain");
        return Some(refused(response, question, has_words));
    }
    if essence.eq_ignore_ascii_case(&question.expected) {
        return None;
    }
    let message = format!(
        "{} {}: the answer's content type is {}, not {}; what answered is no smart-HTTP git server",
        question.method,
        shown(&question.url),
        if essence.is_empty() {
            "missing"
        } else {
            essence
        },
        question.expected,
    );
    Some(Refusal {
        kind: Kind::Server,
        message,
        advice: Some(
            "Check the URL. A login page, a captive portal, or a server of plain files answers like this.",
        ),
        has_words: false,
        is_ours: true,
    })
}

fn refused(response: &Response, question: &Question, has_words: bool) -> Refusal {
    let status = response.status();
    let retry_after = header(response.headers(), RETRY_AFTER);
    let (kind, meaning) = meaning(status);
    let mut message = format!("{} {}: {status}", question.method, shown(&question.url));
    if !meaning.is_empty() {
        message = format!("{message}: {meaning}");
    }
    if let Some(retry_after) = retry_after {
        message = format!("{message} (Retry-After: {retry_after})");
    }
    let user = question.user.as_deref();
    Refusal {
        kind,
        message,
        advice: advice(status, question),
        has_words,
        is_ours: user.is_some_and(|user| !question.at_home || user == JOB_TOKEN_USER),
    }
}

/// Maps a status to the kind of the failure and to what it means for a git repository.
fn meaning(status: StatusCode) -> (Kind, &'static str) {
    match status.as_u16() {
        401 => (
            Kind::Auth,
            "the server wants to know who we are, or does not accept it",
        ),
        403 | 451 => (Kind::Permission, "the server does not allow it"),
        404 | 410 => (Kind::Permission, "not found, or not for these credentials"),
        407 => (Kind::Config, "the proxy wants to know who we are"),
        413 => (Kind::Permission, "the server takes no push of this size"),
        408 | 429 | 500..=599 => (Kind::Server, ""),
        _ if is_redirect(status) => (Kind::Server, "only an advertisement may be redirected"),
        _ => (Kind::Server, "an answer that git's protocol does not have"),
    }
}

fn advice(status: StatusCode, question: &Question) -> Option<&'static str> {
    let (user, writes) = (
        question.user.as_deref(),
        question.service == Service::ReceivePack,
    );
    let advice = match status.as_u16() {
        401 | 403 | 404 if user.is_some() && !question.at_home => {
            "A redirect led to another server, and credentials go to the configured one only; configure the URL \
             that the redirect leads to."
        }
        401 | 403 if user == Some(JOB_TOKEN_USER) => {
            "A job's token may push only where the project's setting \"Allow Git push requests to the repository\" \
             (CI/CD, job token permissions) is on; else set FERRY_MIRROR_TOKEN to a token that may write the \
             repository."
        }
        401 if user.is_none() => {
            "For the mirror, set FERRY_MIRROR_TOKEN to a token that may write the repository, or run as a job of \
             the mirror's own GitLab with CI_JOB_TOKEN and its setting \"Allow Git push requests to the repository\"."
        }
        401 => {
            "Check FERRY_MIRROR_TOKEN, or the user and password in the URL: expired, revoked, or of another server."
        }
        403 if writes => {
            "Check that the user or token may write the repository and push to the branch."
        }
        403 => "Check that the user or token may read the repository.",
        404 | 410 => {
            "Check the URL; most hosts hide private repositories this way from a user who may not see them."
        }
        407 => "Put the proxy's user and password into the proxy's URL (HTTPS_PROXY, HTTP_PROXY).",
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
    fn a_denial_means_what_the_hosts_words_say_unless_our_side_explains_it() {
        let heeded = |words: &str, is_ours: bool| {
            let refusal = Refusal {
                kind: Kind::Permission,
                message: String::new(),
                advice: Some("ours"),
                has_words: true,
                is_ours,
            };
            let error = refusal.heeding(&HostWords::new(words)).error();
            (error.kind(), error.advice() == Some("ours"))
        };
        let (denied, moved) = (
            "This deploy key does not have write access to this project.",
            "The repository is temporarily read-only. Please try again later.",
        );
        assert_eq!(heeded(denied, false), (Kind::Permission, false));
        assert_eq!(heeded(denied, true), (Kind::Permission, true));
        assert_eq!(heeded(moved, false), (Kind::Server, false));
        assert_eq!(heeded(moved, true), (Kind::Server, false));
        assert_eq!(
            heeded("Your account has been blocked.", false),
            (Kind::Auth, false)
        );
        assert_eq!(heeded("Forbidden", false), (Kind::Permission, true));
    }
}
