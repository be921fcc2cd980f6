//! Several servers on one repository and one store.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Registry, Version, entry, get, lines};
use crate::support::server::{Server, sha256};

/// Starts a second server with a folder of its own.
fn second(registry: &Registry) -> Server {
    let data = registry
        .site
        .folder
        .path()
        .join("second")
        .display()
        .to_string();
    let store = registry.site.data().join("crates").display().to_string();
    let tokens = registry.site.data().join("tokens").display().to_string();
    registry.serve(&[
        ("FERRY_SERVE_DATA_DIR", &data),
        ("FERRY_SERVE_STORE", &store),
        ("FERRY_SERVE_AUTH", &tokens),
    ])
}

#[test]
fn publishes_at_two_servers_at_once_are_neither_lost_nor_doubled() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let servers = [registry.serve(&[]), second(&registry)];
    let first = Version {
        name: "acme-core",
        version: "0.0.0",
        content: "",
    };
    assert_eq!(first.publish(&servers[0], &token).status, 200);
    // Different versions by all, and in between one version by all with different bytes.
    let published = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..8)
            .map(|number: usize| {
                let (server, token, registry) = (&servers[number % 2], &token, &registry);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    for round in 0..4 {
                        let content = format!("// {number}\n");
                        for version in [format!("1.{number}.{round}"), format!("2.0.{round}")] {
                            let version = Version {
                                name: "acme-core",
                                version: &version,
                                content: &content,
                            };
                            let got = version.publish(server, token);
                            match got.status {
                                200 => done.push((version.version.to_owned(), version.checksum())),
                                _ => assert!(
                                    got.detail().contains("is already uploaded"),
                                    "{}",
                                    got.text()
                                ),
                            }
                        }
                    }
                    let _ = registry;
                    done
                })
            })
            .collect();
        let published = publishers
            .into_iter()
            .flat_map(|publisher| publisher.join().unwrap());
        published.collect::<BTreeSet<_>>()
    });
    assert_eq!(published.len(), 8 * 4 + 4, "{published:?}");
    let listed: Vec<_> = lines(&registry.repository, "acme-core")
        .iter()
        .map(|line| {
            (
                line["vers"].as_str().unwrap().to_owned(),
                line["cksum"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(listed.len(), published.len() + 1);
    assert!(published.iter().all(|version| listed.contains(version)));
    registry.fsck();
    for (version, checksum) in &published {
        let path = format!("/private/api/v1/crates/acme-core/{version}/download");
        let got = get(&servers[1], &token, &path);
        assert_eq!((got.status, sha256(&got.body)), (200, checksum.clone()));
    }
}

#[test]
fn another_server_shows_a_publish_within_two_seconds() {
    let registry = Registry::new();
    let token = registry.publisher("alice");
    let (one, other) = (registry.serve(&[]), second(&registry));
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        assert!(
            entry(&other, &token, "acme-core")
                .text()
                .lines()
                .all(|line| !line.contains(version))
        );
        let published = Version {
            name: "acme-core",
            version,
            content: "",
        };
        assert_eq!(published.publish(&one, &token).status, 200);
        let at = Instant::now();
        // Here at once, there soon.
        assert!(entry(&one, &token, "acme-core").text().contains(version));
        other.wait_for("shown", || {
            entry(&other, &token, "acme-core").text().contains(version)
        });
        assert!(at.elapsed() < Duration::from_secs(2), "{:?}", at.elapsed());
    }
    let got = entry(&other, &token, "acme-core");
    assert_eq!(got.header("cache-control"), Some("no-cache"));
    let tag = got.header("etag").unwrap().to_owned();
    let again = other.get_with(
        "/private/index/ac/me/acme-core",
        &[("authorization", &token), ("if-none-match", &tag)],
    );
    assert_eq!(again.status, 304);
}
