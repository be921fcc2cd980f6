//! Keys and host keys, on all sides that are reached over ssh.

use std::process::Command;

use super::causes::Causes;
use super::told::Told;
use crate::support::server;
use crate::support::sshd::{Options, Sshd};

/// Returns the rows; none where the machine has no ssh server.
pub fn rows(causes: &Causes, told: &Told) -> Option<String> {
    let sshd = Sshd::start(&Options::new(causes.folder()))?;
    let local = causes.folder().join("index.git").display().to_string();
    let url = sshd.url("index.git");
    let sync = ["sync", "--dry-run"];
    let mut table = String::new();
    for (side, arguments, places) in [
        (
            "upstream, over ssh (sync)",
            sync,
            [("FERRY_UPSTREAM_URL", &url), ("FERRY_MIRROR_URL", &local)],
        ),
        (
            "mirror, over ssh (sync)",
            sync,
            [("FERRY_UPSTREAM_URL", &local), ("FERRY_MIRROR_URL", &url)],
        ),
        (
            "index of the API server, over ssh (prefetch)",
            ["prefetch", "--all"],
            [("FERRY_UPSTREAM_URL", &local), ("FERRY_SERVE_INDEX", &url)],
        ),
    ] {
        table += &format!("\n==== {side} ====\n");
        let count = if side.starts_with("upstream") { 9 } else { 4 };
        for (cause, variables) in faults(causes, &sshd).into_iter().take(count) {
            let data = causes.folder().join("data").display().to_string();
            let places = places.map(|(name, value)| (name.to_owned(), value.clone()));
            let variables: Vec<(String, String)> = places
                .into_iter()
                .chain(variables.map(|(name, value)| (name.to_owned(), value)))
                .chain([("FERRY_SERVE_DATA_DIR".to_owned(), data)])
                .collect();
            let output = server::command(&variables)
                .args(arguments)
                .output()
                .unwrap();
            table += &told.row(cause, &output);
        }
    }
    Some(table)
}

type Fault = (&'static str, [(&'static str, String); 3]);

/// The faults of hosts and logins, which each side can have, and then those of the key, which all sides share.
fn faults(causes: &Causes, sshd: &Sshd) -> [Fault; 9] {
    let known = sshd.known_hosts_line().trim_end().to_owned();
    let key = sshd.private_key_text();
    let stranger = keygen(causes, "stranger", "");
    let locked = keygen(causes, "locked", "words of a test");
    let public = std::fs::read_to_string(causes.folder().join("stranger.key.pub")).unwrap();
    let place = known.split(' ').next().unwrap();
    let other = format!("{place} {}", public.trim_end());
    let of = |known: &str, key: &str, passphrase: &str| {
        [
            ("SSH_KNOWN_HOSTS", known.to_owned()),
            ("SSH_PRIVATE_KEY", key.to_owned()),
            ("SSH_KEY_PASSPHRASE", passphrase.to_owned()),
        ]
    };
    [
        ("another host key", of(&other, &key, "")),
        ("no host key", of("", &key, "")),
        ("a key that is not accepted", of(&known, &stranger, "")),
        ("no key", of(&known, "", "")),
        ("no file of the key", of(&known, "/no/such/key", "")),
        ("a folder for a key", of(&known, "/proc", "")),
        ("the public key", of(&known, &public, "")),
        ("no passphrase", of(&known, &locked, "")),
        (
            "another passphrase",
            of(&known, &locked, "other words of a test"),
        ),
    ]
}

fn keygen(causes: &Causes, name: &str, passphrase: &str) -> String {
    let file = causes.folder().join(format!("{name}.key"));
    if !file.exists() {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-C", "test", "-N", passphrase, "-f"]);
        assert!(keygen.arg(&file).status().unwrap().success());
    }
    std::fs::read_to_string(file).unwrap()
}
