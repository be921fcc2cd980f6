//! What a person is told of an alert, in words.

use jiff::Timestamp;
use tracing::{error, info};

use super::watchdog::Alert;
use crate::config::TriggerConfig;
use crate::error::Kind;
use crate::notify::notice::{Event, Failure};

/// Makes the event of a mail.
pub(super) fn event(alert: &Alert) -> Event {
    let alarm = |summary, kind, message: String, cause: Option<&String>, advice: &str| {
        let failure = Failure {
            kind,
            message,
            causes: cause.into_iter().cloned().collect(),
            advice: Some(advice.to_owned()),
        };
        Event::Alarm { summary, failure }
    };
    match alert {
        Alert::Refused { why } => alarm(
            "pipeline refused",
            Kind::Pipeline,
            "GitLab refuses to create pipelines, so nothing is carried to the mirror".to_owned(),
            Some(why),
            "Fix what GitLab reports. Then request a pipeline with POST /trigger, or wait: the helper tries again once an hour.",
        ),
        Alert::PipelineFailed { pipeline } => alarm(
            "pipeline failed",
            Kind::Pipeline,
            format!("the pipeline {pipeline} failed"),
            None,
            "Open the pipeline: the log of its job says why it failed.",
        ),
        Alert::Behind { since } => alarm(
            "behind upstream",
            Kind::Stalled,
            format!(
                "the mirror has been behind upstream since {} and has not moved",
                shown(*since)
            ),
            None,
            "Look at the last pipeline and the log of its job. If there is no pipeline, open the helper's status page (GET /).",
        ),
        Alert::Blind { since, why } => alarm(
            "cannot be polled",
            Kind::Stalled,
            format!(
                "upstream and mirror could not be polled since {}",
                shown(*since)
            ),
            Some(why),
            "Run `crates-ferry check` with the helper's configuration. Until a poll succeeds, only trigger.every and \
             POST /trigger start pipelines.",
        ),
        Alert::Recovered { since } => Event::Resolved {
            since: since.as_second(),
        },
    }
}

/// Returns the page of the pipeline that the alert is about.
pub(super) fn page(alert: &Alert) -> Option<&str> {
    match alert {
        Alert::PipelineFailed { pipeline } => Some(pipeline),
        _ => None,
    }
}

/// Logs the event too: mails may be off.
pub(super) fn log(config: &TriggerConfig, event: &Event) {
    match event {
        Event::Alarm { failure, .. } => {
            let causes: String = failure
                .causes
                .iter()
                .map(|cause| format!(": {cause}"))
                .collect();
            error!("{}", config.scrub(&format!("{}{causes}", failure.message)));
        }
        _ => info!("all alarms are resolved"),
    }
}

fn shown(time: Timestamp) -> String {
    format!("{time:.0}").replace('T', " ").replace('Z', " UTC")
}
