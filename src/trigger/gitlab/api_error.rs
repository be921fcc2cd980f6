//! What an error of GitLab's API means: retry later, or a person is needed, and what that person can do.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;
use url::Url;

use crate::error::{Error, Kind};
use crate::git::transport::PROXY_ADVICE;
use crate::retry_after::retry_after;
use crate::shown::{beginning, printable};

/// How many characters of GitLab's message are shown, and an ellipsis.
const MAX_MESSAGE: usize = 300;
/// gitlab.com limits the pipelines of a minute.
const MINUTE: Duration = Duration::from_secs(60);
/// The longest wait that a server can impose.
// A broken clock or a proxy may name a time in years.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// A request to GitLab's API that failed.
#[derive(Debug)]
pub struct ApiError {
    /// What GitLab said, and what to do.
    pub error: Error,
    /// What makes the request succeed.
    pub remedy: Remedy,
}

/// What makes a failed request succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Waiting, as GitLab says.
    Wait {
        /// For how long.
        pause: Duration,
        /// As of [`Remedy::Retry`].
        may_be_created: bool,
    },
    /// Another try, some time later.
    Retry {
        /// Whether the pipeline may have been created nevertheless.
        may_be_created: bool,
    },
    /// A person, who fixes something.
    Person,
}

impl Remedy {
    /// Says whether the pipeline may have been created, although the request failed.
    pub fn may_be_created(self) -> bool {
        match self {
            Self::Wait { may_be_created, .. } | Self::Retry { may_be_created } => may_be_created,
            Self::Person => false,
        }
    }
}

impl ApiError {
    /// Makes the error of a request that got no response, or none that can be read.
    pub(super) fn unanswered(error: Error, may_be_created: bool) -> Self {
        let remedy = match error.is_transient() {
            true => Remedy::Retry { may_be_created },
            false => Remedy::Person,
        };
        Self { error, remedy }
    }
}

/// An error on our side, before anything was sent.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self {
            error,
            remedy: Remedy::Person,
        }
    }
}

/// Returns the message in the body of an error, on one line.
///
/// GitLab puts it into `message` or `error`, as a string, a list, or lists by field.
pub(super) fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let mut texts = Vec::new();
            gather(&value, &mut texts);
            texts.join("; ")
        }
        // A page for a browser does not help in a line of a log.
        Err(_) if body.trim_ascii_start().starts_with(b"<") => String::new(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    beginning(&printable(&line), MAX_MESSAGE).into_owned()
}

fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        // serde_json nests at most 128 levels: the recursion ends.
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        Value::Object(fields) => {
            let names = [
                "message",
                "error",
                "error_description",
                "errors",
                "failure_reason",
                "base",
            ];
            let mut known = names.iter().filter_map(|name| fields.get(*name)).peekable();
            match known.peek() {
                Some(_) => known.for_each(|value| gather(value, texts)),
                None => fields.iter().for_each(|(name, value)| {
                    let mut below = Vec::new();
                    gather(value, &mut below);
                    texts.extend(below.iter().map(|text| format!("{name}: {text}")));
                }),
            }
        }
        _ => {}
    }
}

/// A request to GitLab's API, as far as an error needs to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Where it went.
    pub url: &'a Url,
    /// Whether it reads a pipeline, with GITLAB_READ_TOKEN; else it creates one, with GITLAB_TRIGGER_TOKEN.
    pub reads: bool,
}

/// Classifies an error response of GitLab's by its status and message.
pub(super) fn of_response(
    asked: Asked,
    status: StatusCode,
    headers: &HeaderMap,
    message: &str,
    now: SystemTime,
) -> ApiError {
    let by_status = classify(status, headers, message, now);
    let (kind, remedy, advice) = match reading(status).filter(|_| asked.reads) {
        Some((kind, advice)) => (kind, Remedy::Person, advice),
        None => by_status,
    };
    let error = Error::new(
        kind,
        format!("{}: GitLab answered {}", asked.url, shown(status)),
    );
    let error = match message {
        "" => error,
        message => error.because(message.to_owned()),
    };
    let error = match status
        .is_redirection()
        .then(|| headers.get(LOCATION)?.to_str().ok())
        .flatten()
    {
        // The query is left out: a login page's may carry a ticket.
        Some(place) => error.advise(format!("{advice} It points to {}.", without_query(place))),
        None => error.advise(advice),
    };
    ApiError { error, remedy }
}

/// Says what the denial of a pipeline's status means: it is another token's.
fn reading(status: StatusCode) -> Option<(Kind, &'static str)> {
    match status.as_u16() {
        401 => Some((
            Kind::Auth,
            "Set GITLAB_READ_TOKEN to a project access token of `trigger.project` with the scope read_api and the role Reporter: \
             this one is wrong, expired or revoked.",
        )),
        403 => Some((
            Kind::Permission,
            "Give GITLAB_READ_TOKEN the scope read_api and the role Reporter in `trigger.project`; or add this machine to the \
             group's list of allowed addresses.",
        )),
        404 => Some((
            Kind::Auth,
            "Check that GITLAB_READ_TOKEN is a token of `trigger.project`: GitLab gives this answer for a project that it may \
             not see, and for a pipeline that was deleted.",
        )),
        400 | 422 => Some((
            Kind::Config,
            "Check `trigger.gitlab` and `trigger.project`: GitLab's API does not give this answer for a pipeline.",
        )),
        _ => None,
    }
}

/// Says whether an answer is not GitLab's, whose API answers in JSON.
pub(super) fn is_foreign(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> bool {
    let is_page = content_type(headers).is_some_and(|kind| kind.starts_with("text/html"));
    // GitLab's limit of requests answers in plain text.
    let is_exempt =
        status.is_redirection() || (status == StatusCode::TOO_MANY_REQUESTS && !is_page);
    // A long answer is cut, and does not parse.
    let is_json = content_type(headers).is_some_and(|kind| kind.contains("json"))
        || serde_json::from_slice::<Value>(body).is_ok_and(|value| value.is_object());
    status == StatusCode::PROXY_AUTHENTICATION_REQUIRED || (!is_exempt && !is_json)
}

/// Makes the error of an answer that something before GitLab gave: a proxy, a login page, a challenge for browsers. Its text is
/// not repeated.
pub(super) fn foreign(
    asked: Asked,
    status: StatusCode,
    headers: &HeaderMap,
    now: SystemTime,
) -> ApiError {
    let (by_status, remedy, _) = classify(status, headers, "", now);
    let (kind, remedy) = match (status.is_success(), remedy) {
        // A captive portal: the request has reached nobody.
        (true, _) => (
            Kind::Server,
            Remedy::Retry {
                may_be_created: false,
            },
        ),
        (false, Remedy::Person) => (Kind::Permission, Remedy::Person),
        (false, remedy) => (by_status, remedy),
    };
    let message = format!(
        "{}: the answer did not come from GitLab: {}, {}",
        asked.url,
        shown(status),
        content_type(headers).unwrap_or("no content type")
    );
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        let error = Error::new(Kind::Config, message).advise(PROXY_ADVICE);
        return ApiError {
            error,
            remedy: Remedy::Person,
        };
    }
    let mut advice = String::from(match kind {
        Kind::Server if !status.is_success() => {
            "Try again later: GitLab, or what stands before it (a proxy, a firewall, a challenge page), is out of order."
        }
        _ => {
            "Check `trigger.gitlab`, and let what stands before GitLab (a proxy, a firewall, a login or challenge page) pass this \
         machine's requests to /api/v4."
        }
    });
    if remedy == Remedy::Person && asked.url.path().contains("%2F") {
        advice.push_str(
            " Set `trigger.project` to the project's number (its page, Settings, General): some proxies refuse the %2F of a path.",
        );
    }
    let error = Error::new(kind, message).advise(advice);
    ApiError { error, remedy }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}

fn shown(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

fn without_query(place: &str) -> &str {
    place.split(['?', '#']).next().unwrap_or_default()
}

type Classified = (Kind, Remedy, &'static str);

fn classify(status: StatusCode, headers: &HeaderMap, message: &str, now: SystemTime) -> Classified {
    let person = |kind, advice| (kind, Remedy::Person, advice);
    match status.as_u16() {
        400 => bad_request(message),
        401 => person(
            Kind::Auth,
            "Set GITLAB_TRIGGER_TOKEN to a pipeline trigger token from Settings, CI/CD; it begins with glptt-. A CI_JOB_TOKEN \
             works only for projects that allow it in Settings, CI/CD, Job token permissions.",
        ),
        403 => person(
            Kind::Permission,
            "Allow the token's owner to run pipelines for `trigger.ref`, which may be a protected branch; or add this machine \
             to the group's list of allowed addresses.",
        ),
        404 => person(
            Kind::Auth,
            "Check `trigger.project` and GITLAB_TRIGGER_TOKEN: GitLab gives this answer for a wrong token and a wrong project \
             alike. The token must be a pipeline trigger token (glptt-) of that very project, neither expired nor revoked; \
             personal and project access tokens do not work here.",
        ),
        422 => person(
            Kind::Pipeline,
            "Check .gitlab-ci.yml of `trigger.ref` in Build, Pipeline editor, Validate: it is invalid, or its rules leave no \
             job.",
        ),
        408 | 425 => (
            Kind::Server,
            Remedy::Retry {
                may_be_created: false,
            },
            "Try again later.",
        ),
        429 => (
            Kind::Server,
            refused_for(requested_wait(headers, now).unwrap_or(MINUTE)),
            "Try again later: GitLab limits how often it may be asked.",
        ),
        300..=399 => person(
            Kind::Config,
            "Set `trigger.gitlab` to the address at which GitLab's API answers: the token does not follow a redirect.",
        ),
        code @ 500..=599 => {
            // A proxy's 502 or 504 may follow a pipeline that was created, and so may a failure of GitLab's after
            // that; a server that is not available has read no request.
            let may_be_created = code != 503;
            let remedy = match requested_wait(headers, now) {
                Some(pause) => Remedy::Wait {
                    pause,
                    may_be_created,
                },
                None => Remedy::Retry { may_be_created },
            };
            (
                Kind::Server,
                remedy,
                "Try again later: GitLab reports a problem of its own.",
            )
        }
        _ => person(
            Kind::Permission,
            "Check `trigger.gitlab`, and the proxies on the way: GitLab's API does not give this answer.",
        ),
    }
}

/// A wait after which GitLab creates the pipeline that it did not create now.
fn refused_for(pause: Duration) -> Remedy {
    Remedy::Wait {
        pause,
        may_be_created: false,
    }
}

/// Classifies by GitLab's words: every reason not to create a pipeline has the status 400.
fn bad_request(message: &str) -> Classified {
    let message = message.to_ascii_lowercase();
    let person = |kind, advice| (kind, Remedy::Person, advice);
    // gitlab.com creates at most 25 a minute.
    if message.contains("too many pipelines") {
        return (
            Kind::Server,
            refused_for(MINUTE),
            "Try again after one minute: GitLab limits how many pipelines are created in a minute.",
        );
    }
    if message.contains("pipeline variables") {
        return person(
            Kind::Permission,
            "Allow pipeline variables for the role of the token's owner, in Settings, CI/CD, Variables, `Minimum role to use \
             pipeline variables`; or use `trigger.inputs` instead of `trigger.variables`.",
        );
    }
    if message.contains("reference not found")
        || message.contains("ref is missing")
        || message.contains("ref is empty")
    {
        return person(
            Kind::Pipeline,
            "Set `trigger.ref` to the branch or tag of `trigger.project` that holds .gitlab-ci.yml.",
        );
    }
    if message.contains("workflow") {
        return person(
            Kind::Pipeline,
            "Let workflow:rules of .gitlab-ci.yml admit pipelines whose CI_PIPELINE_SOURCE is `trigger`.",
        );
    }
    if message.contains("no stages")
        || message.contains("no jobs")
        || message.contains("any jobs")
        || message.contains("will not run")
    {
        return person(
            Kind::Pipeline,
            "Check the rules in .gitlab-ci.yml: no job runs when CI_PIPELINE_SOURCE is `trigger`.",
        );
    }
    if message.contains("missing ci config")
        || message.contains(".gitlab-ci.yml")
        || message.contains("config file")
    {
        return person(
            Kind::Pipeline,
            "Add a valid .gitlab-ci.yml to `trigger.ref`, and check it in Build, Pipeline editor, Validate.",
        );
    }
    // Last: the word is common, and the more telling ones come before.
    if message.contains("input") {
        return person(
            Kind::Pipeline,
            "Check names and types in `trigger.inputs` against `spec:inputs` of .gitlab-ci.yml.",
        );
    }
    person(
        Kind::Pipeline,
        "Try it by hand for the same branch: Build, Pipelines, New pipeline.",
    )
}

/// Returns how long the server asks us to wait: `Retry-After`, in seconds or as a date (RFC 9110), else GitLab's
/// `RateLimit-Reset`, in seconds since 1970.
fn requested_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let until = |time: SystemTime| time.duration_since(now).unwrap_or_default();
    let after = text(RETRY_AFTER.as_str()).and_then(|text| retry_after(text, now));
    let reset = || {
        let seconds = text("ratelimit-reset")?.parse().ok()?;
        UNIX_EPOCH
            .checked_add(Duration::from_secs(seconds))
            .map(until)
    };
    let wait = after.or_else(reset)?;
    Some(wait.clamp(Duration::from_secs(1), MAX_WAIT))
}
