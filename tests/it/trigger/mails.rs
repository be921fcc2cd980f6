//! A person is told when the mirror stops moving, and once when it moves again.

use crates_ferry::config::History;
use mail_parser::MessageParser;
use serde_json::json;

use super::mirrors::Site;
use super::variables;
use crate::support::exim::{Exim, Options};
use crate::support::gitlab::{Reply, TRIGGER_TOKEN};
use crate::support::trigger::{HOOK_TOKEN, Helper, TOKEN};

/// Returns subject and text of each mail.
fn mails(exim: &Exim, count: usize) -> Vec<(String, String)> {
    let raw = exim.messages(count);
    let read = |raw: &String| {
        let mail = MessageParser::default().parse(raw.as_bytes()).unwrap();
        (
            mail.subject().unwrap().to_owned(),
            mail.body_text(0).unwrap().into_owned(),
        )
    };
    for secret in [TRIGGER_TOKEN, TOKEN, HOOK_TOKEN, exim.password()] {
        assert!(!raw.iter().any(|raw| raw.contains(secret)));
    }
    raw.iter().map(read).collect()
}

fn start(site: &Site, exim: &Exim, more: &[(&str, &str)]) -> Helper {
    let helper = Helper::start(&[site.variables(), exim.variables(), variables(more)].concat());
    site.wait_until_abreast(&helper);
    helper
}

#[test]
fn a_refusal_is_mailed_once_and_its_end_once() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mut site = Site::new(History::Merge);
    let helper = start(&site, &exim, &[]);
    site.gitlab
        .reply(Reply::json(404, &json!({ "message": "404 Not Found" })));
    site.publish("one");
    helper.wait_for("mailed", |status| status["mails"] == json!(1));
    let polled = helper.status()["last_poll"].clone();
    helper.wait_for("polling on", |status| status["last_poll"] != polled);
    assert_eq!(
        site.gitlab.requests().len(),
        1,
        "nothing is fired until a person has fixed it"
    );
    helper.trigger();
    site.wait_until_abreast(&helper);
    let mails = mails(&exim, 2);
    assert_eq!(mails.len(), 2, "{mails:#?}");
    assert!(
        mails[0].0.starts_with("mirror alarm: ") && mails[0].1.contains("trigger.project"),
        "{mails:#?}"
    );
    assert!(mails[1].0.starts_with("mirror recovered: "), "{mails:#?}");
}

#[test]
fn a_failed_pipeline_is_mailed_with_its_page() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mut site = Site::new(History::Merge);
    site.gitlab.run(|| false);
    let helper = start(&site, &exim, &[]);
    site.gitlab.hook(&helper.url("/hooks/gitlab"), HOOK_TOKEN);
    site.publish("one");
    let (subject, text) = mails(&exim, 1).remove(0);
    assert!(
        subject.starts_with("mirror alarm: ") && text.contains("/-/pipelines/1"),
        "{subject}\n{text}"
    );
}

#[test]
fn a_mirror_that_stays_behind_is_mailed_whatever_the_cause() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mut site = Site::new(History::Merge);
    // Nothing reports that these pipelines do nothing.
    site.gitlab.run(|| true);
    let helper = start(&site, &exim, &[("FERRY_TRIGGER_ALARM_AFTER", "300ms")]);
    site.publish("one");
    let (subject, text) = mails(&exim, 1).remove(0);
    assert!(
        subject.ends_with("behind upstream") && text.contains("has not moved"),
        "{subject}\n{text}"
    );
    // The helper has not seen it move.
    assert!(!text.contains("last moved"), "{text}");
    assert_eq!(helper.status()["behind"], json!(true));
}

#[test]
fn a_mirror_that_stops_moving_is_mailed_with_when_it_last_did() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mut site = Site::new(History::Merge);
    // Longer than a sync takes, which is behind for as long.
    let helper = start(&site, &exim, &[("FERRY_TRIGGER_ALARM_AFTER", "4s")]);
    site.publish("one");
    site.wait_until_abreast(&helper);
    helper.wait_for("moved", |status| !status["last_change"].is_null());
    let tip = helper.status()["mirror"].as_str().unwrap().to_owned();
    site.gitlab.run(|| true);
    site.publish("two");
    let (subject, text) = mails(&exim, 1).remove(0);
    assert!(
        subject.ends_with("behind upstream")
            && text.contains("last moved")
            && text.contains(&format!("to {}", &tip[..7])),
        "{subject}\n{text}"
    );
}
