//! What GitLab answers, in the order in which it looks at a request: its parameters, then who asks, then whether the
//! project's settings let a pipeline be.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{PER_MINUTE, PROJECT, READ_TOKEN, Reply, Request, Shared, State, TRIGGER_TOKEN};

const MINUTE: Duration = Duration::from_secs(60);

impl Shared {
    /// What GitLab answers.
    pub(super) fn usual(self: &Arc<Self>, request: &Request) -> Reply {
        // No route leads there.
        let nowhere = Reply::json(404, &json!({ "error": "404 Not Found" }));
        let Some((method, path)) = request.line.split_once(' ') else {
            return nowhere;
        };
        let within = path.strip_prefix("/api/v4/projects/");
        let Some((project, path)) = within.and_then(|path| path.split_once('/')) else {
            return nowhere;
        };
        let is_known = project == "42" || project == PROJECT.replace('/', "%2F");
        match (method, path.strip_prefix("pipelines/")) {
            ("POST", None) if path == "trigger/pipeline" => self.fire(request, is_known),
            ("GET", Some(id)) => self.shown(request, id.parse().ok().filter(|_| is_known)),
            _ => nowhere,
        }
    }

    fn fire(self: &Arc<Self>, request: &Request, is_known: bool) -> Reply {
        let Some(parameters) = request.parameters() else {
            return Reply::unfit("The provided content-type or body is invalid");
        };
        if let Some(unfit) = unfit(&parameters) {
            return unfit;
        }
        if request.header("x-gitlab-event") == Some("Pipeline Hook") {
            return Reply::named(403, "Forbidden");
        }
        let has = |name: &str, text: &str| {
            let mut all = parameters.iter();
            all.any(|(key, value)| key == name && value == text)
        };
        if !is_known || !has("token", TRIGGER_TOKEN) {
            return Reply::named(404, "Not Found");
        }
        let sets_variables = parameters
            .iter()
            .any(|(key, _)| key.starts_with("variables["));
        let (id, job) = {
            let mut state = self.lock();
            if let Some(words) = state.forbidding(sets_variables, has("ref", "main")) {
                return Reply::refused(words);
            }
            state.pipelines.push("created".to_owned());
            state.most_unfinished = state.most_unfinished.max(state.unfinished());
            (state.pipelines.len(), state.job.clone())
        };
        self.changed.notify_all();
        if let Some(job) = job {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.work(id, &job));
        }
        Reply::json(201, &self.pipeline(id, "created"))
    }

    fn shown(&self, request: &Request, id: Option<usize>) -> Reply {
        match request.header("private-token") {
            // Who is not known does not learn that a private project is there.
            None => return Reply::named(404, "Project Not Found"),
            Some(READ_TOKEN) => {}
            Some(_) => return Reply::named(401, "Unauthorized"),
        }
        let status = id.and_then(|id| {
            let status = self.lock().pipelines.get(id.wrapping_sub(1)).cloned();
            Some((id, status?))
        });
        match status {
            Some((id, status)) => Reply::json(200, &self.pipeline(id, &status)),
            None => Reply::named(404, "Not found"),
        }
    }

    fn pipeline(&self, id: usize, status: &str) -> Value {
        json!({
            "id": id, "iid": id, "project_id": 42, "sha": "0".repeat(40), "ref": "main", "status": status,
            "source": "trigger", "created_at": "2026-11-24T00:00:00.000Z",
            "web_url": format!("{}/{PROJECT}/-/pipelines/{id}", self.url()),
        })
    }
}

impl State {
    /// Returns why there is to be no pipeline; where there is, it counts.
    fn forbidding(&mut self, sets_variables: bool, ref_is_there: bool) -> Option<&'static str> {
        if sets_variables && self.refuses_variables {
            return Some("Insufficient permissions to set pipeline variables");
        }
        if !ref_is_there {
            return Some("Reference not found");
        }
        let now = self.now;
        if let Some(counted) = &mut self.counted {
            counted.retain(|created| now - *created < MINUTE);
            if counted.len() >= PER_MINUTE {
                return Some("Too many pipelines created in the last minute. Try again later.");
            }
        }
        if self.filters_triggers {
            return Some("Pipeline filtered out by workflow rules.");
        }
        if let Some(counted) = &mut self.counted {
            counted.push(now);
        }
        None
    }
}

/// Says what is wrong with parameters, whoever sends them.
fn unfit(parameters: &[(String, Value)]) -> Option<Reply> {
    let value = |name: &str| {
        let mut all = parameters.iter();
        all.find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let mut faults = Vec::new();
    match value("ref") {
        None => faults.push("ref is missing"),
        Some(Value::String(name)) if name.trim().is_empty() => faults.push("ref is empty"),
        Some(_) => {}
    }
    if value("token").is_none() {
        faults.push("token is missing");
    }
    if value("variables").is_some() {
        faults.push("variables is invalid");
    }
    if !faults.is_empty() {
        return Some(Reply::unfit(&faults.join(", ")));
    }
    let is_no_text =
        |(key, value): &(String, Value)| key.starts_with("variables[") && !value.is_string();
    parameters.iter().any(is_no_text).then(|| {
        let words = "variables needs to be a map of key-valued strings";
        Reply::json(400, &json!({ "message": words }))
    })
}
