//! The stand-in GitLab refuses what GitLab refuses, in its words: asked over plain HTTP, without the program.

mod answers;
mod refusals;

use crate::support::gitlab::{Gitlab, TRIGGER_TOKEN};
use crate::support::trigger::{Answer, http};
use serde_json::Value;

pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
pub(crate) const BY_PATH: &str = "/api/v4/projects/rust%2Fmirror/trigger/pipeline";
pub(crate) const BY_NUMBER: &str = "/api/v4/projects/42/trigger/pipeline";

pub(crate) fn post(gitlab: &Gitlab, path: &str, fields: &[(&str, &str)]) -> Answer {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let url = format!("{}{path}", gitlab.url());
    http("POST", &url, &[FORM], form.as_bytes())
}

pub(crate) fn post_json(gitlab: &Gitlab, body: &Value) -> Answer {
    let url = format!("{}{BY_NUMBER}", gitlab.url());
    let kind = ("Content-Type", "application/json");
    http("POST", &url, &[kind], body.to_string().as_bytes())
}

/// Fires one as it should be fired.
pub(crate) fn fire(gitlab: &Gitlab) -> Answer {
    post(
        gitlab,
        BY_PATH,
        &[("token", TRIGGER_TOKEN), ("ref", "main")],
    )
}
