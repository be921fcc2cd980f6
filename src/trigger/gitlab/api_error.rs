//! What GitLab's refusals mean: come again later, or a person is needed, and what that person can do.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

use crate::error::{Error, Kind};

/// So much of a refusal's own words is shown.
const WORDS: usize = 300;
/// gitlab.com counts pipelines by the minute.
const MINUTE: Duration = Duration::from_secs(60);
/// No server is waited for any longer.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A request that was not granted.
#[derive(Debug)]
pub struct Refusal {
    /// What GitLab said, and what to do.
    pub error: Error,
    /// What becomes of the request.
    pub remedy: Remedy,
}

/// What becomes of a request that was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It is granted after this time.
    Wait(Duration),
    /// It may be granted later.
    Retry {
        /// Whether the pipeline may have been created all the same.
        may_be_created: bool,
    },
    /// It is granted when a person has mended something.
    Person,
}

impl Refusal {
    /// Makes the refusal of a request that got no answer, or none that can be read.
    pub(super) fn unanswered(error: Error, may_be_created: bool) -> Self {
        let remedy = match error.kind().is_transient() {
            true => Remedy::Retry { may_be_created },
            false => Remedy::Person,
        };
        Self { error, remedy }
    }
}

/// An error of our own side.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            error,
            remedy: Remedy::Person,
        }
    }
}

/// Reads the words of a refusal's body, in one line: GitLab gives them in `message` or `error`, and lists by field.
pub(super) fn words(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let mut said = Vec::new();
            gather(&value, &mut said);
            said.join("; ")
        }
        // A page for a browser tells nothing in a line of a log.
        Err(_) if body.trim_ascii_start().starts_with(b"<") => String::new(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars()
        .filter(|c| !c.is_control())
        .take(WORDS)
        .collect()
}

fn gather(value: &Value, said: &mut Vec<String>) {
    match value {
        Value::String(text) => said.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| gather(value, said)),
        Value::Object(fields) => {
            let telling = [
                "message",
                "error",
                "error_description",
                "errors",
                "failure_reason",
                "base",
            ];
            let mut known = telling
                .iter()
                .filter_map(|name| fields.get(*name))
                .peekable();
            match known.peek() {
                Some(_) => known.for_each(|value| gather(value, said)),
                None => fields.iter().for_each(|(name, value)| {
                    let mut below = Vec::new();
                    gather(value, &mut below);
                    said.extend(below.iter().map(|text| format!("{name}: {text}")));
                }),
            }
        }
        _ => {}
    }
}

/// Sorts a refusal by its status and words.
pub(super) fn refusal(
    place: &str,
    status: StatusCode,
    headers: &HeaderMap,
    words: &str,
    now: SystemTime,
) -> Refusal {
    let (kind, remedy, advice) = sort(status, headers, words, now);
    let error = Error::new(kind, format!("{place}: it answers {}", shown(status)));
    let error = match words {
        "" => error,
        words => error.because(words.to_owned()),
    };
    let error = match status
        .is_redirection()
        .then(|| headers.get(LOCATION)?.to_str().ok())
        .flatten()
    {
        Some(place) => error.advise(format!("{advice} It points to {}.", without_query(place))),
        None => error.advise(advice),
    };
    Refusal { error, remedy }
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

type Sorted = (Kind, Remedy, &'static str);

fn sort(status: StatusCode, headers: &HeaderMap, words: &str, now: SystemTime) -> Sorted {
    let person = |kind, advice| (kind, Remedy::Person, advice);
    match status.as_u16() {
        400 => bad_request(words),
        401 => person(
            Kind::Auth,
            "GITLAB_TRIGGER_TOKEN is not accepted: make a pipeline trigger token in Settings, CI/CD (it begins with glptt-); \
             a CI_JOB_TOKEN works only for projects that allow it in Settings, CI/CD, Job token permissions.",
        ),
        403 => person(
            Kind::Permission,
            "GitLab knows us and refuses: the token's owner may not run pipelines for trigger.ref (a protected branch?), or \
             this machine's address is not on the group's list of allowed addresses.",
        ),
        404 => person(
            Kind::Auth,
            "GitLab says this for a wrong token and for a wrong project alike: check trigger.project, and that \
             GITLAB_TRIGGER_TOKEN is a pipeline trigger token (glptt-) of that very project which has not expired or been \
             revoked; a personal or project access token does not fire pipelines here.",
        ),
        422 => person(
            Kind::Pipeline,
            "The pipeline could not be created: .gitlab-ci.yml of trigger.ref is broken, or no job is left by its rules. Look \
             at it in Build, Pipeline editor, Validate.",
        ),
        408 | 425 => (
            Kind::Server,
            Remedy::Retry {
                may_be_created: false,
            },
            "It is tried again.",
        ),
        429 => (
            Kind::Server,
            Remedy::Wait(told_wait(headers, now).unwrap_or(MINUTE)),
            "GitLab limits how often it may be asked; it is asked again when it says so.",
        ),
        300..=399 => person(
            Kind::Config,
            "trigger.gitlab must be the address where GitLab's API answers: the token does not follow a redirect.",
        ),
        500..=599 => match told_wait(headers, now) {
            Some(wait) => (
                Kind::Server,
                Remedy::Wait(wait),
                "GitLab has trouble of its own; it is asked again.",
            ),
            None => (
                Kind::Server,
                Remedy::Retry {
                    may_be_created: false,
                },
                "GitLab has trouble of its own; it is asked again.",
            ),
        },
        _ => person(
            Kind::Permission,
            "This is no answer of GitLab's pipeline triggers: check trigger.gitlab, and what stands between here and there.",
        ),
    }
}

fn bad_request(words: &str) -> Sorted {
    let words = words.to_ascii_lowercase();
    let person = |kind, advice| (kind, Remedy::Person, advice);
    if words.contains("too many pipelines") {
        return (
            Kind::Server,
            Remedy::Wait(MINUTE),
            "GitLab limits how many pipelines are created in a minute; it is asked again after one.",
        );
    }
    if words.contains("pipeline variables") {
        return person(
            Kind::Permission,
            "Allow them in Settings, CI/CD, Variables, `Minimum role to use pipeline variables`, for the role of the token's \
             owner; or empty trigger.variables and use trigger.inputs.",
        );
    }
    if words.contains("reference not found")
        || words.contains("ref is missing")
        || words.contains("ref is empty")
    {
        return person(
            Kind::Pipeline,
            "trigger.ref names no branch or tag of trigger.project: set it to the branch that holds .gitlab-ci.yml.",
        );
    }
    if words.contains("workflow") {
        return person(
            Kind::Pipeline,
            "workflow:rules of .gitlab-ci.yml must admit pipelines whose CI_PIPELINE_SOURCE is `trigger`.",
        );
    }
    if words.contains("no stages")
        || words.contains("no jobs")
        || words.contains("any jobs")
        || words.contains("will not run")
    {
        return person(
            Kind::Pipeline,
            "No job of .gitlab-ci.yml runs for CI_PIPELINE_SOURCE `trigger`: look at its rules.",
        );
    }
    if words.contains("missing ci config")
        || words.contains(".gitlab-ci.yml")
        || words.contains("config file")
    {
        return person(
            Kind::Pipeline,
            "trigger.ref holds no .gitlab-ci.yml that can be used: look at it in Build, Pipeline editor, Validate.",
        );
    }
    if words.contains("input") {
        return person(
            Kind::Pipeline,
            "trigger.inputs does not fit `spec:inputs` of .gitlab-ci.yml: look at names and types.",
        );
    }
    person(
        Kind::Pipeline,
        "GitLab would not create the pipeline: try it in Build, Pipelines, New pipeline, for the same branch.",
    )
}

/// Returns how long the server wants us to wait: `Retry-After` in seconds or as a date, else `RateLimit-Reset`, in seconds
/// since 1970.
fn told_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
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
    Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
}
