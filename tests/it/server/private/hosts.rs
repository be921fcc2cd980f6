//! Where the repository is: on an sshd, in a bucket's company, or `up`'s own.

use super::{Registry, Version, entry, get, lines};
use crate::support::s3::S3;
use crate::support::server::{Server, Site, printed};
use crate::support::sshd::{Options, Sshd};
use crate::support::upstream::{Commit, commit_to};

const CORE: Version<'static> = Version {
    name: "acme-core",
    version: "1.0.0",
    content: "",
};

#[test]
fn the_repository_may_be_behind_a_real_sshd_and_hold_something_already() {
    let registry = Registry::new();
    let Some(sshd) = Sshd::start(&Options::new(registry.site.folder.path())) else {
        return;
    };
    // As a host makes a new project: with a README, and nothing else.
    commit_to(
        &registry.repository,
        [Commit::new("Initial commit").file("README.md", "# Ours\n")],
    );
    let token = registry.publisher("alice");
    let (url, key, hosts) = (
        sshd.url("/private.git"),
        sshd.private_key_text(),
        sshd.known_hosts_line(),
    );
    let pairs = [
        ("FERRY_PRIVATE_INDEX", url.as_str()),
        ("SSH_PRIVATE_KEY", &key),
        ("SSH_KNOWN_HOSTS", &hosts),
    ];
    let server = registry.site.serve(&pairs);
    let got = CORE.publish(&server, &token);
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(registry.lines("acme-core").len(), 1);
    let began = std::time::Instant::now();
    for minor in 1..4 {
        let version = format!("1.{minor}.0");
        let next = Version {
            version: &version,
            ..CORE
        };
        assert_eq!(next.publish(&server, &token).status, 200);
    }
    eprintln!("a publish over ssh: {:?}", began.elapsed() / 3);
    assert_eq!(
        entry(&server, &token, "acme-core").text().lines().count(),
        4
    );
    registry.fsck();
    assert_eq!(
        crate::support::repo::git(&registry.repository, &["show", "HEAD:README.md"]),
        "# Ours"
    );
}

#[test]
fn up_makes_a_repository_of_its_own() {
    let site = Site::new();
    let out = site.folder.path().join("printed");
    let start = || Server::up(&site.variables(), &[], &out);
    let server = start();
    server.wait_until_ready();
    assert_eq!(server.get("/private/index/config.json").status, 401);
    let added = site.run(&["token", "add", "me", "--scope", "admin"]);
    let added = printed(&added, 0);
    let token = added.split_whitespace().last().unwrap();
    let config = get(&server, token, "/private/index/config.json").text();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["dl"], server.url("/private/api/v1/crates"));
    assert_eq!(config["api"], server.url("/private"));
    assert_eq!(config["auth-required"], true);
    assert_eq!(CORE.publish(&server, token).status, 200);
    server.kill();
    let server = start();
    server.wait_until_ready();
    assert_eq!(entry(&server, token, "acme-core").status, 200);
    assert_eq!(
        lines(&site.data().join("private/repository.git"), "acme-core").len(),
        1
    );
    // The mirror is open to all, as it was.
    assert_eq!(server.get("/index/config.json").status, 200);
}

#[test]
fn files_may_be_in_a_bucket() {
    let registry = Registry::new();
    let folder = registry.site.folder.path().join("s3");
    let s3 = S3::start(&folder);
    let token = registry.publisher("alice");
    let variables = s3.variables();
    let pairs: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let server = registry.serve(&pairs);
    assert_eq!(CORE.publish(&server, &token).status, 200);
    let path = "/private/api/v1/crates/acme-core/1.0.0/download";
    assert_eq!(get(&server, &token, path).body, CORE.file());
    let head = server
        .ask("HEAD", path, &[("authorization", &token)], b"")
        .unwrap();
    assert_eq!(
        head.header("content-length"),
        Some(CORE.file().len().to_string().as_str())
    );
    assert!(
        crate::support::server::files_in(&folder)
            .iter()
            .any(|path| path.to_str().unwrap().contains("/private/ac/me/acme-core/"))
    );
    drop(s3);
    let next = Version {
        version: "1.1.0",
        ..CORE
    };
    let got = next.publish(&server, &token);
    assert_eq!(got.status, 503, "{}", got.text());
    // Nothing names what is not stored.
    assert_eq!(registry.lines("acme-core").len(), 1);
}
