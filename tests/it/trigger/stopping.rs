//! A signal ends the helper soon and in order.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::gitlab::{Gitlab, Reply};
use crate::support::trigger::{Answer, Helper, TOKEN, http};

/// What the helper may take, and a slow machine.
const SOON: Duration = Duration::from_secs(14);

/// Starts a helper and a request, and stops the helper before GitLab has answered.
fn stopped_in_flight(gitlab: &Gitlab) -> (Helper, JoinHandle<Answer>) {
    let helper = Helper::start(&gitlab.variables());
    let url = helper.url("/trigger");
    let asking = std::thread::spawn(move || {
        let bearer = format!("Bearer {TOKEN}");
        http("POST", &url, &[("Authorization", &bearer)], b"")
    });
    gitlab.wait_for_requests(1);
    helper.terminate();
    helper.wait_for_log("stopping");
    gitlab.release();
    (helper, asking)
}

#[test]
fn a_request_in_flight_is_drained() {
    let gitlab = Gitlab::start();
    gitlab.hold();
    let (helper, asking) = stopped_in_flight(&gitlab);
    let answer = asking.join().unwrap();
    assert_eq!(
        (answer.status, &answer.json()["result"]),
        (202, &json!("fired"))
    );
    let (end, log) = helper.end();
    assert_eq!(end.code(), Some(0), "{log}");
}

#[test]
fn a_helper_that_ends_promises_no_other_try() {
    let gitlab = Gitlab::start();
    gitlab.hold();
    gitlab.reply(Reply::named(503, "Service Unavailable"));
    let (helper, asking) = stopped_in_flight(&gitlab);
    asking.join().unwrap();
    let (end, log) = helper.end();
    assert_eq!(end.code(), Some(0), "{log}");
    assert!(
        log.contains("503") && !log.contains("retrying") && !log.contains("Try again"),
        "{log}"
    );
}

#[test]
fn a_gitlab_that_does_not_answer_is_given_up_in_ten_seconds() {
    let gitlab = Gitlab::start();
    gitlab.reply(Reply::Silent);
    let helper = Helper::start(&gitlab.variables());
    let url = helper.url("/trigger");
    let asking = std::thread::spawn(move || {
        let bearer = format!("Bearer {TOKEN}");
        crate::support::trigger::try_http("POST", &url, &[("Authorization", &bearer)], b"").is_ok()
    });
    gitlab.wait_for_requests(1);
    let begin = Instant::now();
    let (end, log) = helper.stop();
    assert_eq!(end.code(), Some(0), "{log}");
    assert!(
        begin.elapsed() < SOON && log.contains("dropped after 9 s"),
        "{log}"
    );
    asking.join().unwrap();
}

#[test]
fn an_idle_helper_ends_at_once() {
    let gitlab = Gitlab::start();
    let begin = Instant::now();
    let (end, log) = Helper::start(&gitlab.variables()).stop();
    assert_eq!(end.code(), Some(0), "{log}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}
