//! What the image is made of, held against its base.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::container::{Image, docker};
use crate::support::repo::git;

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Lists every file and folder of an image, with its size, what it is and who owns it; times differ anyway.
fn listing(image: &str) -> BTreeSet<String> {
    // What docker itself puts into each container is left out.
    let script = "find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o \
                  -type d -printf '%p %M %u\\n' -o -printf '%p %M %u %s\\n'";
    let run = ["run", "--rm", "--network", "none", "--user", "0"];
    let all = docker(&[&run[..], &["--entrypoint", "sh", image, "-c", script]].concat());
    let lines = all.lines().map(ToOwned::to_owned).collect::<BTreeSet<_>>();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("/bin/sh ") || line.starts_with("/usr/bin/sh "))
    );
    lines
}

#[test]
fn nothing_is_added_but_certificates_a_user_and_the_programs() {
    let Some(image) = Image::built() else {
        return;
    };
    let (base, ours) = (listing(&image.base), listing(&image.name));
    let changed: BTreeSet<&str> = base
        .symmetric_difference(&ours)
        .filter_map(|line| line.split(' ').next())
        .collect();
    let is_expected = |path: &&str| {
        let users = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];
        let file = path.strip_prefix("/etc/").unwrap_or_default();
        path.starts_with("/usr/local/bin/crates-ferry")
            || [CERTIFICATES, "/etc/ssl", "/etc/ssl/certs", "/ferry"].contains(path)
            || users.contains(&file.trim_end_matches('-'))
    };
    let unexpected: Vec<&&str> = changed.iter().filter(|path| !is_expected(path)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    let programs = [
        "/usr/local/bin/crates-ferry",
        "/usr/local/bin/crates-ferry-trigger",
    ];
    assert!(
        programs.iter().all(|program| changed.contains(program)) && changed.contains(CERTIFICATES)
    );
    let owned = |line: &String| {
        let mine = line.split(' ').nth(2) == Some("ferry") || line.contains(" 10001");
        mine.then(|| line.clone())
    };
    let owned: Vec<String> = ours.iter().filter_map(owned).collect();
    assert_eq!(owned, ["/ferry drwxr-xr-x ferry"]);
}

#[test]
fn the_certificates_are_debians_and_none_of_the_builders() {
    let Some(image) = Image::built() else {
        return;
    };
    let trusted = image.shell(&[], &format!("cat {CERTIFICATES}"));
    let trusted = bodies(&trusted);
    assert!(trusted.len() > 100, "{} certificates", trusted.len());
    let Ok(own) = std::fs::read_dir(Path::new("/usr/local/share/ca-certificates")) else {
        return;
    };
    for file in own {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for certificate in bodies(&text) {
            assert!(
                !trusted.contains(&certificate),
                "{} is in it",
                file.display()
            );
        }
    }
}

/// Returns what stands between the lines that begin and end certificates.
fn bodies(pem: &str) -> BTreeSet<String> {
    let pieces = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let body = |piece: &str| {
        piece
            .split("-----END")
            .next()
            .map(|text| text.split_whitespace().collect())
    };
    pieces.filter_map(body).collect()
}

#[test]
fn labels_say_what_it_is() {
    let Some(image) = Image::built() else {
        return;
    };
    let inspected = docker(&[
        "image",
        "inspect",
        "--format",
        "{{json .Config}}",
        &image.name,
    ]);
    let config: Value = serde_json::from_str(&inspected).unwrap();
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("title"), "crates-ferry");
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if root.join(".git").exists() {
        assert_eq!(label("revision"), git(root, &["rev-parse", "HEAD"]));
    }
    assert!(
        label("description")
            .as_str()
            .unwrap()
            .contains("crates.io index")
    );
    assert_eq!(config["Entrypoint"], serde_json::json!(["crates-ferry"]));
    assert_eq!(config["User"], "10001:10001");
    assert_eq!(config["Volumes"], Value::Null);
}
