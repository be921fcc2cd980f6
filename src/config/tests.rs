#![allow(clippy::unwrap_used, clippy::expect_used)]

mod file;

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::keys::Key;
use super::sections::KEYS;
use super::*;
use crate::error::{Kind, Result};
use crate::git::RemoteUrl;

const MIRROR: (&str, &str) = ("FERRY_MIRROR_URL", "git@gitlab.example:rust/index.git");

/// Writes a `ferry.yml` into a folder of its own.
fn ferry_yml(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ferry.yml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn from_variables(pairs: &[(&str, &str)]) -> Result<Config> {
    let pairs = [MIRROR].iter().chain(pairs).copied();
    Config::load(&Flags::default(), &Environment::from_pairs(pairs))
}

fn message(result: Result<Config>) -> String {
    let error = result.expect_err("the configuration is refused");
    assert_eq!(error.kind(), Kind::Config);
    format!("{error} {}", error.advice().unwrap_or_default())
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = from_variables(&[]).unwrap();
    assert_eq!(
        config.upstream.url.to_string(),
        "https://github.com/rust-lang/crates.io-index"
    );
    assert_eq!(
        (
            config.upstream.branch.as_str(),
            config.mirror.branch.as_str()
        ),
        ("master", "master")
    );
    assert_eq!(config.mirror.url.to_string(), MIRROR.1);
    assert_eq!(
        (
            config.mirror.author.name.as_str(),
            config.mirror.author.email.as_str()
        ),
        ("crates-ferry", "crates-ferry@localhost")
    );
    assert_eq!(
        (config.mirror.history, config.mirror.max_root_loss),
        (None, 0.2)
    );
    assert!(
        config.mirror.keep.is_empty() && config.mirror.dl.is_none() && config.mirror.api.is_none()
    );
    assert_eq!(config.network.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.network.idle_timeout, Duration::from_secs(60));
    assert_eq!(config.network.timeout, Duration::from_secs(900));
    assert_eq!(
        (config.network.retries, config.network.extra_cas),
        (2, None)
    );
}

#[test]
fn mails_need_a_server_a_sender_and_a_recipient() {
    let smtp = ("FERRY_MAIL_SMTP", "smtps://ferry@smtp.example");
    let from = ("FERRY_MAIL_FROM", "ferry@example.com");
    let to = (
        "FERRY_MAIL_TO",
        "ops@example.com, Night <night@example.com>",
    );
    let config = from_variables(&[smtp, from, to]).unwrap();
    let route = config.mail.route().unwrap();
    assert_eq!((route.smtp.port, route.to.len()), (465, 2));
    assert_eq!(config.mail.repeat_after, Duration::from_secs(6 * 3600));
    assert!(from_variables(&[]).unwrap().mail.route().is_none());
    for (given, missing) in [
        (vec![from, to], "FERRY_MAIL_SMTP"),
        (vec![smtp, to], "FERRY_MAIL_FROM"),
        (vec![smtp, from], "FERRY_MAIL_TO"),
    ] {
        let shown = message(from_variables(&given));
        assert!(shown.contains(missing), "{shown}");
    }
}

#[test]
fn every_key_is_also_a_variable() {
    let names: Vec<_> = KEYS.iter().map(Key::variable).collect();
    assert!(
        names.contains(&"FERRY_MIRROR_MAX_ROOT_LOSS".to_owned()) && names.len() == 86,
        "{names:?}"
    );
    for name in &names {
        // The trigger helper, the server and `up` alone read their sections.
        let pairs = [("FERRY_TRIGGER_PROJECT", "rust/mirror"), (name, "\u{1}")];
        let environment = Environment::from_pairs(pairs);
        let shown = if name.starts_with("FERRY_TRIGGER_") {
            let loaded = TriggerConfig::load(&Flags::default(), &environment);
            loaded.unwrap_err().to_string()
        } else if [
            "FERRY_SERVE_",
            "FERRY_POLICY_",
            "FERRY_PRIVATE_",
            "FERRY_PROBE_",
            "FERRY_CATALOG_",
        ]
        .iter()
        .any(|section| name.starts_with(section))
        {
            let loaded = ServeConfig::load(&Flags::default(), &environment);
            loaded.unwrap_err().to_string()
        } else if name.starts_with("FERRY_UP_") {
            let loaded = UpConfig::load(&Flags::default(), &environment);
            loaded.unwrap_err().to_string()
        } else {
            message(from_variables(&[(name, "\u{1}")]))
        };
        assert!(shown.starts_with(&format!("{name}: ")), "{name}: {shown}");
    }
    let config = from_variables(&[
        ("FERRY_MIRROR_KEEP", "a/*, b ,,"),
        ("FERRY_NETWORK_RETRIES", " 5\n"),
    ])
    .unwrap();
    assert_eq!(
        (config.mirror.keep, config.network.retries),
        (vec!["a/*".to_owned(), "b".to_owned()], 5)
    );
}

#[test]
fn flag_beats_variable_beats_file_beats_default() {
    let (folder, _) =
        ferry_yml("mirror: { history: merge, branch: file }\nupstream: { branch: file }\n");
    let pairs = [
        MIRROR,
        ("FERRY_MIRROR_HISTORY", "merge"),
        ("FERRY_UPSTREAM_BRANCH", "variable"),
        ("FERRY_MIRROR_BRANCH", ""),
    ];
    let flags = Flags::default()
        .with("mirror.history", Some("snapshot"))
        .with("mirror.url", Some("/srv/m"));
    let config = Config::load(
        &flags,
        &Environment::from_pairs(pairs).in_folder(folder.path()),
    )
    .unwrap();
    assert_eq!(config.mirror.history, Some(History::Snapshot));
    assert_eq!(config.mirror.url.to_string(), "/srv/m");
    assert_eq!(config.upstream.branch, "variable");
    assert_eq!(
        config.mirror.branch, "file",
        "an empty variable counts as unset"
    );
}

#[test]
fn a_missing_mirror_says_what_sets_it() {
    let shown = message(Config::load(&Flags::default(), &Environment::default()));
    for word in [
        "mirror.url is not set",
        "--mirror",
        "FERRY_MIRROR_URL",
        "ferry.yml",
    ] {
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn a_password_in_an_address_is_taken_from_the_variable_only() {
    let address = "https://me:hunter2hunter2@x.example/a";
    let RemoteUrl::Http { password, .. } = from_variables(&[("FERRY_MIRROR_URL", address)])
        .unwrap()
        .mirror
        .url
    else {
        panic!("not an http address");
    };
    assert!(password.is_some());
    let flags = Flags::default().with("mirror.url", Some(address));
    let shown = message(Config::load(&flags, &Environment::default()));
    assert!(
        shown.starts_with("--mirror: ")
            && shown.contains("FERRY_MIRROR_TOKEN")
            && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn a_password_in_an_address_is_long_enough_to_be_masked() {
    let url = ("FERRY_MIRROR_URL", "https://me:hunter2@x.example/a");
    let shown = message(from_variables(&[url]));
    assert!(
        shown.starts_with(
            "FERRY_MIRROR_URL: mirror.url: the password in the address has fewer than 8"
        ) && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn what_a_list_or_map_in_a_variable_gives_twice_is_refused() {
    let refused = |name: &'static str, text: &'static str| message(from_variables(&[(name, text)]));
    let shown = refused("FERRY_TRIGGER_VARIABLES", "A=hunter2, A =2");
    assert!(
        shown.starts_with("FERRY_TRIGGER_VARIABLES: trigger.variables: `A` is given twice")
            && !shown.contains("hunter2"),
        "{shown}"
    );
    assert!(refused("FERRY_TRIGGER_INPUTS", "a=1,b=1,a=1").contains("`a` is given twice"));
    assert!(refused("FERRY_MIRROR_KEEP", "a/*,b,a/*").contains("`a/*` is given twice"));
    assert!(from_variables(&[("FERRY_TRIGGER_VARIABLES", "A=1,B=1,a=1")]).is_ok());
}

#[test]
fn extra_certificates_come_from_our_key_else_from_the_usual_variables() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ours = file("ours.pem", "-----BEGIN CERTIFICATE-----\nours\n");
    let git = file("git.pem", "-----BEGIN CERTIFICATE-----\ngit\n");
    let job = file("job.pem", "-----BEGIN CERTIFICATE-----\njob\n");
    let usual = [
        ("GIT_SSL_CAINFO", git.as_str()),
        ("CURL_CA_BUNDLE", "/no/such/file"),
        ("CI_SERVER_TLS_CA_FILE", &job),
    ];
    let cas = |pairs: &[(&str, &str)]| from_variables(pairs).unwrap().network.extra_cas.unwrap();
    let found = cas(&usual);
    assert!(
        found.contains("git\n") && found.contains("job\n"),
        "{found}"
    );
    assert_eq!(
        cas(&[usual[0], ("FERRY_NETWORK_CA_FILE", &ours)]),
        "-----BEGIN CERTIFICATE-----\nours\n"
    );
    let empty = file("empty.pem", "");
    for bad in ["/no/such/file", empty.as_str()] {
        assert!(message(from_variables(&[("FERRY_NETWORK_CA_FILE", bad)])).contains(bad));
    }
}

#[test]
fn certificates_in_der_form_are_refused_with_the_command_that_converts_them() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a ca.der");
    std::fs::write(&path, [0x30, 0x82, 0x01, 0x80, 0xff]).unwrap();
    let path = path.to_str().unwrap();
    let said = message(from_variables(&[("FERRY_NETWORK_CA_FILE", path)]));
    let command = format!("openssl x509 -inform DER -in '{path}' -out ca.pem");
    assert!(said.contains(&command), "{said}");
}

#[test]
fn nothing_secret_is_in_the_debug_form() {
    let pairs = [
        ("FERRY_MIRROR_URL", "https://me:hunter2hunter2@x.example/a"),
        ("FERRY_MIRROR_TOKEN", "hunter2hunter2"),
        ("SSH_KEY_PASSPHRASE", "hunter2hunter2"),
        (
            "SSH_PRIVATE_KEY",
            "-----BEGIN X-----\nhunter2\n-----END X-----",
        ),
        ("CI_JOB_TOKEN", "hunter2hunter2"),
        ("CI_SERVER_HOST", "x.example"),
    ];
    let environment = Environment::from_pairs(pairs);
    let config = Config::load(&Flags::default(), &environment).unwrap();
    assert!(config.secrets.job_token.is_some() && config.secrets.ssh_private_key.is_some());
    assert!(!format!("{config:?} {config:#?} {environment:?}").contains("hunter2"));
}

#[test]
fn quotes_around_a_variable_are_no_part_of_it_and_a_reference_is_refused() {
    let config = from_variables(&[
        ("FERRY_UPSTREAM_URL", "\"https://git.example/a\""),
        ("FERRY_UPSTREAM_BRANCH", "'main'\n"),
    ])
    .unwrap();
    assert_eq!(config.upstream.url.to_string(), "https://git.example/a");
    assert_eq!(config.upstream.branch, "main");
    for (name, value, reference) in [
        (
            "FERRY_UPSTREAM_URL",
            "https://$CI_SERVER_HOST/a",
            "$CI_SERVER_HOST",
        ),
        (
            "FERRY_UPSTREAM_BRANCH",
            "${CI_DEFAULT_BRANCH}",
            "${CI_DEFAULT_BRANCH}",
        ),
        ("FERRY_MAIL_TO", "\"$OPS\"", "$OPS"),
        ("AWS_REGION", "$REGION", "$REGION"),
    ] {
        let told = message(from_variables(&[(name, value)]));
        assert!(told.starts_with(&format!("{name}: {reference} ")), "{told}");
    }
}
