#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::{Environment, Flags};

const NOW: &str = "2026-12-01T12:00:00Z";
const GITLAB: &str =
    "issuer=https://gitlab.example.com audience=crates-ferry project=rust/* crates=acme-*";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn rules(text: &str) -> Vec<TrustedRule> {
    let environment = Environment::from_pairs([("FERRY_PRIVATE_TRUSTED", text)]);
    let config = crate::config::ServeConfig::load(&Flags::default(), &environment);
    config.unwrap().private.trusted
}

fn gitlab() -> Value {
    let now = now().as_second();
    json!({
        "iss": "https://gitlab.example.com", "aud": "crates-ferry", "sub": "project_path:rust/core:ref_type:branch:ref:main",
        "iat": now - 5, "nbf": now - 10, "exp": now + 300, "jti": "0f3a", "project_path": "rust/core", "project_id": "17",
        "ref": "main", "ref_protected": "true", "pipeline_source": "push", "environment": "production", "job_id": "301",
        "ci_config_ref_uri": "gitlab.example.com/rust/core//.gitlab-ci.yml@refs/heads/main"
    })
}

fn github() -> Value {
    let now = now().as_second();
    json!({
        "iss": "https://token.actions.githubusercontent.com", "aud": "crates-ferry", "iat": now, "nbf": now, "exp": now + 300,
        "jti": "9c04", "repository": "acme/core", "repository_owner_id": "65", "ref": "refs/tags/v1.0.0",
        "ref_protected": "true", "event_name": "release", "run_id": "77",
        "job_workflow_ref": "acme/core/.github/workflows/publish.yml@refs/tags/v1.0.0"
    })
}

fn admit(rule: &str, claims: &Value) -> Result<String, String> {
    let claims: Claims = serde_json::from_value(claims.clone()).map_err(|it| it.to_string())?;
    let rules = rules(rule);
    let admitted = claims.admit(&rules, now())?;
    Ok(format!("{} ({})", admitted.project, admitted.about))
}

/// Returns the claims with others in place of theirs; `null` takes one out.
fn with(claims: &Value, others: Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in others.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

#[test]
fn a_job_of_the_project_on_a_protected_branch_may_publish() {
    let admitted = admit(GITLAB, &gitlab());
    assert_eq!(
        admitted.as_deref(),
        Ok("gitlab.example.com/rust/core (main, job 301)")
    );
    let rule = "issuer=https://token.actions.githubusercontent.com audience=crates-ferry project=acme/core crates=acme-core \
                repository_owner_id=65 job_workflow_ref=acme/core/.github/workflows/publish.yml@refs/tags/*";
    let admitted = admit(rule, &github());
    let wanted = "token.actions.githubusercontent.com/acme/core (refs/tags/v1.0.0, run 77)";
    assert_eq!(admitted.as_deref(), Ok(wanted));
    // Several audiences, numbers, and yes or no are written in either way.
    for others in [
        json!({"aud": ["other", "crates-ferry"]}),
        json!({"project_id": 17, "ref_protected": true}),
        json!({"exp": now().as_second() as f64 + 299.5}),
        json!({"nbf": null, "iat": null, "job_id": null}),
        json!({"exp": now().as_second() + 31 * 24 * 60 * 60}),
    ] {
        let rule = format!("{GITLAB} project_id=17");
        assert!(
            admit(&rule, &with(&gitlab(), others.clone())).is_ok(),
            "{others}"
        );
    }
}

#[test]
fn each_wrong_claim_is_refused_with_the_reason() {
    let now = now().as_second();
    for (others, why) in [
        (
            json!({"iss": "https://gitlab.example.com/"}),
            "another audience",
        ),
        (json!({"aud": "crates"}), "another audience"),
        (json!({"aud": []}), "another audience"),
        (json!({"aud": null}), "missing field `aud`"),
        (json!({"exp": now}), "has expired"),
        (json!({"exp": now - 3600}), "has expired"),
        (json!({"exp": null}), "missing field `exp`"),
        (json!({"exp": 1e300}), "no time that makes sense"),
        (
            json!({"exp": now + 33 * 24 * 60 * 60}),
            "no job lasts that long",
        ),
        (json!({"nbf": now + 60}), "not valid before"),
        (json!({"iat": now + 3600}), "not valid before"),
        (json!({"iat": -1e300}), "no time that makes sense"),
        (json!({"jti": null}), "no id"),
        (json!({"jti": ""}), "no id"),
        (json!({"jti": "a".repeat(300)}), "no id"),
        (
            json!({"project_path": "rust/core/evil"}),
            "no rule of private.trusted is for the project `rust/core/evil`",
        ),
        (
            json!({"project_path": "evil/rust/core"}),
            "no rule of private.trusted is for",
        ),
        (
            json!({"project_path": "rust-evil/core"}),
            "no rule of private.trusted is for",
        ),
        (
            json!({"project_path": "Rust/core"}),
            "no rule of private.trusted is for",
        ),
        (json!({"project_path": "rust/"}), "no path"),
        (json!({"project_path": "rust/core\n"}), "no path"),
        (json!({"project_path": "rust"}), "no path"),
        (json!({"project_path": "rust/.."}), "no path"),
        (json!({"project_path": "./rust"}), "no path"),
        (json!({"project_path": null}), "names no project"),
        (json!({"repository": "rust/core"}), "names two projects"),
        (json!({"ref_protected": "false"}), "`main` is not protected"),
        (json!({"ref_protected": false}), "`main` is not protected"),
        (json!({"ref_protected": "TRUE"}), "`main` is not protected"),
        (json!({"ref_protected": null}), "`main` is not protected"),
        (
            json!({"pipeline_source": "merge_request_event"}),
            "began by `merge_request_event`",
        ),
        (
            json!({"pipeline_source": "external_pull_request_event"}),
            "began by",
        ),
        (
            json!({"pipeline_source": null}),
            "does not say how the job began",
        ),
        (
            json!({"event_name": "pull_request_target"}),
            "began by `pull_request_target`",
        ),
        (
            json!({"event_name": "workflow_run"}),
            "began by `workflow_run`",
        ),
        (
            json!({"event_name": "pull_request"}),
            "began by `pull_request`",
        ),
    ] {
        let said = admit(GITLAB, &with(&gitlab(), others.clone())).unwrap_err();
        assert!(said.contains(why), "{others}: {said}");
    }
}

#[test]
fn what_a_rule_pins_must_be_so() {
    for (more, others, is_admitted) in [
        ("protected=false", json!({"ref_protected": "false"}), true),
        (
            "protected=false",
            json!({"pipeline_source": "merge_request_event"}),
            false,
        ),
        ("ref=main", json!({}), true),
        ("ref=main", json!({"ref": "main2"}), false),
        ("ref=v*", json!({"ref": "v1.0/x"}), false),
        ("ref=main", json!({"ref": null}), false),
        ("environment=production", json!({}), true),
        (
            "environment=production",
            json!({"environment": "review/1"}),
            false,
        ),
        (
            "environment=production",
            json!({"environment": null}),
            false,
        ),
        ("project_id=17", json!({}), true),
        ("project_id=18", json!({}), false),
        ("project_id=17", json!({"project_id": null}), false),
        ("repository_owner_id=65", json!({}), false),
        ("job_workflow_ref=a", json!({}), false),
        (
            "workflow_ref=rust/core/.forgejo/workflows/*@refs/tags/v*",
            json!({"workflow_ref": "rust/core/.forgejo/workflows/a.yml@refs/tags/v1"}),
            true,
        ),
        (
            "workflow_ref=rust/core/.forgejo/workflows/*@refs/tags/v*",
            json!({"workflow_ref": "rust/core/.forgejo/workflows/a.yml@refs/heads/x"}),
            false,
        ),
        (
            "ci_config_ref_uri=gitlab.example.com/rust/*//.gitlab-ci.yml@refs/heads/main",
            json!({}),
            true,
        ),
        (
            "ci_config_ref_uri=gitlab.example.com/rust/*//.gitlab-ci.yml@refs/heads/release",
            json!({}),
            false,
        ),
        (
            "ci_config_ref_uri=gitlab.example.com/rust/core//*@refs/heads/main",
            json!({"ci_config_ref_uri": null}),
            false,
        ),
    ] {
        let admitted = admit(
            &format!("{GITLAB} {more}"),
            &with(&gitlab(), others.clone()),
        );
        assert_eq!(
            admitted.is_ok(),
            is_admitted,
            "{more} {others}: {admitted:?}"
        );
    }
}

#[test]
fn every_rule_that_lets_a_job_publish_counts() {
    let text = format!(
        "{GITLAB} environment=other; {}; {}",
        GITLAB
            .replace("acme-*", "acme-core")
            .replace("rust/*", "rust/core"),
        GITLAB
            .replace("acme-*", "other")
            .replace("rust/*", "rust/c*"),
    );
    let claims: Claims = serde_json::from_value(gitlab()).unwrap();
    let rules = rules(&text);
    let admitted = claims.admit(&rules, now()).unwrap();
    let crates: Vec<_> = admitted.crates.iter().map(ToString::to_string).collect();
    assert_eq!(crates, ["acme-core", "other"]);
    // Of a project that none names, no rule is told.
    let claims: Claims =
        serde_json::from_value(with(&gitlab(), json!({"project_path": "else/where"}))).unwrap();
    let said = claims.admit(&rules, now()).unwrap_err();
    assert!(!said.contains("core") && !said.contains("acme"), "{said}");
}

proptest! {
    #[test]
    fn nobody_else_is_ever_admitted(
        project in "(rust|Rust|rust-x|evil)(/[a-z]{1,3}){1,3}",
        protected in prop_oneof![Just(json!("true")), Just(json!("false")), Just(json!(true)), Just(json!(0)), Just(json!("")), Just(Value::Null)],
        source in prop_oneof![Just("push"), Just("merge_request_event"), Just("workflow_run"), Just("pull_request_target"), Just("web")],
        audience in prop_oneof![Just("crates-ferry"), Just("crates-ferry2"), Just("")],
        expires in -100_i64..100,
    ) {
        let claims = with(&gitlab(), json!({
            "project_path": project, "ref_protected": protected, "pipeline_source": source, "aud": audience,
            "exp": now().as_second() + expires,
        }));
        let is_right = project.starts_with("rust/")
            && project.matches('/').count() == 1
            && [json!("true"), json!(true)].contains(&protected)
            && ["push", "web"].contains(&source)
            && audience == "crates-ferry"
            && expires > 0;
        prop_assert_eq!(admit(GITLAB, &claims).is_ok(), is_right);
    }

    #[test]
    fn no_claims_make_the_reader_panic(text in "\\{(\"(iss|aud|exp|nbf|jti|ref_protected|project_path)\":(\"\\PC{0,5}\"|-?[0-9]{1,20}(e[0-9]{1,3})?|true|\\[\"x\"\\]|null),?){0,7}\\}") {
        if let Ok(claims) = serde_json::from_str::<Claims>(&text) {
            let _ = claims.admit(&rules(GITLAB), now());
        }
    }
}
