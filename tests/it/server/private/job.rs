//! Jobs of CI that publish by the tokens of their host.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::{Registry, Version};
use crate::server::real_cargo::Project;
use crate::support::issuer::{Issuer, SigningKey};
use crate::support::server::Server;

const TOKENS: &str = "/private/api/v1/trusted_publishing/tokens";

/// Runs the job for GitLab, with the real cargo, on a package of this name.
fn publish(server: &Server, project: &Project, jwt: &str, name: &str) -> Output {
    let folder = project.folder.join(name);
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"1.1.0\"\nedition = \"2021\"\ndescription = \"One\"\nlicense = \"MIT\"\n\n[workspace]\n"
    );
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/lib.rs"), "pub fn one() -> u8 { 1 }\n").unwrap();
    let jobs: serde_yaml::Value =
        serde_yaml::from_str(include_str!("../../../../ci/publish.gitlab-ci.yml")).unwrap();
    let job = &jobs[".crates-ferry-publish"];
    let url = server.url("");
    let index = job["variables"]["CARGO_REGISTRIES_PRIVATE_INDEX"].as_str();
    let mut command = Command::new("bash");
    command
        .args(["-eo", "pipefail", "-c", job["script"][0].as_str().unwrap()])
        .current_dir(&folder)
        .env_clear();
    for name in ["PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let provider = "CARGO_REGISTRIES_PRIVATE_CREDENTIAL_PROVIDER";
    command.env(provider, job["variables"][provider].as_str().unwrap());
    command
        .env("CARGO_HOME", &project.home)
        .env("CRATES_FERRY_URL", &url)
        .env("CRATES_FERRY_JWT", jwt)
        .env("CRATES_FERRY_PUBLISH", "--allow-dirty --color never")
        .env(
            "CARGO_REGISTRIES_PRIVATE_INDEX",
            index.unwrap().replace("$CRATES_FERRY_URL", &url),
        );
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_job_publishes_the_crates_of_its_rule_whoever_owns_them_and_no_others() {
    let key = SigningKey::ec("a");
    let issuer = Issuer::start(&[&key]);
    let rule = format!(
        "issuer={} audience=crates-ferry project=rust/* crates=acme-*",
        issuer.url
    );
    let registry = Registry::new();
    let server = registry.serve(&[("FERRY_PRIVATE_TRUSTED", &rule)]);
    let alice = registry.publisher("alice");
    let first = Version {
        name: "acme-core",
        version: "1.0.0",
        content: "",
    };
    assert_eq!(first.publish(&server, &alice).status, 200);
    let project = Project::new(&registry.site, "job");
    let jwt = |id: &str| key.sign(&issuer.claims(id));
    let output = publish(&server, &project, &jwt("1"), "acme-core");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(registry.lines("acme-core").len(), 2);
    let log = registry.log();
    assert!(log[0].starts_with("127.0.0.1/rust/core: "), "{log:?}");
    let output = publish(&server, &project, &jwt("2"), "other");
    let wanted =
        "the short-lived token of `127.0.0.1/rust/core` does not have the scope `publish:other`";
    assert!(
        !output.status.success() && said(&output).contains(wanted),
        "{}",
        said(&output)
    );
    // It yanks nothing, either, and another token that is no owner publishes nothing.
    let body = json!({"jwt": jwt("3")}).to_string();
    let got = server.ask("POST", TOKENS, &[], body.as_bytes()).unwrap();
    let token: Value = serde_json::from_slice(&got.body).unwrap();
    let yank = |token: &str| {
        let headers = [("authorization", token)];
        let path = "/private/api/v1/crates/acme-core/1.0.0/yank";
        server.ask("DELETE", path, &headers, b"").unwrap()
    };
    let got = yank(token["token"].as_str().unwrap());
    assert_eq!(
        (got.status, got.detail().contains("`yank:NAME`")),
        (403, true),
        "{}",
        got.text()
    );
    // What it changed of the owners would last longer than it.
    let owners = |verb: &str| {
        let headers = [("authorization", token["token"].as_str().unwrap())];
        let path = "/private/api/v1/crates/acme-core/owners";
        let body = json!({"users": ["alice"]}).to_string();
        server.ask(verb, path, &headers, body.as_bytes()).unwrap()
    };
    for verb in ["PUT", "DELETE"] {
        let got = owners(verb);
        assert_eq!(
            (got.status, got.detail().contains("does not change owners")),
            (403, true),
            "{verb}: {}",
            got.text()
        );
    }
    let next = Version {
        version: "1.2.0",
        ..first
    };
    let bob = registry.publisher("bob");
    assert_eq!(next.publish(&server, &bob).status, 403);
    assert_eq!(yank(&alice).status, 200);
    registry.fsck();
}

#[test]
fn cargo_login_shows_where_one_gets_a_token() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let project = Project::new(&registry.site, "login");
    let index = format!("sparse+{}", server.url("/private/index/"));
    let pairs = [
        ("CARGO_REGISTRIES_PRIVATE_INDEX", index.as_str()),
        (
            "CARGO_REGISTRIES_PRIVATE_CREDENTIAL_PROVIDER",
            "cargo:token",
        ),
    ];
    let output = project.cargo_with(&pairs, &["login", "--registry", "private"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
    assert!(shown.contains(&server.url("/private/me")), "{shown}");
}
