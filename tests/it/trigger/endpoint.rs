//! The endpoint: who may ask, what is answered, and that clients cannot harm it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::variables;
use crate::support::gitlab::{Gitlab, Reply, TRIGGER_TOKEN};
use crate::support::trigger::{HOOK_TOKEN, Helper, TOKEN, command, http};

/// A helper that fires only when asked.
fn helper(gitlab: &Gitlab, more: &[(&str, &str)]) -> Helper {
    let mut all = gitlab.variables();
    all.extend(variables(more));
    Helper::start(&all)
}

fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

#[test]
fn a_pipeline_is_fired_for_who_has_the_token() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[]);
    let url = helper.url("/trigger");
    let wrong = format!("Bearer {TOKEN}x");
    for headers in [
        &[][..],
        &[("Authorization", wrong.as_str())],
        &[("Authorization", TOKEN)],
    ] {
        let answer = http("POST", &url, headers, b"");
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, Some("Bearer"))
        );
    }
    assert_eq!(
        http("POST", &format!("{url}?token={TOKEN}"), &[], b"").status,
        401
    );
    assert_eq!(gitlab.requests().len(), 0);
    let answer = helper.trigger();
    let page = format!("{}/rust/mirror/-/pipelines/1", gitlab.url());
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.json(),
        json!({ "result": "fired", "pipeline_url": page })
    );
    let again = helper.trigger();
    assert_eq!(
        again.json(),
        json!({ "result": "already_running", "pipeline_url": page })
    );
    gitlab.set_status(1, "success");
    assert_eq!(helper.status()["pending"], json!(true));
}

#[test]
fn a_token_in_the_address_is_taken_only_where_that_is_wanted() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[("FERRY_TRIGGER_QUERY_TOKEN", "true")]);
    let url = helper.url("/trigger");
    assert_eq!(
        http("POST", &format!("{url}?token={TOKEN}x"), &[], b"").status,
        401
    );
    assert_eq!(
        http("POST", &format!("{url}?token={TOKEN}"), &[], b"").status,
        202
    );
    let (_, log) = helper.stop();
    assert!(
        log.contains("POST /trigger: 202") && !log.contains(TOKEN),
        "{log}"
    );
}

#[test]
fn what_cannot_be_answered_has_its_status() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[("FERRY_TRIGGER_RATE_LIMIT", "3")]);
    let bearer = bearer();
    let token = [("Authorization", bearer.as_str())];
    let get = http("GET", &helper.url("/trigger"), &token, b"");
    assert_eq!(
        (get.status, get.header("allow")),
        (405, Some("POST, OPTIONS"))
    );
    assert_eq!(http("GET", &helper.url("/nothing"), &[], b"").status, 404);
    let large = vec![b' '; (64 << 10) + 1];
    assert_eq!(
        http("POST", &helper.url("/trigger"), &token, &large).status,
        413
    );
    assert_eq!(
        http("POST", &helper.url("/trigger"), &token, &large[1..]).status,
        202
    );
    assert_eq!(helper.trigger().status, 202);
    let limited = helper.trigger();
    assert_eq!(
        (limited.status, limited.header("retry-after")),
        (429, Some("20"))
    );
}

#[test]
fn requests_without_a_valid_token_do_not_use_up_the_rate_limit_of_the_others() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[("FERRY_TRIGGER_RATE_LIMIT", "3")]);
    let wrong = [("Authorization", "Bearer wrong")];
    let strangers: Vec<u16> = [&wrong[..], &[], &wrong[..], &[], &wrong[..]]
        .map(|headers| http("POST", &helper.url("/trigger"), headers, b"").status)
        .into();
    assert_eq!(strangers, [401, 401, 401, 429, 429]);
    let hook = http("POST", &helper.url("/hooks/gitlab"), &wrong, b"{}");
    assert_eq!((hook.status, hook.header("retry-after")), (429, Some("20")));
    for _ in 0..3 {
        assert_eq!(helper.trigger().status, 202);
    }
    assert_eq!(helper.trigger().status, 429);
}

#[test]
fn gitlabs_refusal_reaches_who_asked() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[]);
    gitlab.reply(Reply::json(404, &json!({ "message": "404 Not Found" })));
    let answer = helper.trigger().json();
    assert_eq!(answer["result"], json!("refused"));
    assert!(
        answer["why"].as_str().unwrap().contains("trigger.project"),
        "{answer}"
    );
    let status = helper.status();
    assert!(
        status["needs_person"].as_str().unwrap().contains("404"),
        "{status}"
    );
    let page = http("GET", &helper.url("/"), &[], b"");
    assert!(page.body.contains("A person is needed"), "{}", page.body);
}

#[test]
fn a_wait_that_gitlab_wants_is_told() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[]);
    gitlab.reply(Reply::Says(
        429,
        vec!["Retry-After: 600".to_owned()],
        String::new(),
    ));
    let answer = helper.trigger().json();
    assert!(
        answer["result"] == json!("held_back") && answer["until"].is_string(),
        "{answer}"
    );
    assert_eq!(helper.trigger().json()["result"], json!("held_back"));
    assert_eq!(gitlab.requests().len(), 1);
}

#[test]
fn the_status_is_shown_to_programs_to_prometheus_and_to_people() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[]);
    helper.trigger();
    let status = helper.wait_for("fired", |status| status["fired"] == json!(1));
    assert!(
        status["last_fired"].is_string() && status["behind"].is_null(),
        "{status}"
    );
    let metrics = http("GET", &helper.url("/metrics"), &[], b"");
    let kind = metrics.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain"), "{kind}");
    for line in [
        "# TYPE crates_ferry_trigger_pipelines_fired_total counter",
        "crates_ferry_trigger_pipelines_fired_total 1",
        "crates_ferry_trigger_pipeline_running 1",
        "crates_ferry_trigger_pipeline_pending 0",
        "crates_ferry_trigger_needs_person 0",
    ] {
        assert!(
            metrics.body.lines().any(|found| found == line),
            "{line}: {}",
            metrics.body
        );
    }
    let page = http("GET", &helper.url("/"), &[], b"");
    assert!(
        page.body.contains("/-/pipelines/1") && !page.body.contains("<script"),
        "{}",
        page.body
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    assert_eq!(http("HEAD", &helper.url("/"), &[], b"").status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http("GET", &helper.url(path), &[], b"").status, 200);
    }
    let everything = format!("{status}{}{}{}", metrics.body, page.body, helper.stop().1);
    for secret in [TOKEN, HOOK_TOKEN, TRIGGER_TOKEN] {
        assert!(!everything.contains(secret), "{everything}");
    }
}

#[test]
fn what_gitlab_sends_cannot_become_a_script_of_the_page() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[]);
    let hostile = json!({ "id": 1, "status": "<img src=x onerror=alert(1)>", "web_url": "javascript:alert(1)" });
    gitlab.reply(Reply::json(201, &hostile));
    helper.trigger();
    let page = http("GET", &helper.url("/"), &[], b"").body;
    assert!(
        !page.contains("<img") && !page.contains("javascript:"),
        "{page}"
    );
}

#[test]
fn a_thousand_at_once_make_one_pipeline_and_one_pending() {
    let gitlab = Gitlab::start();
    gitlab.hold();
    let helper = helper(&gitlab, &[("FERRY_TRIGGER_MIN_INTERVAL", "10ms")]);
    let request = format!(
        "POST /trigger HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let address = helper.url("").replace("http://", "");
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..1000 {
        let mut client = TcpStream::connect(&address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        clients.push(client);
    }
    gitlab.wait_for_requests(1);
    helper.wait_for("pending", |status| status["pending"] == json!(true));
    gitlab.release();
    let mut fired = 0;
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        fired += usize::from(answer.contains("\"fired\""));
    }
    assert_eq!((fired, gitlab.pipelines().len()), (1, 1));
    let news = json!({
        "object_kind": "pipeline",
        "object_attributes": { "id": 1, "ref": "main", "status": "success" },
    });
    let token = ("X-Gitlab-Token", HOOK_TOKEN);
    http(
        "POST",
        &helper.url("/hooks/gitlab"),
        &[token],
        news.to_string().as_bytes(),
    );
    gitlab.wait_for_pipelines(2);
    let status = helper.wait_for("fired", |status| status["fired"] == json!(2));
    assert_eq!(status["pending"], json!(false));
}

#[test]
fn garbage_and_endless_heads_are_refused() {
    let gitlab = Gitlab::start();
    let helper = helper(&gitlab, &[]);
    let address = helper.url("").replace("http://", "");
    let endless = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
        endless.as_bytes(),
        b"\r\n\r\n\r\n\r\n nonsense\r\n\r\n",
    ] {
        let mut client = TcpStream::connect(&address).unwrap();
        // It may hang up before it has read all.
        let _ = client.write_all(bytes);
        let _ = client.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(http("GET", &helper.url("/healthz"), &[], b"").status, 200);
}

#[test]
fn an_endpoint_that_others_can_reach_wants_a_token() {
    let gitlab = Gitlab::start();
    let output = command(&gitlab.variables())
        .env("FERRY_TRIGGER_LISTEN", "0.0.0.0:0")
        .arg("run")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && stderr.contains("FERRY_TRIGGER_TOKEN"),
        "{stderr}"
    );
}
