//! What an error of GitLab's API means: retry later, or a person is needed, and what that person can do.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;
use url::Url;

use crate::error::{Error, Kind};
use crate::shown::printable;

/// How many characters of GitLab's message are shown.
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
    printable(&line).chars().take(MAX_MESSAGE).collect()
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

/// Classifies an error response by its status and message.
pub(super) fn of_response(
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
    message: &str,
    now: SystemTime,
) -> ApiError {
    let (kind, remedy, advice) = classify(status, headers, message, now);
    let error = Error::new(kind, format!("{url}: GitLab answered {}", shown(status)));
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
            "Check `trigger.gitlab`, and the proxies on the way: GitLab's pipeline triggers do not give this answer.",
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
    let after = text(RETRY_AFTER.as_str()).and_then(|text| {
        let seconds = text.parse().map(Duration::from_secs).ok();
        seconds.or_else(|| httpdate::parse_http_date(text).ok().map(until))
    });
    let reset = || {
        let seconds = text("ratelimit-reset")?.parse().ok()?;
        UNIX_EPOCH
            .checked_add(Duration::from_secs(seconds))
            .map(until)
    };
    let wait = after.or_else(reset)?;
    Some(wait.clamp(Duration::from_secs(1), MAX_WAIT))
}
