#![allow(clippy::unwrap_used)]

use std::process::Command;

use super::*;

const DAY: u64 = 24 * 60 * 60;

/// Makes a certificate as `openssl req -x509` does for who asks for nothing else, and returns its PEM text.
fn self_signed(more: &[&str]) -> String {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    made(&key, more)
}

fn made(key: &[&str], more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "30"])
        .args(key)
        .args(["-subj", "/CN=git.example", "-keyout", "key.pem"])
        .args(more)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn named() -> String {
    self_signed(&["-addext", "subjectAltName=DNS:git.example"])
}

/// Verifies a server that shows a certificate, so many days from now, where others are trusted.
fn verify(given: &str, shown: &str, host: &str, days: i64) -> Result<(), Refusal> {
    let trust = Trust::new(Some(given)).unwrap();
    let verifier = trust.verifier(trust.roots().unwrap()).unwrap();
    let shown = CertificateDer::from_pem_slice(shown.as_bytes()).unwrap();
    let now = UnixTime::now()
        .as_secs()
        .checked_add_signed(days * DAY as i64);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unwrap()));
    let host = ServerName::try_from(host).unwrap();
    match verifier.verify_server_cert(&shown, &[], &host, &[], now) {
        Ok(_) => Ok(()),
        // As reqwest and tokio wrap it.
        Err(error) => Err(refusal(&io::Error::other(io::Error::other(error))).unwrap()),
    }
}

#[test]
fn a_certificate_that_is_given_is_trusted_as_itself() {
    let (own, other) = (named(), named());
    assert_eq!(verify(&own, &own, "git.example", 0), Ok(()));
    assert_eq!(
        verify(&format!("{other}{own}"), &own, "git.example", 0),
        Ok(())
    );
}

#[test]
fn its_names_and_dates_are_verified_all_the_same() {
    let own = named();
    for (host, days, cause, advice) in [
        ("git.example", 31, "expired on ", "Renew"),
        ("git.example", -1, "is valid from ", "clock"),
        ("other.example", 0, "git.example", "Use a host in the URL"),
        ("192.0.2.1", 0, "git.example", "Use a host in the URL"),
    ] {
        let refusal = verify(&own, &own, host, days).unwrap_err();
        assert!(refusal.cause.contains(cause), "{refusal:?}");
        assert!(refusal.advice.contains(advice), "{refusal:?}");
    }
}

#[test]
fn each_fault_of_a_certificate_advises_what_mends_it() {
    use CertificateError as Fault;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(1_546_300_800));
    let later = UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800));
    let faults = [
        Fault::ExpiredContext {
            time: later,
            not_after: time,
        },
        Fault::NotValidYetContext {
            time,
            not_before: later,
        },
        Fault::UnknownIssuer,
        Fault::BadSignature,
        Fault::NotValidForName,
        Fault::InvalidPurpose,
        Fault::Revoked,
        Fault::BadEncoding,
    ];
    let rows = faults.iter().map(|fault| {
        let Refusal { cause, advice } = explain(fault);
        format!("{cause}\n  help: {advice}\n")
    });
    insta::assert_snapshot!(rows.collect::<String>());
}

#[test]
fn an_expired_certificate_is_told_as_one_whoever_signed_it() {
    let leaf = [
        "-addext",
        "subjectAltName=DNS:git.example",
        "-addext",
        "basicConstraints=CA:FALSE",
    ];
    let (leaf, stranger) = (
        self_signed(&leaf),
        self_signed(&["-subj", "/CN=other.example"]),
    );
    for days in [-2_000, 31] {
        let refusal = verify(&stranger, &leaf, "git.example", days).unwrap_err();
        assert!(refusal.advice.contains("clock"), "{refusal:?}");
        assert!(!refusal.advice.contains("authority"), "{refusal:?}");
    }
}

#[test]
fn another_certificate_of_the_same_names_is_not_trusted() {
    let (own, other) = (named(), named());
    let refusal = verify(&other, &own, "git.example", 0).unwrap_err();
    assert!(refusal.cause.contains("CA:TRUE"), "{refusal:?}");
    let leaf = [
        "-addext",
        "subjectAltName=DNS:git.example",
        "-addext",
        "basicConstraints=CA:FALSE",
    ];
    let leaf = self_signed(&leaf);
    let refusal = verify(&other, &leaf, "git.example", 0).unwrap_err();
    assert!(refusal.advice.contains("another key"), "{refusal:?}");
    let stranger = self_signed(&["-subj", "/CN=other.example"]);
    let refusal = verify(&stranger, &leaf, "git.example", 0).unwrap_err();
    assert!(refusal.advice.contains("SSL_CERT_FILE"), "{refusal:?}");
}

#[test]
fn an_authority_of_the_same_name_does_not_hide_a_certificate_that_is_given() {
    let leaf = [
        "-addext",
        "subjectAltName=DNS:git.example",
        "-addext",
        "basicConstraints=CA:FALSE",
    ];
    let (own, rsa) = (self_signed(&leaf), made(&["-newkey", "rsa:2048"], &[]));
    let refusal = verify(&rsa, &own, "git.example", 0).unwrap_err();
    assert!(refusal.advice.contains("another key"), "{refusal:?}");
    assert_eq!(
        verify(&format!("{rsa}{own}"), &own, "git.example", 0),
        Ok(())
    );
}

#[test]
fn a_certificate_without_names_or_for_another_purpose_is_told_apart() {
    let nameless = self_signed(&[]);
    let refusal = verify(&nameless, &nameless, "git.example", 0).unwrap_err();
    assert!(
        refusal.advice.contains("-addext subjectAltName"),
        "{refusal:?}"
    );
    let mail = [
        "-addext",
        "subjectAltName=DNS:git.example",
        "-addext",
        "extendedKeyUsage=emailProtection",
        "-addext",
        "basicConstraints=CA:FALSE",
    ];
    let mail = self_signed(&mail);
    let refusal = verify(&mail, &mail, "git.example", 0).unwrap_err();
    assert!(refusal.advice.contains("serverAuth"), "{refusal:?}");
}

#[test]
fn byte_order_marks_and_crlf_do_not_matter() {
    let (own, other) = (named(), named());
    let text = format!("\u{feff}{own}\u{feff}{other}").replace('\n', "\r\n");
    assert_eq!(Trust::new(Some(&text)).unwrap().given.len(), 2);
    assert_eq!(verify(&text, &own, "git.example", 0), Ok(()));
}
