//! Trusted publishing: jobs of a stand-in for a host of CI exchange their tokens, and everybody else gets none.

use serde_json::{Value, json};

use crate::support::certificate;
use crate::support::clocked::ClockedServer;
use crate::support::issuer::{Answer, Issuer, SigningKey, sign_by_secret, unsigned};
use crate::support::s3::S3;
use crate::support::server::{Got, Server, Site, files_in, sha256};

const TOKENS: &str = "/private/api/v1/trusted_publishing/tokens";
const INDEX: &str = "/index/3/f/foo";

/// A site whose mirror is for those with a token, and rules for an issuer.
struct Scene {
    site: Site,
    issuer: Issuer,
    pairs: Vec<(&'static str, String)>,
}

impl Scene {
    fn new(keys: &[&SigningKey]) -> Self {
        Self::of(Issuer::start(keys))
    }

    fn of(issuer: Issuer) -> Self {
        let mut site = Site::new();
        site.publish("foo", "1.0.0", b"bytes");
        let tokens = site.folder.path().join("tokens.txt");
        std::fs::write(&tokens, format!("{}  ci\n", sha256(b"a-stored-token"))).unwrap();
        let rule = format!(
            "issuer={} audience=crates-ferry project=rust/* crates=acme-*",
            issuer.url
        );
        let pairs = vec![
            ("FERRY_SERVE_AUTH", tokens.display().to_string()),
            ("FERRY_PRIVATE_TRUSTED", rule),
            ("FERRY_NETWORK_IDLE_TIMEOUT", "2s".to_owned()),
        ];
        Self {
            site,
            issuer,
            pairs,
        }
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    fn serve(&self) -> Server {
        self.site.serve(&self.pairs())
    }

    /// Starts a server with a data directory of its own, and the store of all.
    fn serve_in(&self, name: &str) -> Server {
        let data = self.site.folder.path().join(name).display().to_string();
        let store = self.site.folder.path().join("store").display().to_string();
        let more = [
            ("FERRY_SERVE_DATA_DIR", data.as_str()),
            ("FERRY_SERVE_STORE", store.as_str()),
        ];
        self.site.serve(&[&self.pairs()[..], &more].concat())
    }
}

fn exchange(server: &Server, jwt: &str) -> Got {
    let body = json!({"jwt": jwt}).to_string();
    // The first moment is for the key that signs.
    loop {
        let got = server.ask("POST", TOKENS, &[], body.as_bytes()).unwrap();
        if got.status != 503
            || !got
                .detail()
                .contains("could not be read from the store yet")
        {
            return got;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_hangup_applies_other_rules_none_and_the_first_ones_again_but_no_bad_ones() {
    let key = SigningKey::ec("a");
    let issuer = Issuer::start(&[&key]);
    let site = Site::new();
    let path = site.folder.path().join("ferry.yml");
    let write = |rules: &str| {
        std::fs::write(&path, format!("private: {{ trusted: [{rules}] }}\n")).unwrap()
    };
    let rule = |project: &str| {
        let url = &issuer.url;
        format!(
            "{{ issuer: \"{url}\", audience: crates-ferry, project: \"{project}\", crates: [\"acme-*\"] }}"
        )
    };
    write("");
    let config = path.display().to_string();
    let server = site.serve(&[("FERRY_CONFIG", &config)]);
    let jwt = |id: &str| key.sign(&issuer.claims(id));
    check_none(&server, &jwt("0"));
    let reload = |rules: &str, told: &str, times: usize| {
        write(rules);
        server.signal("HUP");
        server.wait_for(told, || server.log().matches(told).count() == times);
    };
    // Rules where there were none: the key that signs is read now.
    reload(&rule("rust/*"), "private.trusted has changed", 1);
    let first = token(&server, &jwt("1"));
    let whoami = |token: &str| {
        let headers = [("authorization", token)];
        server
            .ask("PUT", "/private/api/v1/crates/new", &headers, b"")
            .unwrap()
            .status
    };
    assert_ne!(whoami(&first), 401);
    reload(&rule("other/*"), "private.trusted has changed", 2);
    check_refused(&server, &jwt("2"), "no rule of private.trusted");
    // A mistake changes nothing, and neither does the same again.
    reload(
        &format!("{}, {{ issuer: x }}", rule("rust/*")),
        "the policy stays as it was, and so does private.trusted",
        1,
    );
    check_refused(&server, &jwt("3"), "no rule of private.trusted");
    reload(&rule("other/*"), "private.trusted has not changed", 1);
    // Without rules there are no short-lived tokens, and what was issued ends at once.
    reload("", "private.trusted has changed", 3);
    check_none(&server, &jwt("4"));
    assert_eq!(whoami(&first), 401);
    reload(&rule("rust/*"), "private.trusted has changed", 4);
    let again = token(&server, &jwt("5"));
    assert_ne!(whoami(&again), 401);
    // What was used before is remembered.
    check_refused(&server, &jwt("1"), "has been used already");
}

/// Fails unless the server trusts nobody.
fn check_none(server: &Server, jwt: &str) {
    let body = json!({"jwt": jwt}).to_string();
    let got = server.ask("POST", TOKENS, &[], body.as_bytes()).unwrap();
    assert_eq!(
        (got.status, got.detail().contains("has no rules")),
        (404, true),
        "{}",
        got.text()
    );
}

/// Returns the token of a job that may publish.
fn token(server: &Server, jwt: &str) -> String {
    let got = exchange(server, jwt);
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.header("cache-control"), Some("no-store"));
    let json: Value = serde_json::from_slice(&got.body).unwrap();
    json["token"].as_str().unwrap().to_owned()
}

fn read(server: &Server, token: &str) -> Got {
    server.get_with(INDEX, &[("authorization", token)])
}

fn revoke(server: &Server, token: &str) -> Got {
    server
        .ask("DELETE", TOKENS, &[("authorization", token)], b"")
        .unwrap()
}

/// Fails unless a token is refused with this reason.
fn check_refused(server: &Server, jwt: &str, why: &str) {
    let got = exchange(server, jwt);
    assert_eq!(got.status, 400, "{why}: {}", got.text());
    assert!(got.detail().contains(why), "{why}: {}", got.detail());
}

#[test]
fn a_job_gets_a_token_for_that_of_its_host_whatever_signs_it() {
    let keys = [
        SigningKey::rsa("a"),
        SigningKey::ec("b"),
        SigningKey::ed("c"),
    ];
    let scene = Scene::new(&keys.iter().collect::<Vec<_>>());
    let server = scene.serve();
    for key in &keys {
        let token = token(&server, &key.sign(&scene.issuer.claims(key.algorithm())));
        assert!(token.starts_with("ferry_tp_"));
        assert_eq!(read(&server, &token).status, 200);
        assert_eq!(read(&server, &format!("Bearer {token}")).status, 200);
        let got = revoke(&server, &format!("Bearer {token}"));
        assert_eq!((got.status, got.body.len()), (204, 0));
        let got = read(&server, &token);
        assert_eq!(
            (got.status, got.detail().contains("was revoked")),
            (401, true)
        );
        assert_eq!(revoke(&server, &token).status, 401);
        assert!(!server.log().contains(&token));
    }
    // Its keys were asked for once.
    assert_eq!(scene.issuer.requests().len(), 2);
    server.wait_for("logged", || {
        server.log().contains("\"caller\":\"127.0.0.1/rust/core\"")
    });
    assert!(
        server
            .log()
            .contains("127.0.0.1/rust/core (main, job 301) may publish acme-* until")
    );
    let got = revoke(&server, "a-stored-token");
    assert_eq!(
        (got.status, got.detail().contains("token revoke")),
        (400, true)
    );
    assert_eq!(revoke(&server, "nobodys").status, 401);
}

#[test]
fn who_is_not_meant_gets_no_token() {
    let (key, other) = (SigningKey::rsa("a"), SigningKey::rsa("a"));
    let ec = SigningKey::ec("b");
    let scene = Scene::new(&[&key, &ec]);
    let server = scene.serve();
    let issuer = &scene.issuer;
    let claims = issuer.claims("1");
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let now = claims["iat"].as_i64().unwrap();
    for (name, value, why) in [
        ("aud", json!("another"), "another audience"),
        (
            "iss",
            json!("https://gitlab.com"),
            "no rule of private.trusted is for the issuer `https://gitlab.com`",
        ),
        ("exp", json!(now - 60), "has expired"),
        ("nbf", json!(now + 600), "not valid before"),
        (
            "project_path",
            json!("evil/core"),
            "for the project `evil/core`",
        ),
        (
            "project_path",
            json!("rust/a/b"),
            "for the project `rust/a/b`",
        ),
        ("ref_protected", json!("false"), "`main` is not protected"),
        (
            "pipeline_source",
            json!("merge_request_event"),
            "`merge_request_event` may not",
        ),
        (
            "event_name",
            json!("pull_request_target"),
            "`pull_request_target` may not",
        ),
        (
            "event_name",
            json!("workflow_run"),
            "`workflow_run` may not",
        ),
        ("jti", Value::Null, "no id"),
    ] {
        check_refused(&server, &key.sign(&with(name, value)), why);
    }
    let header = |alg: &str, id: &str| json!({"alg": alg, "kid": id});
    check_refused(&server, &other.sign(&claims), "signature is wrong");
    let right = key.sign(&claims);
    let (text, signature) = right.rsplit_once('.').unwrap();
    let changed = unsigned(
        &header("RS256", "a"),
        &with("project_path", json!("rust/other")),
    );
    check_refused(
        &server,
        &format!("{changed}.{signature}"),
        "signature is wrong",
    );
    for none in [
        format!("{text}."),
        text.to_owned(),
        format!("{}.", unsigned(&header("none", "a"), &claims)),
    ] {
        let got = exchange(&server, &none);
        assert_eq!(got.status, 400, "{}", got.text());
    }
    check_refused(
        &server,
        &unsigned(&header("none", "a"), &claims).replace('=', ""),
        "three parts",
    );
    check_refused(
        &server,
        &format!("{}.", unsigned(&header("none", "a"), &claims)),
        "only RS256, ES256 and EdDSA",
    );
    // The public key is no secret, whatever the header says.
    let public = key.public();
    for secret in [
        key.public_pem(),
        public["n"].as_str().unwrap().to_owned(),
        public.to_string(),
        String::new(),
    ] {
        check_refused(
            &server,
            &sign_by_secret("a", &claims, secret.as_bytes()),
            "signed by `HS256`",
        );
    }
    // Nor is the key of one type that of another.
    check_refused(
        &server,
        &key.sign_with(&header("RS256", "b"), &claims),
        "no such key",
    );
    check_refused(
        &server,
        &key.sign_with(&header("ES256", "a"), &claims),
        "no such key",
    );
    check_refused(
        &server,
        &ec.sign_with(&header("ES256", "a"), &claims),
        "no such key",
    );
    let mut own = header("RS256", "a");
    own["jwk"] = other.public();
    check_refused(
        &server,
        &other.sign_with(&own, &claims),
        "signature is wrong",
    );
    own["crit"] = json!(["jwk"]);
    check_refused(&server, &key.sign_with(&own, &claims), "`crit`");
    for body in ["", "{}", "[]", "{\"jwt\":1}", "{\"token\":\"a\"}"] {
        let got = server.ask("POST", TOKENS, &[], body.as_bytes()).unwrap();
        assert_eq!(got.status, 400, "{body}");
    }
    let got = server.ask("POST", TOKENS, &[], &[b' '; 40_000]).unwrap();
    assert_eq!(got.status, 413);
    // After all of that the job itself still gets one, but once.
    assert_eq!(read(&server, &token(&server, &right)).status, 200);
    check_refused(&server, &right, "used already");
    assert_eq!(server.ask("GET", TOKENS, &[], b"").unwrap().status, 405);
}

#[test]
fn a_new_key_counts_at_once_and_keys_that_nobody_has_cost_little() {
    let (old, new) = (SigningKey::rsa("old"), SigningKey::rsa("new"));
    let scene = Scene::new(&[&old]);
    let server = scene.serve();
    let issuer = &scene.issuer;
    token(&server, &old.sign(&issuer.claims("1")));
    issuer.set_keys(&[&new]);
    token(&server, &new.sign(&issuer.claims("2")));
    check_refused(&server, &old.sign(&issuer.claims("3")), "no such key");
    for number in 0..40 {
        let unknown = SigningKey::ed(&format!("unknown-{number}"));
        let got = exchange(&server, &unknown.sign(&issuer.claims("4")));
        assert!([400, 503].contains(&got.status), "{}", got.text());
    }
    // Two for each look, of which there are six a minute.
    let asked = issuer.requests().len();
    assert!((6..=16).contains(&asked), "{asked}");
    token(&server, &new.sign(&issuer.claims("5")));
}

#[test]
fn a_host_that_does_not_answer_as_it_should_is_not_believed() {
    let key = SigningKey::rsa("a");
    let elsewhere = Issuer::start(&[&key]);
    let check = |set: &dyn Fn(&Issuer), why: &str| {
        let scene = Scene::new(&[&key]);
        set(&scene.issuer);
        let server = scene.serve();
        let got = exchange(&server, &key.sign(&scene.issuer.claims("1")));
        assert_eq!(
            (got.status, got.header("retry-after")),
            (503, Some("10")),
            "{why}: {}",
            got.text()
        );
        assert!(got.detail().contains(why), "{why}: {}", got.detail());
    };
    let there = |path: &str| Answer::Status(302, format!("{}{path}", elsewhere.url));
    check(
        &|it| it.answer_keys(there("/oauth/discovery/keys")),
        "responds with 302",
    );
    check(
        &|it| it.answer_discovery(there("/.well-known/openid-configuration")),
        "responds with 302",
    );
    check(
        &|it| {
            it.describe(&json!({"issuer": it.url, "jwks_uri": format!("{}/oauth/discovery/keys", elsewhere.url)}))
        },
        "not at its own host",
    );
    check(
        &|it| {
            it.describe(&json!({"issuer": elsewhere.url, "jwks_uri": format!("{}/oauth/discovery/keys", it.url)}))
        },
        "describes another issuer",
    );
    check(
        &|it| it.describe(&json!({"issuer": it.url})),
        "describes no issuer",
    );
    check(
        &|it| it.answer_keys(Answer::Endless(1 << 20)),
        "more than 256 KiB",
    );
    check(
        &|it| {
            it.answer_keys(Answer::Json(
                json!({"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}),
            ))
        },
        "has none for RS256",
    );
    check(
        &|it| it.answer_keys(Answer::Status(500, String::new())),
        "responds with 500",
    );
    check(
        &|it| it.answer_keys(Answer::Silence),
        "no whole answer within 2s",
    );
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn the_keys_of_a_host_come_over_tls_from_whom_the_configuration_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, file) = certificate::make(folder.path(), "IP:127.0.0.1");
    let key = SigningKey::ec("a");
    let mut scene = Scene::of(Issuer::start_tls(&[&key], &cert, &file));
    let jwt = key.sign(&scene.issuer.claims("1"));
    let got = exchange(&scene.serve(), &jwt);
    assert_eq!(got.status, 503, "{}", got.text());
    let wanted = "certificate";
    assert!(got.detail().contains(wanted), "{}", got.detail());
    assert!(scene.issuer.requests().is_empty());
    scene
        .pairs
        .push(("FERRY_NETWORK_CA_FILE", cert.display().to_string()));
    assert_eq!(exchange(&scene.serve(), &jwt).status, 200);
}

#[test]
fn all_servers_of_a_store_agree() {
    let key = SigningKey::ec("a");
    let scene = Scene::new(&[&key]);
    let (one, other) = (scene.serve_in("one"), scene.serve_in("other"));
    let jwt = key.sign(&scene.issuer.claims("1"));
    let issued = token(&one, &jwt);
    check_refused(&other, &jwt, "used already");
    assert_eq!(read(&other, &issued).status, 200);
    assert_eq!(revoke(&one, &issued).status, 204);
    // What changes something is looked at in the store, and the rest within seconds.
    assert_eq!(revoke(&other, &issued).status, 401);
    other.wait_for("known", || read(&other, &issued).status == 401);
    let again = token(&other, &key.sign(&scene.issuer.claims("2")));
    one.kill();
    let one = scene.serve_in("one");
    one.wait_for("ready for jobs", || read(&one, &again).status == 200);
    let check_mode = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    };
    let state = scene.site.folder.path().join("store/state/trusted");
    check_mode(&state.join("key"));
    let secret = std::fs::read_to_string(state.join("key")).unwrap();
    for text in [one.log(), other.log()] {
        assert!(!text.contains(secret.trim()) && !text.contains(&again));
    }
    // Two who use a token at the same time: one does.
    let jwt = key.sign(&scene.issuer.claims("3"));
    let statuses = std::thread::scope(|scope| {
        let asking: Vec<_> = [&one, &other, &one, &other]
            .map(|server| scope.spawn(|| exchange(server, &jwt).status))
            .into_iter()
            .collect();
        asking
            .into_iter()
            .map(|it| it.join().unwrap())
            .collect::<Vec<_>>()
    });
    let mut statuses = statuses;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400]);
}

#[test]
fn a_bucket_keeps_what_servers_agree_on() {
    let key = SigningKey::ed("a");
    let scene = Scene::new(&[&key]);
    let s3 = S3::start(&scene.site.folder.path().join("s3"));
    let (one, other) = (
        s3.serve(&scene.site, "one", &scene.pairs()),
        s3.serve(&scene.site, "other", &scene.pairs()),
    );
    let jwt = key.sign(&scene.issuer.claims("1"));
    let issued = token(&one, &jwt);
    check_refused(&other, &jwt, "used already");
    other.wait_for("ready for jobs", || read(&other, &issued).status == 200);
    assert_eq!(revoke(&one, &issued).status, 204);
    assert_eq!(revoke(&other, &issued).status, 401);
    let state = files_in(
        &scene
            .site
            .folder
            .path()
            .join("s3/crates/kept/here/state/trusted"),
    );
    let named = |part: &str| {
        state
            .iter()
            .filter(|path| path.display().to_string().contains(part))
            .count()
    };
    assert_eq!(
        (named("/used/"), named("/revoked/"), named("/key")),
        (1, 1, 1),
        "{state:?}"
    );
}

#[test]
fn a_token_is_valid_for_half_an_hour_by_the_servers_clock() {
    let key = SigningKey::ed("a");
    let scene = Scene::new(&[&key]);
    let server = scene.serve();
    let issued = token(&server, &key.sign(&scene.issuer.claims("1")));
    let now = jiff::Timestamp::now();
    drop(server);
    let later = |minutes: i64| now + jiff::SignedDuration::from_mins(minutes);
    let server = ClockedServer::start(&scene.site, &scene.pairs(), later(29));
    let status = || server.get_with(INDEX, &[("authorization", &issued)]);
    server.wait_for("ready for jobs", || status().status == 200);
    server.set_clock(later(31));
    let got = status();
    assert_eq!(got.status, 401);
    let wanted = "the short-lived token of `127.0.0.1/rust/core` expired on";
    assert!(got.detail().starts_with(wanted), "{}", got.detail());
}

#[test]
fn cargo_login_leads_to_a_page_that_says_how_to_get_a_token() {
    let scene = Scene::new(&[&SigningKey::ed("a")]);
    let server = scene.serve();
    let page = server.get("/private/me");
    assert_eq!(page.status, 200);
    for text in [
        "crates-ferry token add NAME",
        "cargo login --registry private",
        "A job of CI needs none",
    ] {
        assert!(page.text().contains(text), "{text}: {}", page.text());
    }
    let got = revoke(&server, "unknown");
    let wanted = format!("Cargo login_url=\"{}\"", server.url("/private/me"));
    assert_eq!(got.header("www-authenticate"), Some(wanted.as_str()));
    // Without rules nobody is trusted.
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"bytes");
    let server = site.serve(&[]);
    let got = server
        .ask("POST", TOKENS, &[], b"{\"jwt\":\"a.b.c\"}")
        .unwrap();
    assert_eq!(
        (
            got.status,
            got.detail().contains("private.trusted has no rules")
        ),
        (404, true)
    );
    assert_eq!(read(&server, "ferry_tp_a.b").status, 200);
    assert_eq!(revoke(&server, "ferry_tp_a.b").status, 401);
    assert!(!server.get("/private/me").text().contains("A job of CI"));
}

#[test]
fn the_job_for_gitlab_publishes_with_a_token_that_it_gets_and_revokes() {
    use std::os::unix::fs::PermissionsExt as _;

    let key = SigningKey::rsa("a");
    let scene = Scene::new(&[&key]);
    let server = scene.serve();
    let jobs: serde_yaml::Value =
        serde_yaml::from_str(include_str!("../../../ci/publish.gitlab-ci.yml")).unwrap();
    let job = &jobs[".crates-ferry-publish"];
    assert_eq!(job["id_tokens"]["CRATES_FERRY_JWT"]["aud"], "crates-ferry");
    let script = job["script"][0].as_str().unwrap();
    // In place of cargo: what it is called with, and what its token is worth then.
    let folder = scene.site.folder.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let cargo = folder.join("cargo");
    let text = format!(
        "#!/bin/sh\necho \"$@\"\necho \"$CARGO_REGISTRIES_MIRROR_TOKEN\" >token\ncurl -s -o /dev/null -w '%{{http_code}}\\n' -H \"authorization: $CARGO_REGISTRIES_PRIVATE_TOKEN\" '{}'\n",
        server.url(INDEX)
    );
    std::fs::write(&cargo, text).unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let run = |jwt: &str| {
        let mut command = std::process::Command::new("bash");
        command
            .args(["-eo", "pipefail", "-c", script])
            .current_dir(&folder)
            .env_clear();
        command
            .env("PATH", format!("{}:{path}", folder.display()))
            .env("CRATES_FERRY_URL", server.url(""))
            .env("CRATES_FERRY_JWT", jwt)
            .env("CRATES_FERRY_PUBLISH", "--package acme-core");
        command.output().unwrap()
    };
    let jwt = key.sign(&scene.issuer.claims("1"));
    let output = run(&jwt);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    assert_eq!(
        printed,
        "publish --registry private --package acme-core\n200\n"
    );
    let token = std::fs::read_to_string(folder.join("token")).unwrap();
    assert!(token.starts_with("ferry_tp_"));
    assert_eq!(read(&server, token.trim()).status, 401);
    let again = run(&jwt);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        !again.status.success() && said.contains("used already"),
        "{said}"
    );
}
