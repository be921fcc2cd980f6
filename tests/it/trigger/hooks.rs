//! Webhooks: who may send them, and what they do.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::support::gitlab::Gitlab;
use crate::support::trigger::{Answer, HOOK_TOKEN, Helper, http};

fn pipeline_event(id: u64, status: &str, reference: &str, project: &str) -> Value {
    json!({
        "object_kind": "pipeline",
        "object_attributes": {
            "id": id, "iid": 3, "name": null, "ref": reference, "tag": false, "sha": "0".repeat(40),
            "source": "trigger", "status": status, "detailed_status": status, "stages": ["sync"],
            "created_at": "2026-11-24 00:00:00 UTC", "finished_at": null, "duration": null, "variables": [],
            "url": format!("https://gitlab.example/{project}/-/pipelines/{id}"),
        },
        "user": { "id": 1, "name": "A", "username": "a" },
        "project": { "id": 42, "name": "mirror", "web_url": format!("https://gitlab.example/{project}"),
            "path_with_namespace": project, "default_branch": "main" },
        "commit": { "id": "0".repeat(40) },
        "builds": [],
    })
}

fn gitlab_hook(helper: &Helper, path: &str, event: &Value) -> Answer {
    let headers = [
        ("X-Gitlab-Token", HOOK_TOKEN),
        ("X-Gitlab-Event", "Pipeline Hook"),
    ];
    http(
        "POST",
        &helper.url(path),
        &headers,
        event.to_string().as_bytes(),
    )
}

#[test]
fn a_hook_tells_how_a_pipeline_goes() {
    let gitlab = Gitlab::start();
    let helper = Helper::start(&gitlab.variables());
    helper.trigger();
    for (status, running) in [("pending", true), ("running", true), ("success", false)] {
        let event = pipeline_event(1, status, "main", "rust/mirror");
        assert_eq!(
            gitlab_hook(&helper, "/hooks/gitlab", &event).json(),
            json!({ "result": "taken" })
        );
        let shown = helper.wait_for(status, |shown| shown["pipeline_status"] == json!(status));
        assert_eq!(shown["running"], json!(running));
    }
    let other = [
        pipeline_event(7, "running", "feature", "rust/mirror"),
        pipeline_event(7, "running", "main", "rust/other"),
        json!({ "object_kind": "push", "ref": "refs/heads/main" }),
    ];
    for event in other {
        let answer = gitlab_hook(&helper, "/hooks/gitlab", &event);
        assert_eq!(
            (answer.status, &answer.json()["result"]),
            (200, &json!("ignored"))
        );
    }
    assert_eq!(helper.status()["running"], json!(false));
}

#[test]
fn a_hook_without_the_secret_is_refused() {
    let gitlab = Gitlab::start();
    let helper = Helper::start(&gitlab.variables());
    let event = pipeline_event(1, "running", "main", "rust/mirror").to_string();
    for path in ["/hooks/gitlab", "/hooks/push"] {
        for headers in [
            &[][..],
            &[("X-Gitlab-Token", "wrong")],
            &[("X-GitHub-Event", "push")],
        ] {
            assert_eq!(
                http("POST", &helper.url(path), headers, event.as_bytes()).status,
                401
            );
        }
    }
    let token = [("X-Gitlab-Token", HOOK_TOKEN)];
    assert_eq!(
        http("POST", &helper.url("/hooks/gitlab"), &token, b"{").status,
        400
    );
    assert_eq!(gitlab.requests().len(), 0);
    let open = Helper::start(
        &[
            gitlab.variables(),
            super::variables(&[("FERRY_HOOK_TOKEN", ""), ("FERRY_TRIGGER_TOKEN", "")]),
        ]
        .concat(),
    );
    assert_eq!(
        http("POST", &open.url("/hooks/gitlab"), &token, event.as_bytes()).status,
        404
    );
    assert_eq!(http("POST", &open.url("/trigger"), &[], b"").status, 202);
}

#[test]
fn a_push_to_upstream_fires() {
    let push =
        |branch: &str| json!({ "object_kind": "push", "ref": format!("refs/heads/{branch}") });
    let gitlab = Gitlab::start();
    let helper = Helper::start(&gitlab.variables());
    assert_eq!(
        gitlab_hook(&helper, "/hooks/push", &push("other")).json()["result"],
        json!("ignored")
    );
    let tag = json!({ "object_kind": "tag_push", "ref": "refs/tags/v1" });
    assert_eq!(
        gitlab_hook(&helper, "/hooks/push", &tag).json()["result"],
        json!("ignored")
    );
    let answer = gitlab_hook(&helper, "/hooks/push", &push("master"));
    assert_eq!(
        (answer.status, &answer.json()["result"]),
        (202, &json!("fired"))
    );
}

#[test]
fn a_push_to_an_upstream_on_github_is_known_by_its_signature() {
    let gitlab = Gitlab::start();
    let helper = Helper::start(&gitlab.variables());
    let body = json!({ "ref": "refs/heads/master", "repository": { "full_name": "us/index" } })
        .to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, HOOK_TOKEN.as_bytes());
    let signature = format!("sha256={}", hex::encode(hmac::sign(&key, body.as_bytes())));
    let headers = [
        ("X-GitHub-Event", "push"),
        ("X-Hub-Signature-256", signature.as_str()),
    ];
    let url = helper.url("/hooks/push");
    let forged = body.replace("master", "mister");
    assert_eq!(http("POST", &url, &headers, forged.as_bytes()).status, 401);
    let answer = http("POST", &url, &headers, body.as_bytes());
    assert_eq!(
        (answer.status, &answer.json()["result"]),
        (202, &json!("fired"))
    );
    let ping = json!({ "zen": "Speak like a human." }).to_string();
    let signature = format!("sha256={}", hex::encode(hmac::sign(&key, ping.as_bytes())));
    let headers = [
        ("X-GitHub-Event", "ping"),
        ("X-Hub-Signature-256", signature.as_str()),
    ];
    assert_eq!(http("POST", &url, &headers, ping.as_bytes()).status, 200);
}
