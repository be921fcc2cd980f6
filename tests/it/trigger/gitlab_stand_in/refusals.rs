//! What makes a pipeline and what does not, as the request and the project's settings are.

use std::time::Duration;

use serde_json::{Value, json};

use super::{BY_NUMBER, BY_PATH, FORM, fire, post, post_json};
use crate::support::gitlab::{Gitlab, PER_MINUTE, READ_TOKEN, TRIGGER_TOKEN};
use crate::support::trigger::{Answer, http};

fn read(gitlab: &Gitlab, id: &str, token: Option<&str>) -> Answer {
    let url = format!("{}/api/v4/projects/42/pipelines/{id}", gitlab.url());
    let headers: Vec<_> = token
        .map(|token| ("PRIVATE-TOKEN", token))
        .into_iter()
        .collect();
    http("GET", &url, &headers, b"")
}

fn base(words: &str) -> Value {
    json!({ "message": { "base": [words] } })
}

#[test]
fn a_pipeline_is_created_by_path_and_by_number_by_form_and_by_json() {
    let gitlab = Gitlab::start();
    let good = [("token", TRIGGER_TOKEN), ("ref", "main")];
    let more = [&good[..], &[("variables[A]", "1"), ("inputs[b]", "2")]].concat();
    let body = json!({ "token": TRIGGER_TOKEN, "ref": "main", "variables": { "A": "1" }, "inputs": { "b": 2 } });
    let answers = [
        post(&gitlab, BY_PATH, &good),
        post(&gitlab, BY_NUMBER, &more),
        post_json(&gitlab, &body),
    ];
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, 201, "{answer:?}");
        let pipeline = answer.json();
        let page = format!("{}/rust/mirror/-/pipelines/{}", gitlab.url(), index + 1);
        assert_eq!(pipeline["id"], json!(index + 1));
        assert_eq!(pipeline["web_url"], json!(page));
        for name in [
            "iid",
            "project_id",
            "sha",
            "ref",
            "status",
            "source",
            "created_at",
        ] {
            assert!(!pipeline[name].is_null(), "{name}: {pipeline}");
        }
    }
    assert_eq!(gitlab.pipelines(), ["created"; 3]);
    let parameters = gitlab.requests()[2].parameters().unwrap();
    assert!(parameters.contains(&("variables[A]".to_owned(), json!("1"))));
}

#[test]
fn a_wrong_token_or_project_is_not_found_and_looks_the_same() {
    let gitlab = Gitlab::start();
    let with = |token| [("token", token), ("ref", "main")];
    let other = "/api/v4/projects/rust%2Fother/trigger/pipeline";
    for (path, token) in [
        (BY_PATH, "glptt-wrong"),
        // A personal token is no trigger token.
        (BY_PATH, READ_TOKEN),
        (other, TRIGGER_TOKEN),
        ("/api/v4/projects/7/trigger/pipeline", TRIGGER_TOKEN),
    ] {
        let answer = post(&gitlab, path, &with(token));
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({ "message": "404 Not Found" })),
            "{path}"
        );
    }
    assert_eq!(gitlab.pipelines().len(), 0);
}

#[test]
fn what_has_no_route_is_not_found() {
    let gitlab = Gitlab::start();
    for (method, path) in [
        ("GET", BY_PATH),
        ("PUT", BY_PATH),
        ("POST", "/api/v3/projects/42/trigger/builds"),
        // The slash of a path must be escaped.
        ("POST", "/api/v4/projects/rust/mirror/trigger/pipeline"),
        ("GET", "/"),
    ] {
        let answer = http(method, &format!("{}{path}", gitlab.url()), &[], b"");
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({ "error": "404 Not Found" })),
            "{method} {path}"
        );
    }
}

#[test]
fn parameters_are_looked_at_before_the_token() {
    let gitlab = Gitlab::start();
    let token = ("token", "glptt-wrong");
    let rows: [(&[(&str, &str)], &str); 5] = [
        (&[token], "ref is missing"),
        (&[token, ("ref", "")], "ref is empty"),
        (&[("ref", "main")], "token is missing"),
        (&[], "ref is missing, token is missing"),
        (
            &[token, ("ref", "main"), ("variables", "A")],
            "variables is invalid",
        ),
    ];
    for (fields, words) in rows {
        let answer = post(&gitlab, BY_PATH, fields);
        let found = (answer.status, answer.json());
        assert_eq!(found, (400, json!({ "error": words })));
    }
    let numbers = json!({ "token": TRIGGER_TOKEN, "ref": "main", "variables": { "A": 1 } });
    let answer = post_json(&gitlab, &numbers);
    let words = json!({ "message": "variables needs to be a map of key-valued strings" });
    assert_eq!((answer.status, answer.json()), (400, words));
    assert_eq!(post_json(&gitlab, &json!([])).status, 400);
    assert_eq!(gitlab.pipelines().len(), 0);
}

#[test]
fn a_ref_that_is_not_there_is_refused() {
    let gitlab = Gitlab::start();
    let answer = post(
        &gitlab,
        BY_PATH,
        &[("token", TRIGGER_TOKEN), ("ref", "mian")],
    );
    let found = (answer.status, answer.json());
    assert_eq!(found, (400, base("Reference not found")));
}

#[test]
fn variables_are_refused_where_the_project_says_so_and_inputs_are_not() {
    let gitlab = Gitlab::start();
    gitlab.refuse_variables();
    let good = [("token", TRIGGER_TOKEN), ("ref", "main")];
    let answer = post(
        &gitlab,
        BY_PATH,
        &[&good[..], &[("variables[A]", "1")]].concat(),
    );
    let words = base("Insufficient permissions to set pipeline variables");
    assert_eq!((answer.status, answer.json()), (400, words));
    let answer = post(
        &gitlab,
        BY_PATH,
        &[&good[..], &[("inputs[a]", "1")]].concat(),
    );
    assert_eq!(answer.status, 201);
}

#[test]
fn rules_that_do_not_admit_triggers_refuse_them() {
    let gitlab = Gitlab::start();
    gitlab.filter_triggers();
    let answer = fire(&gitlab);
    let words = base("Pipeline filtered out by workflow rules.");
    assert_eq!((answer.status, answer.json()), (400, words));
    assert_eq!(gitlab.pipelines().len(), 0);
}

#[test]
fn too_many_in_a_minute_are_refused_until_it_is_over() {
    let gitlab = Gitlab::start();
    gitlab.count_by_the_minute();
    assert_eq!(fire(&gitlab).status, 201);
    gitlab.advance(Duration::from_secs(30));
    for _ in 1..PER_MINUTE {
        assert_eq!(fire(&gitlab).status, 201);
    }
    gitlab.advance(Duration::from_secs(29));
    let answer = fire(&gitlab);
    let words = base("Too many pipelines created in the last minute. Try again later.");
    assert_eq!((answer.status, answer.json()), (400, words));
    gitlab.advance(Duration::from_secs(1));
    // The first is a minute old, the others are not.
    assert_eq!(fire(&gitlab).status, 201);
    assert_eq!(fire(&gitlab).status, 400);
    assert_eq!(gitlab.pipelines().len(), PER_MINUTE + 1);
}

#[test]
fn a_pipeline_hook_cannot_fire_pipelines() {
    let gitlab = Gitlab::start();
    let form = format!("token={TRIGGER_TOKEN}&ref=main");
    let url = format!("{}{BY_PATH}", gitlab.url());
    let event = ("X-Gitlab-Event", "Pipeline Hook");
    let answer = http("POST", &url, &[FORM, event], form.as_bytes());
    let words = json!({ "message": "403 Forbidden" });
    assert_eq!((answer.status, answer.json()), (403, words));
}

#[test]
fn a_pipeline_is_read_with_a_token_that_may_and_with_no_other() {
    let gitlab = Gitlab::start();
    fire(&gitlab);
    gitlab.set_status(1, "failed");
    let answer = read(&gitlab, "1", Some(READ_TOKEN));
    let pipeline = answer.json();
    assert_eq!(
        (answer.status, &pipeline["status"]),
        (200, &json!("failed"))
    );
    assert!(pipeline["id"] == json!(1) && pipeline["web_url"].is_string());
    let rows = [
        ("1", Some(TRIGGER_TOKEN), 401, "401 Unauthorized"),
        ("1", Some("glpat-wrong"), 401, "401 Unauthorized"),
        ("1", None, 404, "404 Project Not Found"),
        ("2", Some(READ_TOKEN), 404, "404 Not found"),
        ("0", Some(READ_TOKEN), 404, "404 Not found"),
        ("x", Some(READ_TOKEN), 404, "404 Not found"),
    ];
    for (id, token, status, words) in rows {
        let answer = read(&gitlab, id, token);
        let found = (answer.status, answer.json());
        assert_eq!(
            found,
            (status, json!({ "message": words })),
            "{id} {token:?}"
        );
    }
}
