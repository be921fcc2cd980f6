//! What the OIDC token of a job of CI says, and whether a rule of `private.trusted` lets the job publish. Pure.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::config::{ClaimPattern, TrustedRule};
use crate::index::NamePattern;
use crate::shown::one_line;

/// What clocks of servers may differ by, in seconds.
const SLACK: i64 = 30;
/// How long a token may be valid from now on, in seconds: GitLab lets a job take a month, and its token with it. That it was used is
/// remembered for so long.
const LONGEST_LIFE: i64 = 32 * 24 * 60 * 60;
/// The most characters of a text that is told.
const LONGEST: usize = 200;
/// The most characters of an id.
const LONGEST_ID: usize = 255;

/// How jobs may have begun. A merge request, or a pull request, runs what somebody proposes; so do the events that run with the
/// rights of the project because of one (`pull_request_target`, `workflow_run`, `merge_request_event`).
const EVENTS: &[&str] = &[
    // At GitHub and Forgejo (`event_name`).
    "push",
    "release",
    "create",
    "schedule",
    "workflow_dispatch",
    "repository_dispatch",
    "deployment",
    "merge_group",
    // At GitLab (`pipeline_source`).
    "web",
    "api",
    "trigger",
    "pipeline",
    "parent_pipeline",
    "chat",
    "webide",
];

/// The claims of a token. Of those that no issuer has twice none may be there twice.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Claims {
    #[serde(rename = "iss")]
    pub(super) issuer: String,
    #[serde(rename = "aud")]
    audience: Audience,
    #[serde(rename = "exp")]
    expires: f64,
    #[serde(rename = "nbf")]
    not_before: Option<f64>,
    #[serde(rename = "iat")]
    issued: Option<f64>,
    #[serde(rename = "jti")]
    id: Option<String>,
    /// At GitLab.
    project_path: Option<String>,
    /// At GitHub and Forgejo.
    repository: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    ref_protected: Option<Scalar>,
    environment: Option<String>,
    pipeline_source: Option<String>,
    event_name: Option<String>,
    project_id: Option<Scalar>,
    repository_owner_id: Option<Scalar>,
    job_workflow_ref: Option<String>,
    workflow_ref: Option<String>,
    ci_config_ref_uri: Option<String>,
    /// Of the job at GitLab, and of the run at GitHub: for the log.
    job_id: Option<Scalar>,
    run_id: Option<Scalar>,
}

/// For whom a token is.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Several(several) => several.iter().any(|one| one == wanted),
        }
    }
}

/// A text, a number or a yes or no, as a text: GitLab writes all of them as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number, true or false")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A job that may publish.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Admitted {
    /// What it may publish: the crates of every rule that lets it.
    pub(super) crates: Vec<NamePattern>,
    /// The host of its issuer, and its project.
    pub(super) project: String,
    /// The id of its token, which may be used once.
    pub(super) id: String,
    /// When its token ends to be valid.
    pub(super) expires: Timestamp,
    /// Which branch and job it is, for the log.
    pub(super) about: String,
}

impl Claims {
    /// Finds what the rules let the job publish, at this time.
    ///
    /// # Errors
    /// Why none does. What the rules are about is told only to jobs of a project that one of them names.
    pub(super) fn admit(&self, rules: &[TrustedRule], now: Timestamp) -> Result<Admitted, String> {
        let expires = self.check_times(now)?;
        let id = self.id.as_deref().unwrap_or_default();
        if id.is_empty() || id.len() > LONGEST_ID {
            return Err(
                "the token has no id (`jti`) by which it could be told from another".to_owned(),
            );
        }
        let project = self.project()?;
        let of_issuer: Vec<_> = rules
            .iter()
            .filter(|rule| rule.issuer == self.issuer && self.audience.has(&rule.audience))
            .collect();
        if of_issuer.is_empty() {
            return Err(
                "the token is for another audience (`aud`) than any rule of private.trusted"
                    .to_owned(),
            );
        }
        let mut why = None;
        let mut crates = Vec::new();
        for rule in of_issuer
            .into_iter()
            .filter(|rule| rule.project.means(project))
        {
            match self.refusal(rule) {
                None => crates.extend(rule.crates.iter().cloned()),
                Some(refusal) => why = why.or(Some(refusal)),
            }
        }
        if crates.is_empty() {
            return Err(why.unwrap_or_else(|| {
                format!("no rule of private.trusted is for the project `{project}`")
            }));
        }
        Ok(Admitted {
            crates,
            project: format!("{}/{project}", host(&self.issuer)),
            id: id.to_owned(),
            expires,
            about: self.about(),
        })
    }

    fn check_times(&self, now: Timestamp) -> Result<Timestamp, String> {
        let moment = |seconds: f64| {
            // Beyond these no clock goes; what is no number is neither above nor below.
            let is_sane = (0.0..1e11).contains(&seconds);
            is_sane
                .then(|| Timestamp::from_second(seconds as i64).ok())
                .flatten()
        };
        let strange = "the token has no time that makes sense (`exp`, `nbf`, `iat`)".to_owned();
        let expires = moment(self.expires).ok_or_else(|| strange.clone())?;
        if expires <= now {
            return Err(format!("the token has expired, on {expires}"));
        }
        if expires.as_second() > now.as_second() + LONGEST_LIFE {
            return Err(format!(
                "the token is valid until {expires}: no job lasts that long"
            ));
        }
        for begin in [self.not_before, self.issued].into_iter().flatten() {
            let begin = moment(begin).ok_or_else(|| strange.clone())?;
            if begin.as_second() > now.as_second() + SLACK {
                return Err(format!(
                    "the token is not valid before {begin}; here it is {now:.0}"
                ));
            }
        }
        Ok(expires)
    }

    /// Returns the path of the project: GitLab's claim, or GitHub's.
    fn project(&self) -> Result<&str, String> {
        let project = match (&self.project_path, &self.repository) {
            (Some(path), None) | (None, Some(path)) => path,
            (Some(_), Some(_)) => {
                return Err(
                    "the token names two projects (`project_path`, `repository`)".to_owned(),
                );
            }
            (None, None) => {
                return Err("the token names no project (`project_path`, `repository`)".to_owned());
            }
        };
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_./+~".contains(letter);
        let is_path = project.split('/').count() > 1
            && project
                .split('/')
                .all(|part| !matches!(part, "" | "." | ".."));
        match is_path && project.len() <= LONGEST_ID && project.chars().all(is_allowed) {
            true => Ok(project),
            false => Err("the token's project is no path such as rust/core".to_owned()),
        }
    }

    /// Says why a rule for the project does not let the job publish, if it does not.
    fn refusal(&self, rule: &TrustedRule) -> Option<String> {
        let mut sources = self
            .event_name
            .iter()
            .chain(&self.pipeline_source)
            .peekable();
        if sources.peek().is_none() {
            let text = "the token does not say how the job began (`pipeline_source`, `event_name`)";
            return Some(text.to_owned());
        }
        for source in sources {
            if !EVENTS.contains(&source.as_str()) {
                return Some(format!(
                    "a job that began by `{}` may not publish",
                    shown(source)
                ));
            }
        }
        if rule.protected && self.ref_protected != Some(Scalar("true".to_owned())) {
            let of = self.reference.as_deref().unwrap_or_default();
            return Some(format!(
                "the branch or tag `{}` is not protected (`ref_protected`)",
                shown(of)
            ));
        }
        let pattern = |name: &str, wanted: &Option<ClaimPattern>, given: &Option<String>| {
            let wanted = wanted.as_ref()?;
            let is_right = given.as_ref().is_some_and(|given| wanted.means(given));
            (!is_right).then(|| differs(name, given.as_deref()))
        };
        let number = |name: &str, wanted: &Option<String>, given: &Option<Scalar>| {
            let wanted = wanted.as_ref()?;
            let given = given.as_ref().map(|given| given.0.as_str());
            (given != Some(wanted)).then(|| differs(name, given))
        };
        pattern("ref", &rule.reference, &self.reference)
            .or_else(|| pattern("environment", &rule.environment, &self.environment))
            .or_else(|| number("project_id", &rule.project_id, &self.project_id))
            .or_else(|| {
                let wanted = &rule.repository_owner_id;
                number("repository_owner_id", wanted, &self.repository_owner_id)
            })
            .or_else(|| {
                let wanted = &rule.job_workflow_ref;
                pattern("job_workflow_ref", wanted, &self.job_workflow_ref)
            })
            .or_else(|| pattern("workflow_ref", &rule.workflow_ref, &self.workflow_ref))
            .or_else(|| {
                let wanted = &rule.ci_config_ref_uri;
                pattern("ci_config_ref_uri", wanted, &self.ci_config_ref_uri)
            })
    }

    fn about(&self) -> String {
        let reference = self.reference.as_deref().unwrap_or("no ref");
        let job = match (&self.job_id, &self.run_id) {
            (Some(job), _) => format!(", job {}", shown(&job.0)),
            (None, Some(run)) => format!(", run {}", shown(&run.0)),
            (None, None) => String::new(),
        };
        format!("{}{job}", shown(reference))
    }
}

fn differs(name: &str, given: Option<&str>) -> String {
    match given {
        Some(given) => format!(
            "private.trusted wants another `{name}` than `{}`",
            shown(given)
        ),
        None => format!("private.trusted wants a `{name}`, and the token has none"),
    }
}

/// Returns the host of an issuer, which is an address.
fn host(issuer: &str) -> String {
    let url = url::Url::parse(issuer).ok();
    let host = url.as_ref().and_then(url::Url::host_str);
    host.unwrap_or(issuer).to_owned()
}

/// Returns a text of a token as a message shows it.
pub(super) fn shown(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(LONGEST)];
    one_line(&cut.replace('`', "'")).into_owned()
}

#[cfg(test)]
mod tests;
