//! Whom we trust over ssh, and who trusts us, with a real sshd.

use std::process::Command;

use crate::support::client::advertisement;
use crate::support::repo::repos;
use crate::support::sshd::{Options, Sshd};
use crates_ferry::error::{Error, Kind};
use crates_ferry::git::transport::Service;
use crates_ferry::git::transport::SshCredentials;
use secrecy::SecretString;

async fn refused(sshd: &Sshd, credentials: &SshCredentials) -> Error {
    match sshd
        .remote(credentials)
        .open(Service::UploadPack, true)
        .await
    {
        Ok(_) => panic!("the connection was made"),
        Err(error) => error,
    }
}

async fn is_let_in(sshd: &Sshd, credentials: &SshCredentials) {
    let remote = sshd.remote(credentials);
    let mut stream = remote.open(Service::UploadPack, true).await.unwrap();
    assert!(advertisement(&mut stream).await.starts_with("version 2\n"));
}

#[tokio::test]
async fn a_key_of_every_sort_is_accepted() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    for (name, arguments) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("p256", &["-t", "ecdsa", "-b", "256", "-m", "PKCS8"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("p521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("locked", &["-t", "ed25519", "-N", "correct horse"]),
    ] {
        let mut credentials = sshd.credentials();
        let text = sshd.new_key(name, arguments);
        credentials.private_key = Some(SecretString::from(text));
        credentials.passphrase = Some(SecretString::from("correct horse"));
        is_let_in(&sshd, &credentials).await;
    }
}

#[tokio::test]
async fn an_rsa_key_signs_with_sha_256_where_the_server_takes_only_that() {
    let repos = repos();
    let options = Options {
        config: "PubkeyAcceptedAlgorithms rsa-sha2-256",
        ..Options::new(repos.path())
    };
    let Some(sshd) = Sshd::start(&options) else {
        return;
    };
    let mut credentials = sshd.credentials();
    let text = sshd.new_key("rsa", &["-t", "rsa", "-b", "2048"]);
    credentials.private_key = Some(SecretString::from(text));
    is_let_in(&sshd, &credentials).await;
}

#[tokio::test]
async fn a_server_that_offers_nothing_but_one_of_openssh_s_algorithms_is_reached() {
    let repos = repos();
    for config in [
        "KexAlgorithms ecdh-sha2-nistp256",
        "KexAlgorithms ecdh-sha2-nistp384",
        "KexAlgorithms ecdh-sha2-nistp521",
        "Ciphers aes128-gcm@openssh.com",
    ] {
        let options = Options {
            config,
            ..Options::new(repos.path())
        };
        let Some(sshd) = Sshd::start(&options) else {
            return;
        };
        is_let_in(&sshd, &sshd.credentials()).await;
    }
}

#[tokio::test]
async fn a_server_that_offers_nothing_sound_is_configuration_and_its_offers_are_named() {
    let repos = repos();
    let options = Options {
        config: "KexAlgorithms diffie-hellman-group14-sha1",
        ..Options::new(repos.path())
    };
    let Some(sshd) = Sshd::start(&options) else {
        return;
    };
    let error = refused(&sshd, &sshd.credentials()).await;
    assert_eq!(error.kind(), Kind::Config, "{error}");
    assert!(
        error.to_string().contains("diffie-hellman-group14-sha1"),
        "{error}"
    );
    let advice = error.advice().unwrap();
    assert!(advice.contains("curve25519-sha256"), "{advice}");
}

#[tokio::test]
async fn a_server_with_several_host_keys_shows_the_known_one() {
    let repos = repos();
    let options = Options {
        host_keys: &["ed25519", "ecdsa", "rsa"],
        ..Options::new(repos.path())
    };
    let Some(sshd) = Sshd::start(&options) else {
        return;
    };
    for kind in options.host_keys {
        is_let_in(
            &sshd,
            &sshd.credentials_trusting(&sshd.known_hosts_line_of(kind)),
        )
        .await;
    }
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_the_line_to_paste() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let error = refused(&sshd, &sshd.credentials_trusting("# nothing\n")).await;
    assert_eq!(error.kind(), Kind::HostKey);
    assert!(error.to_string().contains("is unknown: SHA256:"), "{error}");
    let pasted = error.advice().unwrap().lines().last().unwrap();
    assert!(sshd.known_hosts_line().starts_with(pasted), "{pasted}");
    is_let_in(&sshd, &sshd.credentials_trusting(pasted)).await;
}

#[tokio::test]
async fn a_changed_host_key_is_refused_with_both_fingerprints() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let Some(other) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let (mine, others) = (sshd.port().to_string(), other.port().to_string());
    let wrong = other.known_hosts_line().replace(&others, &mine);
    let error = refused(&sshd, &sshd.credentials_trusting(&wrong)).await;
    assert_eq!(error.kind(), Kind::HostKey);
    let said = error.to_string();
    assert!(
        said.contains("has changed") && said.contains("SSH_KNOWN_HOSTS, line 1"),
        "{said}"
    );
    assert_eq!(said.matches("SHA256:").count(), 2, "{said}");
}

#[tokio::test]
async fn a_revoked_host_key_is_refused_though_it_is_known() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let line = sshd.known_hosts_line();
    let error = refused(
        &sshd,
        &sshd.credentials_trusting(&format!("{line}@revoked {line}")),
    )
    .await;
    assert_eq!(error.kind(), Kind::HostKey);
    assert!(error.to_string().contains("is revoked"), "{error}");
}

#[tokio::test]
async fn a_hashed_host_is_recognised() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let file = repos.path().join("known_hosts");
    std::fs::write(&file, sshd.known_hosts_line()).unwrap();
    let mut ssh_keygen = Command::new("ssh-keygen");
    ssh_keygen.args(["-H", "-f"]).arg(&file).output().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("|1|"), "{text}");
    is_let_in(&sshd, &sshd.credentials_trusting(&text)).await;
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_named_by_its_fingerprint() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let Some(other) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let mut credentials = sshd.credentials();
    credentials.private_key = other.credentials().private_key;
    let error = refused(&sshd, &credentials).await;
    assert_eq!(error.kind(), Kind::Auth);
    let said = error.to_string();
    assert!(said.contains("does not accept the key SHA256:"), "{said}");
    assert!(
        error
            .advice()
            .unwrap()
            .contains("deploy key with write access")
    );
    assert!(error.advice().unwrap().contains("\nssh-ed25519 AAAA"));
}

#[tokio::test]
async fn without_a_key_nothing_is_connected() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let mut credentials = sshd.credentials();
    credentials.private_key = None;
    let error = refused(&sshd, &credentials).await;
    assert_eq!(error.kind(), Kind::Auth);
    assert!(error.advice().unwrap().contains("SSH_PRIVATE_KEY"));
}

#[tokio::test]
async fn a_server_that_hangs_up_on_an_unknown_key_does_not_accept_it() {
    let repos = repos();
    let options = Options {
        config: "MaxAuthTries 1",
        ..Options::new(repos.path())
    };
    let Some(sshd) = Sshd::start(&options) else {
        return;
    };
    let Some(other) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let mut credentials = sshd.credentials();
    credentials.private_key = Some(other.private_key_text().into());
    let error = refused(&sshd, &credentials).await;
    assert_eq!(error.kind(), Kind::Auth, "{error}");
}
