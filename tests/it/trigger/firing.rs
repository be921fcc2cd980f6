//! `fire`: exit codes and words for whatever GitLab answers.

use serde_json::{Value, json};

use super::variables;
use crate::support::gitlab::{Gitlab, PER_MINUTE, READ_TOKEN, Reply, TRIGGER_TOKEN};
use crate::support::trigger::fire;

/// Fires once, without trying again, and returns the exit code, stdout, and stderr.
fn fired(gitlab: &Gitlab, more: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let mut all = gitlab.variables();
    all.extend(variables(&[("FERRY_NETWORK_RETRIES", "0")]));
    all.extend(variables(more));
    let output = fire(&all, arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(
        !stdout.contains(TRIGGER_TOKEN) && !stderr.contains(TRIGGER_TOKEN),
        "{stdout}{stderr}"
    );
    (output.status.code().unwrap(), stdout, stderr)
}

#[test]
fn a_pipeline_is_fired_and_its_page_printed() {
    let gitlab = Gitlab::start();
    let (code, stdout, stderr) = fired(&gitlab, &[], &[]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(
        stdout,
        format!("{}/rust/mirror/-/pipelines/1\n", gitlab.url())
    );
    let request = &gitlab.requests()[0];
    assert_eq!(
        request.line,
        "POST /api/v4/projects/rust%2Fmirror/trigger/pipeline"
    );
    assert!(
        !request
            .headers
            .iter()
            .any(|header| header.contains(TRIGGER_TOKEN))
    );
}

#[test]
fn variables_and_inputs_come_from_the_file_and_arrive_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ferry.yml");
    let text = "trigger:\n  variables: { A: \"1,2\", B: true }\n  inputs: { level: 3 }\n";
    std::fs::write(&file, text).unwrap();
    let gitlab = Gitlab::start();
    let (code, _, stderr) = fired(&gitlab, &[("FERRY_CONFIG", file.to_str().unwrap())], &[]);
    assert_eq!(code, 0, "{stderr}");
    let body = gitlab.requests()[0].body.clone();
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    for (name, value) in [
        ("variables[A]", "1,2"),
        ("variables[B]", "true"),
        ("inputs[level]", "3"),
        ("ref", "main"),
    ] {
        assert!(
            fields.contains(&(name.to_owned(), value.to_owned())),
            "{fields:?}"
        );
    }
}

#[test]
fn the_json_report_is_one_object() {
    let gitlab = Gitlab::start();
    let (code, stdout, _) = fired(&gitlab, &[], &["--format", "json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (code, &report["outcome"], &report["pipeline"]),
        (0, &json!("fired"), &json!(1))
    );
    gitlab.reply(Reply::refused("Reference not found"));
    let (code, stdout, _) = fired(&gitlab, &[], &["--format", "json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["error"]["kind"]), (3, &json!("pipeline")));
}

#[test]
fn each_answer_has_its_exit_code_and_says_what_to_do() {
    let says = |status, body: &str| Reply::Says(status, vec![], body.to_owned());
    let retry = |header: &str| Reply::Says(429, vec![header.to_owned()], "Retry later".to_owned());
    let rows = [
        (
            Reply::json(400, &json!({ "error": "ref is missing" })),
            3,
            "trigger.ref",
        ),
        (Reply::refused("Reference not found"), 3, "trigger.ref"),
        (
            Reply::refused("Pipeline filtered out by workflow rules."),
            3,
            "workflow:rules",
        ),
        (
            Reply::refused("Insufficient permissions to set pipeline variables"),
            3,
            "Minimum role",
        ),
        (
            Reply::refused("Too many pipelines created in the last minute. Try again later."),
            1,
            "after one",
        ),
        (
            Reply::json(401, &json!({ "message": "401 Unauthorized" })),
            3,
            "glptt-",
        ),
        (
            Reply::json(403, &json!({ "message": "403 Forbidden" })),
            3,
            "allowed addresses",
        ),
        (
            Reply::json(404, &json!({ "message": "404 Not Found" })),
            3,
            "trigger.project",
        ),
        (
            Reply::json(
                422,
                &json!({ "message": { "base": ["jobs:sync config is invalid"] } }),
            ),
            3,
            "jobs:sync config",
        ),
        (retry("Retry-After: 30"), 1, "how often"),
        (retry("RateLimit-Reset: 4000000000"), 1, "how often"),
        (says(500, "<html>oops</html>"), 1, "Build, Pipelines"),
        (
            Reply::named(503, "Service Unavailable"),
            1,
            "problem of its own",
        ),
        (says(503, ""), 1, "503 Service Unavailable, no content type"),
        (
            Reply::page(403, "Just a moment..."),
            3,
            "the answer did not come from GitLab: 403 Forbidden, text/html",
        ),
        (Reply::page(404, "Not Found"), 3, "the project's number"),
        (says(302, ""), 2, "redirect"),
        (
            says(201, "<html>Sign in to the network</html>"),
            1,
            "login or challenge page",
        ),
        (Reply::json(201, &json!([])), 1, "not a pipeline"),
        (Reply::Cut, 1, "connection"),
        (Reply::HangUp, 1, "connection"),
        (Reply::Huge, 1, "not a pipeline"),
    ];
    let gitlab = Gitlab::start();
    for (reply, code, words) in rows {
        gitlab.reply(reply.clone());
        let (found, stdout, stderr) = fired(&gitlab, &[], &[]);
        assert_eq!(found, code, "{reply:?}: {stderr}");
        assert!(
            stdout.is_empty() && stderr.contains(words),
            "{reply:?}: {stderr}"
        );
        assert!(!stderr.contains("<html>"), "{stderr}");
    }
    assert_eq!(gitlab.pipelines().len(), 0);
}

#[test]
fn what_the_projects_settings_refuse_is_told() {
    let refused = |settle: &dyn Fn(&Gitlab), words: &str, code: i32| {
        let gitlab = Gitlab::start();
        settle(&gitlab);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ferry.yml");
        std::fs::write(&file, "trigger:\n  variables: { A: B }\n").unwrap();
        let (found, _, stderr) = fired(&gitlab, &[("FERRY_CONFIG", file.to_str().unwrap())], &[]);
        assert!(found == code && stderr.contains(words), "{found} {stderr}");
    };
    refused(&Gitlab::refuse_variables, "Minimum role", 3);
    refused(&Gitlab::filter_triggers, "workflow:rules", 3);
    let exhausted = |gitlab: &Gitlab| {
        gitlab.count_by_the_minute();
        for _ in 0..PER_MINUTE {
            assert_eq!(fired(gitlab, &[], &[]).0, 0);
        }
    };
    refused(&exhausted, "after one", 1);
}

#[test]
fn the_token_does_not_follow_a_redirect() {
    for status in [301, 302, 303, 307, 308] {
        let (gitlab, other) = (Gitlab::start(), Gitlab::start());
        gitlab.reply(Reply::moved(status, &other.url()));
        let (code, _, stderr) = fired(&gitlab, &[], &[]);
        assert_eq!((code, other.requests().len()), (2, 0), "{status}: {stderr}");
    }
}

#[test]
fn a_canceled_pipeline_is_no_success() {
    let gitlab = Gitlab::start();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            gitlab.wait_for_pipelines(1);
            gitlab.set_status(1, "canceled");
        });
        let read = [
            ("GITLAB_READ_TOKEN", READ_TOKEN),
            ("FERRY_NETWORK_TIMEOUT", "20s"),
        ];
        let (code, _, stderr) = fired(&gitlab, &read, &["--wait"]);
        assert!(code == 3 && stderr.contains("canceled"), "{stderr}");
    });
}

#[test]
fn a_token_that_gitlab_repeats_is_masked() {
    let gitlab = Gitlab::start();
    gitlab.reply(Reply::json(
        403,
        &json!({ "message": format!("{TRIGGER_TOKEN} is blocked") }),
    ));
    let (code, _, stderr) = fired(&gitlab, &[], &[]);
    assert!(
        code == 3 && stderr.contains("[masked] is blocked"),
        "{stderr}"
    );
}

#[test]
fn a_silent_gitlab_is_given_up() {
    let gitlab = Gitlab::start();
    gitlab.reply(Reply::Silent);
    let (code, _, stderr) = fired(&gitlab, &[("FERRY_NETWORK_IDLE_TIMEOUT", "200ms")], &[]);
    assert!(
        code == 1 && stderr.contains("no answer in time"),
        "{stderr}"
    );
}

#[test]
fn a_failure_that_passes_is_tried_again() {
    let gitlab = Gitlab::start();
    gitlab.reply(Reply::Says(
        503,
        vec!["Retry-After: 1".to_owned()],
        String::new(),
    ));
    let (code, _, stderr) = fired(&gitlab, &[("FERRY_NETWORK_RETRIES", "1")], &[]);
    assert_eq!((code, gitlab.requests().len()), (0, 2), "{stderr}");
}

#[test]
fn no_second_pipeline_is_asked_for_where_the_first_may_have_been_created() {
    let says = |status| Reply::Says(status, vec!["Retry-After: 1".to_owned()], String::new());
    for reply in [
        Reply::Lost,
        Reply::Cut,
        Reply::HangUp,
        Reply::Silent,
        says(500),
        says(502),
        says(504),
    ] {
        let gitlab = Gitlab::start();
        gitlab.reply(reply.clone());
        let more = [
            ("FERRY_NETWORK_RETRIES", "2"),
            ("FERRY_NETWORK_IDLE_TIMEOUT", "200ms"),
        ];
        let (code, _, stderr) = fired(&gitlab, &more, &[]);
        assert_eq!(
            (code, gitlab.requests().len()),
            (1, 1),
            "{reply:?}: {stderr}"
        );
        assert!(
            stderr.contains("it is not known whether a pipeline was created: ")
                && stderr.contains("Build, Pipelines"),
            "{reply:?}: {stderr}"
        );
    }
    let gitlab = Gitlab::start();
    gitlab.reply(Reply::Silent);
    let (code, _, stderr) = fired(&gitlab, &[("FERRY_NETWORK_TIMEOUT", "300ms")], &[]);
    assert!(
        code == 1 && stderr.contains("it is not known whether a pipeline was created: timed out"),
        "{stderr}"
    );
}

#[test]
fn nothing_is_fired_where_a_pipeline_cannot_be_followed() {
    let gitlab = Gitlab::start();
    let (code, _, stderr) = fired(&gitlab, &[], &["--wait"]);
    assert!(
        code == 2 && stderr.contains("GITLAB_READ_TOKEN"),
        "{stderr}"
    );
    assert_eq!(gitlab.requests().len(), 0);
}

#[test]
fn a_pipeline_is_followed_to_its_end() {
    for (succeeds, code) in [(true, 0), (false, 3)] {
        let gitlab = Gitlab::start();
        gitlab.run(move || succeeds);
        let (found, stdout, stderr) =
            fired(&gitlab, &[("GITLAB_READ_TOKEN", READ_TOKEN)], &["--wait"]);
        assert_eq!(found, code, "{stderr}");
        assert_eq!(stdout.contains("/-/pipelines/1"), succeeds, "{stdout}");
        assert!(!stderr.contains(READ_TOKEN));
    }
}

#[test]
fn what_is_missing_is_named() {
    let gitlab = Gitlab::start();
    for missing in ["FERRY_TRIGGER_PROJECT", "GITLAB_TRIGGER_TOKEN"] {
        let mut all = gitlab.variables();
        all.retain(|(name, _)| name != missing);
        let output = fire(&all, &[]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && stderr.contains(missing),
            "{stderr}"
        );
    }
    let (code, _, stderr) = fired(&gitlab, &[], &["--if-behind"]);
    assert!(code == 2 && stderr.contains("FERRY_MIRROR_URL"), "{stderr}");
}

#[test]
fn a_flag_that_is_not_known_writes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    std::fs::write(&file, "another file").unwrap();
    let output = fire(&[], &["--report", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "another file");
}
