#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn url() -> Url {
    Url::parse("https://gitlab.example/api").unwrap()
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
    let ApiError { error, remedy } =
        of_response(&url(), status, &map, &message(body.as_bytes()), now());
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
    assert_eq!(message("x".repeat(10_000).as_bytes()).len(), MAX_MESSAGE);
}

proptest! {
    #[test]
    fn whatever_a_server_says_is_one_short_line(body in prop::collection::vec(any::<u8>(), 0..2000)) {
        let found = message(&body);
        prop_assert!(found.chars().count() <= MAX_MESSAGE && !found.contains(char::is_control));
    }

    #[test]
    fn whatever_is_in_the_json_is_one_short_line(text in "\\PC{0,400}", depth in 0usize..200) {
        let nested = format!("{}{}{}", "[".repeat(depth), serde_json::json!({ "message": { "x": text } }), "]".repeat(depth));
        prop_assert!(message(nested.as_bytes()).chars().count() <= MAX_MESSAGE);
    }

    #[test]
    fn every_status_is_classified(status in 300u16..1000, text in "\\PC{0,60}") {
        let status = StatusCode::from_u16(status).unwrap();
        let found = of_response(&url(), status, &HeaderMap::new(), &text, now());
        let is_person = found.remedy == Remedy::Person;
        prop_assert_eq!(is_person, !found.error.kind().is_transient());
        prop_assert!(found.error.advice().is_some());
    }
}
