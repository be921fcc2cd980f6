//! Each verb against a host that refuses, and without a git program.

use std::os::unix::fs::PermissionsExt;

use super::{Registry, Version, entry, get};
use crate::support::server::{Got, Server};
use crate::support::sshd::{Options, Sshd};

const CORE: Version<'static> = Version {
    name: "acme-core",
    version: "1.0.0",
    content: "",
};

const API: &str = "/private/api/v1/crates/acme-core";

/// What changes the index, one after the other: who asks, and what.
fn change(server: &Server, token: &str, verb: &str) -> Got {
    let ask = |method: &str, rest: &str, body: &[u8]| {
        let path = format!("{API}/{rest}");
        let asked = server.ask(method, &path, &[("authorization", token)], body);
        asked.unwrap()
    };
    let bob = br#"{"users":["bob"]}"#;
    match verb {
        "publish" => Version {
            version: "1.1.0",
            ..CORE
        }
        .publish(server, token),
        "yank" => ask("DELETE", "1.0.0/yank", b""),
        "unyank" => ask("PUT", "1.0.0/unyank", b""),
        "add an owner" => ask("PUT", "owners", bob),
        _ => ask("DELETE", "owners", bob),
    }
}

const VERBS: [&str; 5] = [
    "publish",
    "yank",
    "unyank",
    "add an owner",
    "remove an owner",
];

#[test]
fn a_protected_branch_refuses_each_verb_and_the_host_says_why() {
    let registry = Registry::new();
    let Some(sshd) = Sshd::start(&Options::new(registry.site.folder.path())) else {
        return;
    };
    let token = registry.publisher("alice");
    let server = registry.site.serve(&[
        ("FERRY_PRIVATE_INDEX", &sshd.url("/private.git")),
        ("SSH_PRIVATE_KEY", &sshd.private_key_text()),
        ("SSH_KNOWN_HOSTS", &sshd.known_hosts_line()),
    ]);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    let hook = registry.repository.join("hooks/pre-receive");
    let text = "#!/bin/sh\necho 'GitLab: You are not allowed to push code to protected branches on this project.' >&2\nexit 1\n";
    std::fs::write(&hook, text).unwrap();
    let mut commits = 1;
    for verb in VERBS {
        let protect = |mode| std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(mode));
        protect(0o755).unwrap();
        let before = entry(&server, &token, "acme-core").text();
        let got = change(&server, &token, verb);
        assert_eq!(got.status, 503, "{verb}: {}", got.text());
        let detail = got.detail();
        assert!(
            detail.contains("the private index was not changed")
                && detail.contains("protected branches"),
            "{verb}: {detail}"
        );
        assert_eq!(entry(&server, &token, "acme-core").text(), before, "{verb}");
        assert_eq!(registry.log().len(), commits, "{verb}");
        // git runs no hook that cannot be executed.
        protect(0o644).unwrap();
        let got = change(&server, &token, verb);
        assert_eq!(got.status, 200, "{verb}: {}", got.text());
        commits += 1;
        assert_eq!(registry.log().len(), commits, "{verb}");
    }
    registry.fsck();
}

#[test]
fn no_git_program_is_needed_for_a_repository_in_a_folder() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let nothing = registry.site.folder.path().join("no programs");
    std::fs::create_dir(&nothing).unwrap();
    let url = format!("file://{}", registry.repository.display());
    let server = registry.site.serve(&[
        ("PATH", &nothing.display().to_string()),
        ("FERRY_PRIVATE_INDEX", &url),
    ]);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    for verb in VERBS {
        let got = change(&server, &token, verb);
        assert_eq!(got.status, 200, "{verb}: {}", got.text());
    }
    assert_eq!(registry.log().len(), 1 + VERBS.len());
    assert_eq!(
        entry(&server, &token, "acme-core").text().lines().count(),
        2
    );
    assert_eq!(
        get(&server, &token, &format!("{API}/1.0.0/download")).body,
        CORE.file()
    );
    registry.fsck();
}
