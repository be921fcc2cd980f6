#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

const KEY: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n";

fn read(pairs: &[(&str, &str)]) -> Result<Secrets> {
    Secrets::from_environment(&Environment::from_pairs(pairs.iter().copied()))
}

fn key_of(value: &str) -> String {
    let secrets =
        read(&[("SSH_PRIVATE_KEY", value)]).unwrap_or_else(|e| panic!("{e}: {:?}", e.causes()));
    secrets.ssh_private_key.unwrap().expose_secret().to_owned()
}

fn refusal(name: &str, value: &str) -> String {
    let error = read(&[(name, value)]).expect_err(value);
    format!(
        "{error} {:?} {}",
        error.causes(),
        error.advice().unwrap_or_default()
    )
}

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_private_key_is_found_in_every_form_that_a_ci_system_makes_of_it() {
    let folder = TempDir::new().unwrap();
    let base64 = STANDARD.encode(KEY);
    let wrapped = format!("{}\n  {}\r\n", &base64[..40], &base64[40..]);
    let path = file(&folder, "key", &KEY.replace('\n', "\r\n"));
    let forms = [
        KEY.to_owned(),
        KEY.trim_end().to_owned(),
        KEY.replace('\n', "\r\n"),
        base64.clone(),
        wrapped.clone(),
        path.clone(),
        format!("{path}\n"),
        file(&folder, "base64", &wrapped),
        STANDARD.encode(&path),
    ];
    for form in forms {
        assert_eq!(key_of(&form), KEY, "{form}");
    }
    assert!(
        read(&[("SSH_PRIVATE_KEY", "")])
            .unwrap()
            .ssh_private_key
            .is_none()
    );
}

#[test]
fn each_wrong_form_of_the_key_has_its_own_message_and_shows_no_key() {
    let folder = TempDir::new().unwrap();
    let table = [
        (
            "/no/such/file".to_owned(),
            "cannot read the file /no/such/file",
        ),
        (
            folder.path().to_str().unwrap().to_owned(),
            "cannot read the file",
        ),
        (
            file(&folder, "other", "hello c2VjcmV0"),
            "holds neither a private key nor base64",
        ),
        ("c2VjcmV0".repeat(9), "neither a key's text, nor base64"),
        (
            format!("/{}", "c2VjcmV0".repeat(9)),
            "neither a key's text, nor base64",
        ),
        ("ssh-ed25519 c2VjcmV0 me@x.example".to_owned(), "public key"),
        (
            "PuTTY-User-Key-File-3: ssh-ed25519\nc2VjcmV0".to_owned(),
            "puttygen",
        ),
        (
            "git.example ssh-ed25519 c2VjcmV0".to_owned(),
            "belong in SSH_KNOWN_HOSTS",
        ),
        (
            "@revoked git.example ssh-ed25519 c2VjcmV0".to_owned(),
            "belong in SSH_KNOWN_HOSTS",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----".to_owned(),
            "certificate",
        ),
        (KEY.replace('\n', " "), "lost its line breaks"),
        (KEY[..45].to_owned(), "cut off"),
    ];
    for (value, expected) in table {
        let shown = refusal("SSH_PRIVATE_KEY", &value);
        assert!(
            shown.contains(expected) && shown.contains("ssh-keygen"),
            "{value}: {shown}"
        );
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
    }
}

#[test]
fn a_private_key_in_another_variable_is_told_by_name_and_not_shown() {
    let folder = TempDir::new().unwrap();
    let encoded = STANDARD.encode(KEY);
    let wrong = [
        KEY.to_owned(),
        KEY.replace('\n', " "),
        encoded.clone(),
        file(&folder, "key", KEY),
        file(&folder, "base64", &encoded),
        "PuTTY-User-Key-File-3: ssh-ed25519\nc2VjcmV0".to_owned(),
    ];
    assert!(refusal("AWS_SESSION_TOKEN", &encoded).contains("it holds a private key"));
    let names = VARIABLES.iter().filter(|name| **name != "SSH_PRIVATE_KEY");
    for (name, value) in names.flat_map(|name| wrong.iter().map(move |value| (name, value))) {
        let shown = refusal(name, value);
        assert!(
            shown.contains(&format!("{name}: it holds a private key"))
                && shown.contains("Set SSH_PRIVATE_KEY"),
            "{value}: {shown}"
        );
        for secret in ["c2VjcmV0", &encoded[..20], "OPENSSH"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn what_is_no_line_of_known_hosts_is_not_shown() {
    for (value, expected) in [
        ("glpat-0123456789abcdef", "a single word"),
        ("c2VjcmV0", "a single word"),
        (
            "ssh-ed25519 glpat-0123456789abcdef me@x.example",
            "a public key without the name",
        ),
    ] {
        let shown = refusal("SSH_KNOWN_HOSTS", value);
        assert!(
            shown.contains(expected) && shown.contains("ssh-keyscan"),
            "{shown}"
        );
        assert!(
            !shown.contains("0123456789") && !shown.contains("c2VjcmV0"),
            "{shown}"
        );
    }
}

#[test]
fn known_hosts_come_from_the_variable_else_from_the_home_folder() {
    let home = TempDir::new().unwrap();
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    let line = "h.example ssh-ed25519 AAAA";
    let path = file(&home, ".ssh/known_hosts", line);
    let known = |pairs: &[(&str, &str)]| {
        let environment = Environment::from_pairs(pairs.iter().copied()).with_home(home.path());
        let known = Secrets::from_environment(&environment)
            .unwrap()
            .ssh_known_hosts;
        (known.text, known.origin)
    };
    assert_eq!(
        known(&[]),
        (line.to_owned(), "~/.ssh/known_hosts".to_owned())
    );
    let other = "o.example ssh-ed25519 AAAA";
    assert_eq!(
        known(&[("SSH_KNOWN_HOSTS", other)]),
        (other.to_owned(), "SSH_KNOWN_HOSTS".to_owned())
    );
    assert_eq!(
        known(&[("SSH_KNOWN_HOSTS", &path)]),
        (line.to_owned(), "SSH_KNOWN_HOSTS".to_owned())
    );
    for form in [
        STANDARD.encode(other),
        format!("\"{other}\""),
        file(&home, "base64", &STANDARD.encode(other)),
    ] {
        assert_eq!(known(&[("SSH_KNOWN_HOSTS", &form)]).0, other, "{form}");
    }
    let empty = file(&home, "empty", "");
    assert_eq!(known(&[("SSH_KNOWN_HOSTS", &empty)]).0, "");
    assert!(read(&[]).unwrap().ssh_known_hosts.text.is_empty());
    assert!(refusal("SSH_KNOWN_HOSTS", "/no/such/file").contains("/no/such/file"));
}

#[test]
fn tokens_lose_their_last_line_break_and_may_be_in_a_file() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "token", "s3cr3t-s3cr3t\r\n");
    for value in [
        "s3cr3t-s3cr3t",
        "s3cr3t-s3cr3t\n",
        &path,
        &format!("{path}\n"),
    ] {
        let token = read(&[("FERRY_MIRROR_TOKEN", value)])
            .unwrap()
            .mirror_token
            .unwrap();
        assert_eq!(token.expose_secret(), "s3cr3t-s3cr3t");
    }
    let phrase = read(&[("SSH_KEY_PASSPHRASE", " / a phrase ")])
        .unwrap()
        .ssh_key_passphrase
        .unwrap();
    assert_eq!(phrase.expose_secret(), " / a phrase ");
    let shown = refusal("FERRY_MIRROR_TOKEN", "s3cr3t-s3cr3t\nx");
    assert!(
        shown.contains("line break") && !shown.contains("s3cr3t"),
        "{shown}"
    );
}

#[test]
fn the_path_of_a_file_that_is_not_there_is_no_token_and_is_not_shown() {
    for name in [
        "GITLAB_TRIGGER_TOKEN",
        "FERRY_HOOK_TOKEN",
        "FERRY_MIRROR_TOKEN",
    ] {
        let refused = refusal(name, "/run/secrets/missing\n");
        assert!(refused.starts_with(name), "{refused}");
        assert!(refused.contains("there is no such file"), "{refused}");
        assert!(!refused.contains("missing"), "{refused}");
    }
}

#[test]
fn the_job_token_is_for_the_server_that_the_job_names() {
    let token = ("CI_JOB_TOKEN", "s3cr3t-s3cr3t");
    let read_port = |pairs: &[(&str, &str)]| {
        read(pairs)
            .unwrap()
            .job_token
            .map(|token| (token.host, token.port))
    };
    assert_eq!(read_port(&[token]), None);
    assert_eq!(read_port(&[("CI_SERVER_HOST", "h.example")]), None);
    assert_eq!(
        read_port(&[token, ("CI_SERVER_HOST", "H.example")]),
        Some(("h.example".to_owned(), 443))
    );
    assert_eq!(
        read_port(&[
            token,
            ("CI_SERVER_HOST", "h.example"),
            ("CI_SERVER_PORT", "8443")
        ]),
        Some(("h.example".to_owned(), 8443))
    );
    assert!(
        read(&[
            token,
            ("CI_SERVER_HOST", "h.example"),
            ("CI_SERVER_PORT", "x")
        ])
        .is_err()
    );
}

#[test]
fn a_secret_that_could_not_be_masked_is_refused() {
    for name in [
        "FERRY_MIRROR_TOKEN",
        "FERRY_SMTP_PASSWORD",
        "SSH_KEY_PASSPHRASE",
        "GITLAB_TRIGGER_TOKEN",
        "GITLAB_READ_TOKEN",
        "FERRY_TRIGGER_TOKEN",
        "FERRY_HOOK_TOKEN",
        "CI_JOB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ] {
        let refused = refusal(name, "s3cr3t7");
        let reason = "the secret has fewer than 8 characters";
        assert!(
            refused.starts_with(&format!("{name}: {reason}")) && !refused.contains("s3cr3t7"),
            "{refused}"
        );
        assert!(read(&[(name, "s3cr3t-8")]).is_ok());
    }
    // It is the key's name, and no secret.
    assert!(read(&[("AWS_REGION", "x")]).is_ok());
}

#[test]
fn quotes_around_a_secret_are_no_part_of_it_and_all_else_is() {
    let password = |value: &str| {
        let read = read(&[("FERRY_SMTP_PASSWORD", value)]).unwrap();
        let password = read.smtp_password;
        password.map(|password| password.expose_secret().to_owned())
    };
    assert_eq!(
        password("\"s3cr3t-s3cr3t\"").as_deref(),
        Some("s3cr3t-s3cr3t")
    );
    assert_eq!(password("''"), None);
    for value in [
        "$s3cr3t-s3cr3t",
        "$LONG_SECRET",
        "\"s3cr3t\"s3cr3t\"",
        "s3cr3t-s3cr3t ",
    ] {
        assert_eq!(password(value).as_deref(), Some(value));
    }
    assert_eq!(key_of(&format!("'{KEY}'")), KEY);
    let aws = read(&[("AWS_SECRET_ACCESS_KEY", "\"s3cr3t-s3cr3t\"")]).unwrap();
    assert_eq!(aws.aws[0].1.expose_secret(), "s3cr3t-s3cr3t");
}

#[test]
fn a_space_at_the_end_of_a_token_is_refused() {
    for name in [
        "FERRY_MIRROR_TOKEN",
        "GITLAB_TRIGGER_TOKEN",
        "FERRY_HOOK_TOKEN",
    ] {
        for value in ["s3cr3t-s3cr3t ", " s3cr3t-s3cr3t"] {
            let shown = refusal(name, value);
            assert!(
                shown.starts_with(name) && shown.contains("a space"),
                "{shown}"
            );
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
    }
    assert!(read(&[("FERRY_HOOK_TOKEN", "s3cr3t and s3cr3t")]).is_ok());
}
