//! Several servers on one repository behind sshd, and one bucket.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Registry, Version, entry, get, lines};
use crate::support::s3::S3;
use crate::support::server::{Server, files_in, sha256};
use crate::support::sshd::{Options, Sshd};

/// The variables of a server with its own folder, whose repository is behind sshd, and whose files are in the bucket.
fn variables(registry: &Registry, sshd: &Sshd, s3: &S3, data: &str) -> Vec<(String, String)> {
    let folder = registry.site.folder.path();
    let own = [
        ("FERRY_PRIVATE_INDEX", sshd.url("/private.git")),
        ("SSH_PRIVATE_KEY", sshd.private_key_text()),
        ("SSH_KNOWN_HOSTS", sshd.known_hosts_line()),
        (
            "FERRY_SERVE_DATA_DIR",
            folder.join(data).display().to_string(),
        ),
        (
            "FERRY_SERVE_AUTH",
            folder.join("data/tokens").display().to_string(),
        ),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    s3.variables().into_iter().chain(own).collect()
}

fn serve(registry: &Registry, variables: &[(String, String)]) -> Server {
    let pairs: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    registry.site.serve(&pairs)
}

/// Returns the private files of a bucket: their paths below the prefix, and the checksums of their bytes.
fn stored(folder: &Path) -> BTreeMap<String, String> {
    let prefix = folder.join("crates/kept/here/private");
    let files = files_in(&prefix).into_iter().map(|path| {
        let below = path.strip_prefix(&prefix).unwrap().display().to_string();
        (below, sha256(&std::fs::read(&path).unwrap()))
    });
    files.collect()
}

#[test]
fn publishes_at_two_servers_of_one_bucket_are_neither_lost_nor_doubled() {
    let registry = Registry::new();
    let Some(sshd) = Sshd::start(&Options::new(registry.site.folder.path())) else {
        return;
    };
    let folder = registry.site.folder.path().join("s3");
    let s3 = S3::start(&folder);
    let token = registry.publisher("alice");
    let servers =
        ["one", "other"].map(|data| serve(&registry, &variables(&registry, &sshd, &s3, data)));
    // Each client has a crate of its own and one that all publish to: in each round one of them gets the number.
    let published = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|number: usize| {
                let (server, token) = (&servers[number % 2], &token);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    for round in 0..3 {
                        let content = format!("// {number}\n");
                        let numbered = format!("1.{round}.0");
                        for name in [format!("own-{number}"), "shared".to_owned()] {
                            let version = Version {
                                name: &name,
                                version: &numbered,
                                content: &content,
                            };
                            let got = version.publish(server, token);
                            match got.status {
                                200 => {
                                    done.push((name.clone(), numbered.clone(), version.checksum()))
                                }
                                _ => assert!(
                                    name == "shared"
                                        && got.detail().contains("is already uploaded"),
                                    "{}",
                                    got.text()
                                ),
                            }
                        }
                    }
                    done
                })
            })
            .collect();
        let published = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        published.collect::<Vec<_>>()
    });
    assert_eq!(published.len(), 8 * 3 + 3, "{published:?}");
    registry.fsck();
    assert_eq!(registry.log().len(), published.len());
    let files = stored(&folder);
    for (name, version, checksum) in &published {
        let lines = lines(&registry.repository, name);
        let named = lines.iter().filter(|line| line["vers"] == version.as_str());
        let named: Vec<_> = named
            .map(|line| line["cksum"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(named, std::slice::from_ref(checksum), "{name} {version}");
        let path = format!(
            "{}/{name}-{version}/{checksum}.crate",
            crate::support::upstream::index_path(name)
        );
        assert_eq!(files.get(&path), Some(checksum), "{name} {version}");
        for server in &servers {
            server.wait_for("shown", || {
                entry(server, &token, name).text().contains(checksum)
            });
            let path = format!("/private/api/v1/crates/{name}/{version}/download");
            assert_eq!(sha256(&get(server, &token, &path).body), *checksum);
        }
    }
}

#[test]
fn servers_that_take_turns_see_each_change_of_the_other() {
    let registry = Registry::new();
    let Some(sshd) = Sshd::start(&Options::new(registry.site.folder.path())) else {
        return;
    };
    let s3 = S3::start(&registry.site.folder.path().join("s3"));
    let token = registry.publisher("alice");
    let servers =
        ["one", "other"].map(|data| serve(&registry, &variables(&registry, &sshd, &s3, data)));
    let yank = |server: &Server, method: &str, verb: &str| {
        let path = format!("/private/api/v1/crates/acme-core/0.0.0/{verb}");
        let got = server.ask(method, &path, &[("authorization", &token)], b"");
        assert_eq!(got.unwrap().status, 200);
    };
    // What a yank and its undoing write has been in the repository before.
    for round in 0..6 {
        for (server, other) in [(&servers[0], &servers[1]), (&servers[1], &servers[0])] {
            let number = registry_log_length(&registry);
            let version = format!("0.{number}.0");
            let version = Version {
                name: "acme-core",
                version: &version,
                content: "",
            };
            assert_eq!(version.publish(server, &token).status, 200);
            yank(other, "DELETE", "yank");
            yank(server, "PUT", "unyank");
        }
        let wanted =
            crate::support::repo::git(&registry.repository, &["show", "HEAD:ac/me/acme-core"]);
        for server in &servers {
            server.wait_for("shown", || {
                entry(server, &token, "acme-core").text().trim_end() == wanted
            });
        }
        assert_eq!(wanted.lines().count(), 2 * (round + 1));
    }
    registry.fsck();
    for server in &servers {
        assert!(!server.log().contains("damaged"), "{}", server.log());
    }
}

/// Returns how many commits there are.
fn registry_log_length(registry: &Registry) -> usize {
    match std::fs::read_dir(registry.repository.join("refs/heads"))
        .unwrap()
        .next()
    {
        Some(_) => registry.log().len(),
        None => 0,
    }
}

#[test]
fn only_a_publish_needs_the_bucket() {
    let registry = Registry::new();
    let folder = registry.site.folder.path().join("s3");
    let s3 = S3::start(&folder);
    let address = s3.address();
    let token = registry.publisher("alice");
    let pairs = s3.variables();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let server = registry.serve(&pairs);
    let version = |version| Version {
        name: "acme-core",
        version,
        content: "",
    };
    assert_eq!(version("1.0.0").publish(&server, &token).status, 200);
    drop(s3);
    let got = version("1.1.0").publish(&server, &token);
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.header("retry-after").is_some());
    assert_eq!(registry.lines("acme-core").len(), 1);
    let owner = br#"{"users":["bob"]}"#;
    for (method, verb, body) in [
        ("DELETE", "1.0.0/yank", &b""[..]),
        ("PUT", "1.0.0/unyank", b""),
        ("PUT", "owners", owner),
        ("GET", "owners", b""),
        ("DELETE", "owners", owner),
    ] {
        let path = format!("/private/api/v1/crates/acme-core/{verb}");
        let got = server
            .ask(method, &path, &[("authorization", &token)], body)
            .unwrap();
        assert_eq!(got.status, 200, "{method} {verb}: {}", got.text());
    }
    let download = "/private/api/v1/crates/acme-core/1.0.0/download";
    let got = get(&server, &token, download);
    assert!(
        got.status == 503 || got.status == 502,
        "{} {}",
        got.status,
        got.text()
    );
    let _s3 = S3::start_at(&folder, address);
    assert_eq!(version("1.1.0").publish(&server, &token).status, 200);
    assert_eq!(get(&server, &token, download).body, version("1.0.0").file());
    assert_eq!(stored(&folder).len(), 2);
}
