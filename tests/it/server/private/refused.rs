//! What is refused, and how that is said.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;

use super::{Registry, Version, body, entry, get, put};
use crate::support::crate_archive::crate_archive;
use crate::support::server::printed;
use crate::support::upstream::{Commit, IndexLine};

fn version<'a>(name: &'a str, version: &'a str) -> Version<'a> {
    Version {
        name,
        version,
        content: "",
    }
}

#[test]
fn a_name_of_the_public_index_is_refused_unless_it_is_named() {
    let mut registry = Registry::new();
    registry.site.publish("serde-json", "1.0.0", b"bytes");
    let token = registry.publisher("alice");
    let server = registry.serve(&[]);
    for name in ["serde-json", "serde_json", "Serde_Json"] {
        let got = version(name, "1.0.0").publish(&server, &token);
        assert_eq!(got.status, 403);
        assert!(
            got.detail()
                .contains("the public index has a crate `serde-json`"),
            "{}",
            got.text()
        );
        assert!(got.detail().contains("private.names"), "{}", got.text());
    }
    assert_eq!(
        version("serde-jsonx", "1.0.0")
            .publish(&server, &token)
            .status,
        200
    );
    assert!(registry.files().len() == 1, "no file of what is refused");
    drop(server);

    let server = registry.serve(&[("FERRY_PRIVATE_NAMES", "acme-*,serde_json")]);
    // Reserved: not taken from upstream any more.
    assert_eq!(server.entry("serde-json").status, 404);
    let got = version("serde-json", "1.0.0").publish(&server, &token);
    assert_eq!(got.status, 200);
    assert!(
        got.text()
            .contains("the public index has a crate `serde-json`"),
        "{}",
        got.text()
    );
    let got = version("other", "1.0.0").publish(&server, &token);
    assert!(
        got.status == 403 && got.detail().contains("acme-*, serde_json (private.names)"),
        "{}",
        got.text()
    );
    let got = version("acme_core", "1.0.0").publish(&server, &token);
    assert!(
        got.status == 200 && got.text().contains("\"other\":[]"),
        "{}",
        got.text()
    );
    let got = version("Acme-Core", "1.0.0").publish(&server, &token);
    assert!(
        got.status == 400 && got.detail().contains("is called `acme_core`"),
        "{}",
        got.text()
    );
}

#[test]
fn a_name_that_is_nearly_that_of_a_public_crate_is_warned_of() {
    let mut registry = Registry::new();
    let needed = Commit::publish("frobnicate", &[IndexLine::new("1.0.0")]);
    let needs = |number| {
        let line = IndexLine::new("1.0.0").dep("frobnicate", "^1");
        Commit::publish(&format!("user-{number}"), &[line])
    };
    let commits: Vec<_> = std::iter::once(needed).chain((0..20).map(needs)).collect();
    registry.site.index.commit(commits);
    let server = registry.serve(&[]);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    let token = registry.publisher("alice");
    let got = version("frobnicat", "1.0.0").publish(&server, &token);
    let warning = "`frobnicat` is a typing error away from `frobnicate`, which 20 crates of the public index depend on";
    assert!(
        got.status == 200 && got.text().contains(warning),
        "{}",
        got.text()
    );
    // Once: who publishes it again knows.
    let got = version("frobnicat", "1.1.0").publish(&server, &token);
    assert!(
        got.status == 200 && got.text().contains("\"other\":[]"),
        "{}",
        got.text()
    );
    let got = version("user-1000", "1.0.0").publish(&server, &token);
    assert!(got.text().contains("\"other\":[]"), "{}", got.text());
}

#[test]
fn a_token_publishes_what_its_scope_and_the_owners_allow() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let alice = registry.token("alice", &["read", "publish:acme-*"]);
    let bob = registry.token("bob", &["publish:acme-core"]);
    let got = version("other", "1.0.0").publish(&server, &alice);
    assert!(
        got.status == 403 && got.detail().contains("`publish:other`"),
        "{}",
        got.text()
    );
    assert_eq!(
        version("acme-core", "1.0.0")
            .publish(&server, &alice)
            .status,
        200
    );
    let got = version("acme-core", "1.1.0").publish(&server, &bob);
    assert!(
        got.status == 403 && got.detail().contains("`bob` is not an owner"),
        "{}",
        got.text()
    );
    let yank = |token: &str| {
        let path = "/private/api/v1/crates/acme-core/1.0.0/yank";
        server
            .ask("DELETE", path, &[("authorization", token)], b"")
            .unwrap()
    };
    let got = yank(&alice);
    assert!(
        got.status == 403 && got.detail().contains("yank:"),
        "{}",
        got.text()
    );
    assert_eq!(
        server
            .ask(
                "DELETE",
                "/private/api/v1/crates/acme-core/1.0.0/yank",
                &[],
                b""
            )
            .unwrap()
            .status,
        401
    );
    // A group is a file in the repository.
    let add = |owner: &str| {
        let body = format!("{{\"users\":[\"{owner}\"]}}");
        let path = "/private/api/v1/crates/acme-core/owners";
        server
            .ask("PUT", path, &[("authorization", &alice)], body.as_bytes())
            .unwrap()
    };
    let got = add("group:release");
    assert!(
        got.status == 400 && got.detail().contains(".groups/release"),
        "{}",
        got.text()
    );
    let commit = Commit::new("Make the group").file(".groups/release", "bob\n");
    crate::support::upstream::commit_to(&registry.repository, [commit]);
    assert_eq!(add("group:release").status, 200);
    assert_eq!(
        version("acme-core", "1.1.0").publish(&server, &bob).status,
        200
    );
    let owners = get(&server, &alice, "/private/api/v1/crates/acme-core/owners").text();
    assert!(
        owners.contains("\"login\":\"alice\"") && owners.contains("\"login\":\"group:release\""),
        "{owners}"
    );
    registry.fsck();
}

#[test]
fn a_request_that_is_not_what_cargo_sends_changes_nothing() {
    let registry = Registry::new();
    let server = registry.serve(&[("FERRY_PRIVATE_MAX_SIZE", "100KiB")]);
    let token = registry.publisher("alice");
    let json = serde_json::json!({ "name": "foo", "vers": "1.0.0" });
    let manifest = "[package]\nname = \"foo\"\nversion = \"1.0.0\"\n";
    let with = |files: &[(&str, &str)]| body(&json, &crate_archive("foo", "1.0.0", files));
    let good = with(&[("Cargo.toml", manifest)]);
    let other = crate_archive("bar", "1.0.0", &[("Cargo.toml", manifest)]);
    let noise = String::from_utf8_lossy(&crate::support::server::noise(150 << 10, 1)).into_owned();
    for (request, status, why) in [
        (
            good[..good.len() - 1].to_vec(),
            400,
            "ends before its crate file",
        ),
        (Vec::new(), 400, "ends before its JSON"),
        (
            body(&serde_json::json!({"name": 1}), b""),
            400,
            "cannot be read",
        ),
        (body(&json, b"no archive"), 400, "cannot be unpacked"),
        (body(&json, &other), 400, "not below foo-1.0.0/"),
        (with(&[("src/lib.rs", "")]), 400, "no Cargo.toml"),
        (
            with(&[("Cargo.toml", manifest), ("cargo.toml", "")]),
            400,
            "one file on macOS or Windows",
        ),
        (
            with(&[(
                "Cargo.toml",
                "[package]\nname = \"foo\"\nversion = \"1.0.1\"\n",
            )]),
            400,
            "does not agree",
        ),
        (
            with(&[(
                "Cargo.toml",
                &format!("{manifest}[dependencies]\nhex = \"1\"\n"),
            )]),
            400,
            "does not agree",
        ),
        (
            with(&[("Cargo.toml", manifest), ("a", &noise)]),
            413,
            "private.max_size",
        ),
        (vec![0; 6 << 20], 413, "larger than"),
    ] {
        let got = put(&server, &token, &request);
        assert_eq!(got.status, status, "{why}: {}", got.text());
        assert!(got.detail().contains(why), "{why}: {}", got.text());
    }
    assert!(registry.files().is_empty());
    assert_eq!(entry(&server, &token, "foo").status, 404);
    assert_eq!(put(&server, &token, &good).status, 200);
}

#[test]
fn what_the_hosts_hook_says_reaches_cargo() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let token = registry.publisher("alice");
    let hook = registry.repository.join("hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho 'GitLab: You are not allowed to push code to protected branches on this project.' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    let got = version("foo", "1.0.0").publish(&server, &token);
    assert_eq!(got.status, 503);
    let detail = got.detail();
    assert!(
        detail.contains("the private index was not changed")
            && detail.contains("protected branches"),
        "{detail}"
    );
    std::fs::remove_file(&hook).unwrap();
    assert_eq!(version("foo", "1.0.0").publish(&server, &token).status, 200);
    // Away: it says so, and goes on where it can.
    let away = registry.site.folder.path().join("away.git");
    std::fs::rename(&registry.repository, &away).unwrap();
    let got = version("foo", "1.1.0").publish(&server, &token);
    assert!(
        got.status == 503 && got.detail().contains("does not exist"),
        "{}",
        got.text()
    );
    assert_eq!(entry(&server, &token, "foo").status, 200);
    std::fs::rename(&away, &registry.repository).unwrap();
    assert_eq!(version("foo", "1.1.0").publish(&server, &token).status, 200);
}

#[test]
fn an_owner_without_a_token_is_added_with_a_warning() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let alice = registry.publisher("alice");
    assert_eq!(
        version("acme-core", "1.0.0")
            .publish(&server, &alice)
            .status,
        200
    );
    registry.publisher("carol");
    let add = |names: &[&str]| {
        let body = serde_json::json!({ "users": names }).to_string();
        let headers = [("authorization", alice.as_str())];
        let path = "/private/api/v1/crates/acme-core/owners";
        let got = server.ask("PUT", path, &headers, body.as_bytes()).unwrap();
        assert_eq!(got.status, 200, "{}", got.text());
        let said: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        said["msg"].as_str().unwrap().to_owned()
    };
    assert_eq!(add(&["carol"]), "carol added to the owners of acme-core");
    assert_eq!(
        add(&["carol", "carrol", "bbo"]),
        "carol, carrol, bbo added to the owners of acme-core; warning: this server has no token of the name `carrol`, `bbo`: \
         whoever gets one will be an owner"
    );
}

#[test]
fn a_token_that_is_revoked_while_a_version_arrives_publishes_nothing() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let (token, other) = (registry.publisher("alice"), registry.publisher("bob"));
    let body = version("acme-core", "1.0.0").body();
    let head = format!(
        "PUT /private/api/v1/crates/new HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(first.contains("100 Continue"), "{first}");
    printed(&registry.site.run(&["token", "revoke", "alice"]), 0);
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    lines.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("401 Unauthorized"), "{answer}");
    assert!(registry.files().is_empty());
    assert_eq!(
        version("acme-core", "1.0.0")
            .publish(&server, &other)
            .status,
        200
    );
}
