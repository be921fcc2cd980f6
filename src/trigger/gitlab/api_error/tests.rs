#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::error::row;

const URL: &str = "https://gitlab.example/api/v4/projects/rust%2Fmirror/trigger/pipeline";

fn fires(url: &Url) -> Asked<'_> {
    Asked { url, reads: false }
}

/// 2026-11-24 00:00:00 UTC.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_478_400)
}

fn classified(status: u16, headers: &[(&'static str, &str)], body: &str) -> (Kind, Remedy, String) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    let url = Url::parse(URL).unwrap();
    let ApiError { error, remedy } =
        of_response(fires(&url), status, &map, &message(body.as_bytes()), now());
    (error.kind(), remedy, error.advice().unwrap().to_owned())
}

fn wait(seconds: u64) -> Remedy {
    Remedy::Wait {
        pause: Duration::from_secs(seconds),
        may_be_created: false,
    }
}

#[test]
fn each_error_has_its_kind_its_remedy_and_an_advice() {
    let retry = |may_be_created| Remedy::Retry { may_be_created };
    let rows: [(u16, &str, Kind, Remedy, &str); 18] = [
        (
            400,
            r#"{"error":"ref is missing"}"#,
            Kind::Pipeline,
            Remedy::Person,
            "trigger.ref",
        ),
        (
            400,
            r#"{"message":{"base":["Reference not found"]}}"#,
            Kind::Pipeline,
            Remedy::Person,
            "trigger.ref",
        ),
        (
            400,
            r#"{"message":{"base":["Pipeline filtered out by workflow rules."]}}"#,
            Kind::Pipeline,
            Remedy::Person,
            "workflow:rules",
        ),
        (
            400,
            r#"{"message":{"base":["Insufficient permissions to set pipeline variables"]}}"#,
            Kind::Permission,
            Remedy::Person,
            "Minimum role",
        ),
        (
            400,
            r#"{"message":{"base":["Too many pipelines created in the last minute. Try again later."]}}"#,
            Kind::Server,
            wait(60),
            "after one",
        ),
        (
            400,
            r#"{"message":{"base":["Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to the pipeline."]}}"#,
            Kind::Pipeline,
            Remedy::Person,
            "no job runs",
        ),
        (
            400,
            r#"{"message":{"base":["Missing CI config file"]}}"#,
            Kind::Pipeline,
            Remedy::Person,
            ".gitlab-ci.yml",
        ),
        (
            400,
            r#"{"message":"something new"}"#,
            Kind::Pipeline,
            Remedy::Person,
            "New pipeline",
        ),
        (
            401,
            r#"{"message":"401 Unauthorized"}"#,
            Kind::Auth,
            Remedy::Person,
            "glptt-",
        ),
        (
            403,
            r#"{"message":"403 Forbidden"}"#,
            Kind::Permission,
            Remedy::Person,
            "allowed addresses",
        ),
        (
            404,
            r#"{"message":"404 Not Found"}"#,
            Kind::Auth,
            Remedy::Person,
            "trigger.project",
        ),
        (405, "", Kind::Permission, Remedy::Person, "trigger.gitlab"),
        (
            422,
            r#"{"failure_reason":"config_error"}"#,
            Kind::Pipeline,
            Remedy::Person,
            "Validate",
        ),
        (429, "Retry later", Kind::Server, wait(60), "how often"),
        (
            500,
            "<html>",
            Kind::Server,
            retry(true),
            "problem of its own",
        ),
        (502, "", Kind::Server, retry(true), "problem of its own"),
        (503, "", Kind::Server, retry(false), "problem of its own"),
        (302, "", Kind::Config, Remedy::Person, "redirect"),
    ];
    for (status, body, kind, remedy, advice) in rows {
        let found = classified(status, &[], body);
        assert_eq!((found.0, found.1), (kind, remedy), "{status} {body}");
        assert!(found.2.contains(advice), "{status} {body}: {}", found.2);
    }
}

#[test]
fn only_a_server_that_is_not_available_has_created_no_pipeline() {
    for status in 500..=599 {
        for headers in [&[][..], &[("retry-after", "17")]] {
            let may_be_created = match classified(status, headers, "").1 {
                Remedy::Wait { may_be_created, .. } | Remedy::Retry { may_be_created } => {
                    may_be_created
                }
                Remedy::Person => panic!("{status}"),
            };
            assert_eq!(may_be_created, status != 503, "{status} {headers:?}");
        }
    }
}

#[test]
fn a_wait_is_as_long_as_the_server_says() {
    let rows: [(&[(&str, &str)], u64); 8] = [
        (&[("retry-after", "17")], 17),
        (&[("retry-after", "Tue, 24 Nov 2026 00:00:30 GMT")], 30),
        (&[("ratelimit-reset", "1795478445")], 45),
        (
            &[("retry-after", "5"), ("ratelimit-reset", "1795478445")],
            5,
        ),
        (&[("ratelimit-reset", "1")], 1),
        (&[("retry-after", "0")], 1),
        (&[("retry-after", "99999999")], 3600),
        (&[("retry-after", "soon")], 60),
    ];
    for (headers, seconds) in rows {
        let found = classified(429, headers, "").1;
        assert_eq!(found, wait(seconds), "{headers:?}");
    }
}

#[test]
fn the_message_of_an_error_is_one_short_line() {
    let rows = [
        (
            r#"{"message":{"base":["Reference not found"]}}"#,
            "Reference not found",
        ),
        (
            r#"{"message":{"ref":["is invalid","is empty"]}}"#,
            "ref: is invalid; ref: is empty",
        ),
        (
            r#"{"error":"insufficient_scope","error_description":"needs more"}"#,
            "insufficient_scope; needs more",
        ),
        ("<html><body>Sign in</body></html>", ""),
        ("Retry\r\n  later\u{1b}[31m", "Retry later\\u{1b}[31m"),
        ("", ""),
    ];
    for (body, expected) in rows {
        assert_eq!(message(body.as_bytes()), expected);
    }
    let long = message("word ".repeat(1000).as_bytes());
    assert!(
        long.len() > MAX_MESSAGE - 5 && long.ends_with("word…"),
        "{long}"
    );
}

#[test]
fn an_answer_that_is_not_in_json_is_not_gitlabs_word() {
    let page = b"<!DOCTYPE html><title>Just a moment...</title>";
    let headers =
        |kind: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
    let html = headers("text/html; charset=UTF-8");
    let status = |code: u16| StatusCode::from_u16(code).unwrap();
    let is_foreign = |code: u16, kind, body: &[u8]| is_foreign(status(code), &headers(kind), body);
    assert!(is_foreign(403, "text/html", page) && is_foreign(404, "text/plain", b"Not Found"));
    assert!(is_foreign(200, "text/html", page) && is_foreign(401, "text/plain", b""));
    assert!(!is_foreign(
        404,
        "application/json",
        br#"{"message":"404 Not Found"}"#
    ));
    // Cut, or without its content type.
    assert!(
        !is_foreign(404, "application/json", br#"{"message":"#) && !is_foreign(404, "x", b"{}")
    );
    // GitLab's limit of requests, and a redirect, whose page nobody reads.
    assert!(!is_foreign(429, "text/plain", b"Retry later") && !is_foreign(302, "text/html", page));

    let url = Url::parse(URL).unwrap();
    let found = |code: u16, url: &Url| {
        let ApiError { error, remedy } = foreign(fires(url), status(code), &html, now());
        let message = error.to_string();
        assert!(
            message.contains("the answer did not come from GitLab"),
            "{message}"
        );
        assert!(message.ends_with(", text/html; charset=UTF-8"), "{message}");
        (error.kind(), remedy, error.advice().unwrap().to_owned())
    };
    let (kind, remedy, advice) = found(404, &url);
    assert_eq!((kind, remedy), (Kind::Permission, Remedy::Person));
    assert!(
        advice.contains("the project's number") && !advice.contains("TOKEN"),
        "{advice}"
    );
    let by_number =
        Url::parse("https://gitlab.example/api/v4/projects/42/trigger/pipeline").unwrap();
    assert!(!found(403, &by_number).2.contains("%2F"));
    let retry = |may_be_created| Remedy::Retry { may_be_created };
    assert_eq!(found(503, &url).1, retry(false));
    assert_eq!(found(502, &url).1, retry(true));
    assert_eq!(found(200, &url).1, retry(false));
}

#[test]
fn a_denial_of_a_pipelines_status_blames_the_token_that_reads() {
    let url = Url::parse(URL).unwrap();
    for code in [401, 403, 404] {
        let status = StatusCode::from_u16(code).unwrap();
        for (reads, token, other) in [
            (true, "GITLAB_READ_TOKEN", "GITLAB_TRIGGER_TOKEN"),
            (false, "token", "GITLAB_READ_TOKEN"),
        ] {
            let asked = Asked { url: &url, reads };
            let found = of_response(asked, status, &HeaderMap::new(), "", now());
            let advice = found.error.advice().unwrap();
            assert!(
                advice.contains(token) && !advice.contains(other),
                "{code}: {advice}"
            );
            assert_eq!(found.remedy, Remedy::Person);
        }
    }
}

#[test]
fn each_answer_of_gitlab_advises_what_its_request_needs() {
    let url = Url::parse(URL).unwrap();
    let mut table = String::new();
    for (request, reads) in [("create", false), ("read", true)] {
        let asked = Asked { url: &url, reads };
        for code in [302, 400, 401, 403, 404, 408, 418, 422, 429, 500, 503] {
            let status = StatusCode::from_u16(code).unwrap();
            let found = of_response(asked, status, &HeaderMap::new(), "", now());
            table += &row(&format!("{request}: {code}"), &found.error);
        }
        for code in [200, 403, 407, 503] {
            let status = StatusCode::from_u16(code).unwrap();
            let found = foreign(asked, status, &HeaderMap::new(), now());
            table += &row(&format!("{request}: {code}, not of GitLab"), &found.error);
        }
    }
    for words in [
        "Too many pipelines",
        "Insufficient permissions to set pipeline variables",
        "Reference not found",
        "Pipeline filtered out by workflow rules",
        "No stages / jobs for this pipeline",
        "Missing CI config file",
        "inputs: unknown",
    ] {
        let asked = fires(&url);
        let found = of_response(
            asked,
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            words,
            now(),
        );
        table += &row(words, &found.error);
    }
    insta::assert_snapshot!(table);
}

proptest! {
    #[test]
    fn whatever_a_server_says_is_one_short_line(body in prop::collection::vec(any::<u8>(), 0..2000)) {
        let found = message(&body);
        prop_assert!(found.chars().count() <= MAX_MESSAGE + 1 && !found.contains(char::is_control));
    }

    #[test]
    fn whatever_is_in_the_json_is_one_short_line(text in "\\PC{0,400}", depth in 0usize..200) {
        let nested = format!("{}{}{}", "[".repeat(depth), serde_json::json!({ "message": { "x": text } }), "]".repeat(depth));
        prop_assert!(message(nested.as_bytes()).chars().count() <= MAX_MESSAGE + 1);
    }

    #[test]
    fn every_status_is_classified(status in 300u16..1000, text in "\\PC{0,60}") {
        let status = StatusCode::from_u16(status).unwrap();
        let url = Url::parse(URL).unwrap();
        let found = of_response(fires(&url), status, &HeaderMap::new(), &text, now());
        let is_person = found.remedy == Remedy::Person;
        prop_assert_eq!(is_person, !found.error.kind().is_transient());
        prop_assert!(found.error.advice().is_some());
    }
}
