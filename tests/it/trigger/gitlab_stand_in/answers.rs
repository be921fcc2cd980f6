//! Answers as they are scripted, jobs of pipelines, and the hooks that tell of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BY_PATH, fire};
use crate::support::gitlab::{Gitlab, Reply, TRIGGER_TOKEN};
use crate::support::trigger::{Answer, http, try_http};

#[test]
fn scripted_answers_come_once_each_in_their_order() {
    let gitlab = Gitlab::start();
    gitlab.reply(Reply::named(401, "Unauthorized"));
    gitlab.reply(Reply::json(
        422,
        &json!({ "failure_reason": "config_error" }),
    ));
    gitlab.reply(Reply::throttled("Retry-After: 30"));
    gitlab.reply(Reply::throttled("RateLimit-Reset: 4000000000"));
    gitlab.reply(Reply::page(502, "Whoops"));
    let answers: Vec<Answer> = (0..6).map(|_| fire(&gitlab)).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [401, 422, 429, 429, 502, 201]);
    assert_eq!(answers[2].header("retry-after"), Some("30"));
    assert_eq!(answers[2].body, "Retry later\n");
    assert_eq!(answers[3].header("ratelimit-reset"), Some("4000000000"));
    let kind = answers[4].header("content-type").unwrap();
    assert!(kind.starts_with("text/html") && answers[4].body.contains("Whoops"));
    assert_eq!((gitlab.requests().len(), gitlab.pipelines().len()), (6, 1));
}

#[test]
fn a_redirect_points_elsewhere() {
    let (gitlab, other) = (Gitlab::start(), Gitlab::start());
    let place = format!("{}{BY_PATH}", other.url());
    gitlab.reply(Reply::moved(307, &place));
    // This client follows it, the body with it: so a stand-in can tell who does.
    assert_eq!(fire(&gitlab).status, 201);
    assert_eq!((gitlab.pipelines().len(), other.pipelines().len()), (0, 1));
}

#[test]
fn answers_break_off_or_never_come() {
    let gitlab = Gitlab::start();
    let url = format!("{}{BY_PATH}", gitlab.url());
    for reply in [Reply::Cut, Reply::HangUp] {
        gitlab.reply(reply.clone());
        assert!(try_http("POST", &url, &[], b"").is_err(), "{reply:?}");
    }
    assert_eq!(gitlab.pipelines().len(), 0);
    gitlab.reply(Reply::Lost);
    let form = format!("token={TRIGGER_TOKEN}&ref=main");
    assert!(try_http("POST", &url, &[], form.as_bytes()).is_err());
    assert_eq!(gitlab.pipelines(), ["created"]);
    gitlab.reply(Reply::Silent);
    let mut client = ask(&gitlab);
    gitlab.wait_for_requests(4);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "");
}

#[test]
fn an_answer_grows_past_every_bound() {
    let gitlab = Gitlab::start();
    gitlab.reply(Reply::Huge);
    let mut answer = ask(&gitlab).take(100 << 20);
    let mut sink = std::io::sink();
    assert_eq!(std::io::copy(&mut answer, &mut sink).unwrap(), 100 << 20);
}

#[test]
fn an_answer_is_held_until_it_is_released() {
    let gitlab = Gitlab::start();
    gitlab.hold();
    let (done, waiting) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| done.send(fire(&gitlab).status).unwrap());
        gitlab.wait_for_requests(1);
        // Others are answered meanwhile, again and again: time enough for an answer that is not held.
        let other = format!("{}/", gitlab.url());
        for _ in 0..50 {
            assert_eq!(http("GET", &other, &[], b"").status, 404);
        }
        assert!(waiting.try_recv().is_err());
        assert_eq!(gitlab.pipelines().len(), 0);
        gitlab.release();
    });
    assert_eq!(waiting.recv().unwrap(), 201);
}

#[test]
fn jobs_of_pipelines_run_one_at_a_time() {
    let gitlab = Gitlab::start();
    let (go, going) = mpsc::channel::<bool>();
    let going = Mutex::new(going);
    gitlab.run(move || going.lock().unwrap().recv().unwrap());
    for _ in 0..3 {
        fire(&gitlab);
    }
    assert_eq!(gitlab.most_unfinished(), 3);
    for end in [true, false, true] {
        go.send(end).unwrap();
    }
    gitlab.wait_for_ends(3);
    let mut ends = gitlab.pipelines();
    ends.sort();
    assert_eq!(ends, ["failed", "success", "success"]);
    assert_eq!((gitlab.most_running(), gitlab.most_unfinished()), (1, 3));
}

#[test]
fn hooks_tell_each_status_with_the_secret() {
    let listener = Gitlab::start();
    let gitlab = Gitlab::start();
    gitlab.hook(&format!("{}/hooks", listener.url()), "the-secret");
    let ran = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&ran);
    gitlab.run(move || {
        *counted.lock().unwrap() += 1;
        true
    });
    fire(&gitlab);
    listener.wait_for_requests(2);
    let heard = listener.requests();
    for (request, status) in heard.iter().zip(["running", "success"]) {
        assert_eq!(request.line, "POST /hooks");
        assert_eq!(request.header("x-gitlab-token"), Some("the-secret"));
        assert_eq!(request.header("x-gitlab-event"), Some("Pipeline Hook"));
        let event: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(event["object_kind"], json!("pipeline"));
        assert_eq!(event["object_attributes"]["id"], json!(1));
        assert_eq!(event["object_attributes"]["status"], json!(status));
    }
    assert_eq!((heard.len(), *ran.lock().unwrap()), (2, 1));
}

/// Asks for a pipeline, and leaves the answer to be read.
fn ask(gitlab: &Gitlab) -> TcpStream {
    let mut client = TcpStream::connect(gitlab.url().replace("http://", "")).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let head = format!("POST {BY_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    client
}
