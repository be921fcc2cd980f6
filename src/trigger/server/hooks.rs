//! Webhooks: pipelines of the mirror's project, pushes to an upstream that is yours.

use std::sync::Arc;

use axum::Json;
use serde_json::json;

use super::endpoint::{Endpoint, Message};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::Reply;
use crate::http::webhook::{Event, ignored};
use crate::trigger::gitlab::Pipeline;
use crate::trigger::pipeline_gate::Origin;

/// `POST /hooks/gitlab`: how pipelines go.
pub(super) fn pipeline(endpoint: Arc<Endpoint>, event: Event) -> Result<Reply, ErrorResponse> {
    let settings = &endpoint.settings;
    let ignored = |why| Ok(Reply::Now(ignored(why)));
    let Event::Pipeline(pipeline) = event else {
        return ignored("not a pipeline event");
    };
    // One webhook of the project sends all of its pipelines; others do not sync the mirror.
    if pipeline.reference != settings.reference {
        return ignored("the pipeline is for another ref than trigger.ref");
    }
    if !pipeline.is_of(&settings.project) {
        return ignored("the pipeline is of another project than trigger.project");
    }
    let pipeline = Pipeline {
        id: pipeline.id,
        url: pipeline.page,
        status: pipeline.status,
    };
    Ok(Reply::later(async move {
        endpoint.tell(Message::Pipeline(pipeline)).await?;
        Reply::now(Json(json!({ "result": "taken" }))).wait().await
    }))
}

/// `POST /hooks/push`: upstream moved.
pub(super) fn push(endpoint: Arc<Endpoint>, event: Event) -> Result<Reply, ErrorResponse> {
    let ignored = |why| Ok(Reply::Now(ignored(why)));
    let Event::Push { reference } = event else {
        return ignored("not a push event");
    };
    let branch = reference.as_deref();
    match branch.and_then(|name| name.strip_prefix("refs/heads/")) {
        Some(branch) if branch == endpoint.settings.upstream_branch => Ok(Reply::later(
            async move { endpoint.ask(Origin::PushHook).await },
        )),
        Some(_) => ignored("the push is to another branch than upstream.branch"),
        None => ignored("the push is not to a branch"),
    }
}
