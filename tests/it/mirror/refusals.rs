//! What a person must set right: keys, hosts, permissions. Each ends the program with its kind, its code and its words, and
//! the mirror is as it was.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::repo::git;
use crate::support::scene::{Scene, Transport};
use serde_json::Value;

/// One thing that is wrong, and what the program says of it.
struct Case {
    name: &'static str,
    /// The variables that differ from those with which the sync succeeds.
    variables: Vec<(&'static str, String)>,
    kind: &'static str,
    code: i32,
    says: &'static str,
}

fn case(
    name: &'static str,
    variables: Vec<(&'static str, String)>,
    (kind, code): (&'static str, i32),
    says: &'static str,
) -> Case {
    Case {
        name,
        variables,
        kind,
        code,
        says,
    }
}

const CONFIG: (&str, i32) = ("config", 2);
const HOST_KEY: (&str, i32) = ("host_key", 3);
const AUTH: (&str, i32) = ("auth", 3);
const PERMISSION: (&str, i32) = ("permission", 3);
const SERVER: (&str, i32) = ("server", 1);

/// Runs the program, which must fail so, in both formats.
fn assert_fails(scene: &Scene, case: &Case) {
    let before = scene.mirror_tip();
    let output = sync(scene, case, &["--format", "json"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let object: Value = serde_json::from_str(&stdout).expect(case.name);
    let told = format!("{}: {stdout}", case.name);
    assert_eq!(object["error"]["kind"], case.kind, "{told}");
    assert_eq!(output.status.code(), Some(case.code), "{told}");
    assert!(stdout.contains(case.says), "{told}");
    assert!(object["error"]["advice"].is_string(), "{told}");

    let output = sync(scene, case, &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(case.code),
        "{}: {stderr}",
        case.name
    );
    assert!(
        stderr.contains(&format!("error[{}]: ", case.kind)),
        "{stderr}"
    );
    assert!(output.stdout.is_empty(), "{}", case.name);
    assert_eq!(scene.mirror_tip(), before, "{}", case.name);
    assert!(!shows_key(case, &stderr), "{}: the key is shown", case.name);
    scene.upstream.settle();
    scene.mirror.settle();
}

/// Says whether a text holds a line of the case's private key.
fn shows_key(case: &Case, text: &str) -> bool {
    let given = case
        .variables
        .iter()
        .filter(|(name, _)| *name == "SSH_PRIVATE_KEY");
    let mut lines = given.flat_map(|(_, key)| key.lines());
    lines.any(|line| line.len() > 40 && !line.starts_with("ssh-") && text.contains(line))
}

fn sync(scene: &Scene, case: &Case, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("crates-ferry"));
    let usual = scene.ferry();
    command
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap());
    command
        .env("HOME", scene.folder.path())
        .current_dir(scene.folder.path());
    command.envs(usual.variables().iter().cloned());
    command.envs(case.variables.iter().cloned());
    command.arg("sync").args(arguments).output().unwrap()
}

fn keygen(folder: &Path, name: &str, passphrase: &str) -> String {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f"]);
    assert!(keygen.arg(folder.join(name)).status().unwrap().success());
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn hosts_and_rights(scene: &Scene) -> Vec<Case> {
    let folder = scene.folder.path();
    let value = |wanted: &str| {
        let ferry = scene.ferry();
        let found = ferry.variables().iter().find(|(name, _)| name == wanted);
        found.unwrap().1.clone()
    };
    let stranger = keygen(folder, "stranger", "");
    let other_host = std::fs::read_to_string(folder.join("stranger.pub")).unwrap();
    let known = value("SSH_KNOWN_HOSTS");
    let place = known.lines().last().unwrap().split(' ').next().unwrap();
    let key = known.lines().last().unwrap().split_once(' ').unwrap().1;
    let hosts = |text: String| vec![("SSH_KNOWN_HOSTS", text)];
    let missing = value("FERRY_MIRROR_URL").replace("/mirror-", "/missing-");
    vec![
        case("a wrong host key", hosts(known.replace(key, &other_host)), HOST_KEY, "SHA256:"),
        case("an unknown host", hosts("other.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf\n".to_owned()), HOST_KEY, "is unknown"),
        case("a revoked key", hosts(format!("{known}@revoked {place} {key}\n")), HOST_KEY, "is revoked"),
        case("a known hosts file that is none", hosts("gibberish\n".to_owned()), CONFIG, "SSH_KNOWN_HOSTS"),
        case("a key that is not authorized", vec![("SSH_PRIVATE_KEY", stranger)], AUTH, "does not accept the key SHA256:"),
        case("no key", vec![("SSH_PRIVATE_KEY", String::new())], AUTH, "there is no ssh key"),
        case("no such repository", vec![("FERRY_MIRROR_URL", missing)], PERMISSION, "does not appear to be a git repository"),
    ]
}

fn keys(scene: &Scene) -> Vec<Case> {
    let folder = scene.folder.path();
    let whole = keygen(folder, "whole", "");
    let locked = keygen(folder, "locked", "secret words");
    let public = std::fs::read_to_string(folder.join("whole.pub")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    let damaged = whole.replace(lines[2], &lines[2].replace(|c: char| c.is_lowercase(), "A"));
    let dsa = whole.replace("OPENSSH", "DSA");
    let key = |name, text: &str, says| {
        case(
            name,
            vec![("SSH_PRIVATE_KEY", text.to_owned())],
            CONFIG,
            says,
        )
    };
    vec![
        key("a public key", &public, "public key"),
        key(
            "a PuTTY key",
            "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
            "PuTTY",
        ),
        key("a key without its last line", &cut, "no END line"),
        key(
            "a key on one line",
            &lines.join(" "),
            "lost its line breaks",
        ),
        key("a damaged key", &damaged, "is damaged or cut off"),
        key("a DSA key", &dsa, "DSA"),
        key(
            "a file that is not there",
            "/missing/key",
            "cannot read the file /missing/key",
        ),
        key("words", "my key, in words", "neither a key's text"),
        key("a key with a passphrase", &locked, "is encrypted"),
        case(
            "a wrong passphrase",
            vec![
                ("SSH_PRIVATE_KEY", locked),
                ("SSH_KEY_PASSPHRASE", "other words".to_owned()),
            ],
            CONFIG,
            "passphrase",
        ),
    ]
}

#[test]
fn hosts_rights_and_keys_over_ssh() {
    let Some(scene) = Scene::over(Transport::Ssh, "merge") else {
        return;
    };
    let keys = keys(&scene);
    let mut messages: Vec<String> = Vec::new();
    for case in hosts_and_rights(&scene).iter().chain(&keys) {
        assert_fails(&scene, case);
        let output = sync(&scene, case, &["--format", "json"]);
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        messages.push(object["error"].to_string());
    }
    messages.sort_unstable();
    let count = messages.len();
    messages.dedup();
    assert_eq!(
        messages.len(),
        count,
        "two of them are told with the same words"
    );
    scene.sync().unwrap();
}

fn hook(scene: &Scene, script: &str) {
    let hooks = scene.mirror_path().join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    let hook = hooks.join("pre-receive");
    std::fs::write(&hook, format!("#!/bin/sh\n{script}\nexit 1\n")).unwrap();
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
}

const HOOKS: [(&str, (&str, i32), &str); 5] = [
    (
        "echo 'GitLab: You are not allowed to push code to protected branches on this project.'",
        PERMISSION,
        "GitLab: You are not allowed to push code to protected branches on this project.",
    ),
    (
        "echo 'GitLab: Internal API unreachable'",
        SERVER,
        "GitLab: Internal API unreachable",
    ),
    (
        "echo 'The repository is in read-only maintenance' >&2",
        SERVER,
        "read-only maintenance",
    ),
    (
        "echo 'We want a ticket number in every message.'",
        PERMISSION,
        "We want a ticket number",
    ),
    ("true", PERMISSION, "pre-receive hook declined"),
];

#[test]
fn what_a_hook_says_is_shown_and_decides_the_kind() {
    for transport in [Transport::Git, Transport::Ssh, Transport::Http] {
        let Some(scene) = Scene::over(transport, "merge") else {
            continue;
        };
        for (script, end, says) in HOOKS {
            hook(&scene, script);
            assert_fails(&scene, &case(script, vec![], end, says));
        }
    }
}

#[test]
fn a_mirror_that_takes_no_pushes_is_a_matter_of_permission() {
    for (transport, key) in [
        (Transport::Git, "daemon.receivepack"),
        (Transport::Http, "http.receivepack"),
    ] {
        let Some(scene) = Scene::over(transport, "merge") else {
            continue;
        };
        git(&scene.mirror_path(), &["config", key, "false"]);
        assert_fails(&scene, &case(key, vec![], PERMISSION, "mirror"));
    }
}
