//! What a person is told of an alert, in words.

use jiff::Timestamp;
use tracing::{error, info};

use super::watchdog::Alert;
use crate::config::TriggerConfig;
use crate::error::Kind;
use crate::notify::notice::{Event, Failure};

/// Makes the event of a mail.
pub(super) fn event(alert: &Alert) -> Event {
    let alarm = |kind, message: String, cause: Option<&String>, advice: &str| {
        Event::Alarm(Failure {
            kind,
            message,
            causes: cause.into_iter().cloned().collect(),
            advice: Some(advice.to_owned()),
        })
    };
    match alert {
        Alert::Refused { why } => alarm(
            Kind::Pipeline,
            "GitLab refuses to start the pipeline, and nothing is fired until a person has mended it".to_owned(),
            Some(why),
            "mend what GitLab says; the helper tries again by itself once an hour",
        ),
        Alert::PipelineFailed { pipeline } => alarm(
            Kind::Pipeline,
            format!("the pipeline {pipeline} failed"),
            None,
            "open the pipeline's page: the log of its job says why",
        ),
        Alert::Behind { since } => alarm(
            Kind::Stalled,
            format!("the mirror has been behind upstream since {} and has not moved", shown(*since)),
            None,
            "look at the last pipeline and its job; without one, at the helper's status page",
        ),
        Alert::Blind { since, why } => alarm(
            Kind::Stalled,
            format!("since {} it cannot be seen whether the mirror is behind", shown(*since)),
            Some(why),
            "run `crates-ferry check` with the helper's configuration",
        ),
        Alert::Recovered { since } => Event::AllClear {
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
        Event::Alarm(failure) => {
            let causes: String = failure
                .causes
                .iter()
                .map(|cause| format!(": {cause}"))
                .collect();
            error!("{}", config.scrub(&format!("{}{causes}", failure.message)));
        }
        _ => info!("the mirror is in order again"),
    }
}

fn shown(time: Timestamp) -> String {
    format!("{time:.0}").replace('T', " ").replace('Z', " UTC")
}
