//! Webhooks: pipelines of the mirror's project, pushes to an upstream that is yours.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Endpoint, read};
use crate::http::access;
use crate::http::error_response::ErrorResponse;
use crate::trigger::types::{Message, Origin, PipelineNews};

/// GitLab's pipeline event, as far as it is read.
#[derive(Debug, Deserialize)]
struct PipelineEvent {
    object_kind: String,
    object_attributes: Option<PipelineAttributes>,
    project: Option<EventProject>,
}

#[derive(Debug, Deserialize)]
struct PipelineAttributes {
    id: u64,
    status: String,
    #[serde(rename = "ref")]
    reference: String,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct EventProject {
    id: u64,
    path_with_namespace: Option<String>,
    web_url: Option<String>,
}

/// GitLab's or GitHub's push event, as far as it is read.
#[derive(Debug, Deserialize)]
struct PushEvent {
    /// GitLab's word for the event.
    object_kind: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

/// `POST /hooks/gitlab`: how pipelines go.
pub(super) async fn pipeline(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
) -> Result<Response, ErrorResponse> {
    let settings = &endpoint.settings;
    access::gitlab(settings.hook_token.as_ref(), request.headers())?;
    let event: PipelineEvent = parse(&read(request.into_body()).await?)?;
    let (Some(attributes), "pipeline") = (event.object_attributes, event.object_kind.as_str())
    else {
        return Ok(ignored("it is no pipeline event"));
    };
    let project = event.project.as_ref();
    if attributes.reference != settings.reference {
        return Ok(ignored(
            "the pipeline runs for another ref than trigger.ref",
        ));
    }
    if project.is_some_and(|project| !project.is(&settings.project)) {
        return Ok(ignored("it is another project than trigger.project"));
    }
    let page = || {
        Some(format!(
            "{}/-/pipelines/{}",
            project?.web_url.as_ref()?,
            attributes.id
        ))
    };
    let news = PipelineNews {
        id: attributes.id,
        url: attributes.url.clone().or_else(page),
        status: attributes.status,
    };
    endpoint.tell(Message::Pipeline(news)).await?;
    Ok(Json(json!({ "result": "taken" })).into_response())
}

/// `POST /hooks/push`: upstream moved.
pub(super) async fn push(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
) -> Result<Response, ErrorResponse> {
    let settings = &endpoint.settings;
    let (head, body) = request.into_parts();
    let token = settings.hook_token.as_ref();
    let is_github = head.headers.contains_key("x-hub-signature-256")
        || head.headers.contains_key("x-github-event");
    if !is_github {
        access::gitlab(token, &head.headers)?;
    }
    let body = read(body).await?;
    if is_github {
        access::github(token, &head.headers, &body)?;
    }
    let event: PushEvent = parse(&body)?;
    // Other events name a ref, too.
    let kind = match head.headers.get("x-github-event") {
        Some(kind) => kind.to_str().ok(),
        None => event.object_kind.as_deref(),
    };
    if kind.is_some_and(|kind| kind != "push") {
        return Ok(ignored("it is no push event"));
    }
    let branch = event.reference.as_deref();
    match branch.and_then(|name| name.strip_prefix("refs/heads/")) {
        Some(branch) if branch == settings.upstream_branch => endpoint.ask(Origin::PushHook).await,
        Some(_) => Ok(ignored("it is another branch than upstream.branch")),
        None => Ok(ignored("it is no push to a branch")),
    }
}

impl EventProject {
    /// Says whether it is the project of that path or number.
    fn is(&self, project: &str) -> bool {
        let path = self.path_with_namespace.as_deref();
        self.id.to_string() == project || path.is_none_or(|path| path.eq_ignore_ascii_case(project))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ErrorResponse> {
    serde_json::from_slice(body).map_err(|_| {
        ErrorResponse::new(
            StatusCode::BAD_REQUEST,
            "the body is no event of a webhook (JSON, content type application/json)",
        )
    })
}

/// Events that we have no use for are no fault: a host stops sending hooks that fail.
fn ignored(why: &str) -> Response {
    Json(json!({ "result": "ignored", "why": why })).into_response()
}
