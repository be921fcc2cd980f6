#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use russh::keys::HashAlg;

use super::*;

/// Makes a key with `ssh-keygen` and returns its private and public text; never one of the few that `SHORT_SCALAR` is
/// about.
fn keygen(arguments: &[&str], passphrase: &str) -> (String, String) {
    loop {
        let (private, public) = keygen_any(arguments, passphrase);
        match read_key(&private, Some(passphrase)) {
            Err(error) if error.advice().unwrap().contains(SHORT_SCALAR) => {}
            _ => return (private, public),
        }
    }
}

fn keygen_any(arguments: &[&str], passphrase: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-C", "a comment", "-N", passphrase, "-f"])
        .arg(&file)
        .args(arguments)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    (read(&file), read(&file.with_extension("pub")))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

fn read_key(text: &str, passphrase: Option<&str>) -> Result<PrivateKey> {
    let passphrase = passphrase.map(SecretString::from);
    parse(&SecretString::from(text), passphrase.as_ref())
}

fn complaint(text: &str, passphrase: Option<&str>) -> String {
    let error = read_key(text, passphrase).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.advice().is_some(), "{error}");
    error.to_string()
}

fn assert_same_key(private: &str, public: &str, passphrase: Option<&str>, what: &[&str]) {
    let key = read_key(private, passphrase).unwrap_or_else(|error| {
        panic!("{what:?}: {error}: {:?}", error.causes());
    });
    let expected = keys::PublicKey::from_openssh(public).unwrap();
    assert_eq!(
        key.fingerprint(HashAlg::Sha256),
        expected.fingerprint(HashAlg::Sha256),
        "{what:?}"
    );
}

const SORTS: &[&[&str]] = &[
    &["-t", "ed25519"],
    &["-t", "ecdsa", "-b", "256"],
    &["-t", "ecdsa", "-b", "384"],
    &["-t", "ecdsa", "-b", "521"],
    &["-t", "rsa", "-b", "2048"],
    &["-t", "rsa", "-b", "2048", "-m", "PEM"],
    &["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
    &["-t", "ecdsa", "-m", "PEM"],
    &["-t", "ecdsa", "-m", "PKCS8"],
];

#[test]
fn every_sort_of_key_is_read() {
    for sort in SORTS {
        let (private, public) = keygen(sort, "");
        assert_same_key(&private, &public, None, sort);
        assert_same_key(&private, &public, Some("not needed"), sort);
    }
}

#[test]
fn every_sort_of_encrypted_key_is_read_with_its_passphrase_only() {
    for sort in SORTS
        .iter()
        .filter(|sort| **sort != ["-t", "ecdsa", "-m", "PEM"])
    {
        let (private, public) = keygen(sort, "correct horse");
        assert_same_key(&private, &public, Some("correct horse"), sort);
        for none in [None, Some("")] {
            let said = complaint(&private, none);
            assert!(
                said.ends_with("is encrypted, and no passphrase is given"),
                "{sort:?}: {said}"
            );
        }
        let said = complaint(&private, Some("wrong"));
        assert!(
            said.ends_with("the passphrase is wrong"),
            "{sort:?}: {said}"
        );
    }
}

#[test]
fn an_old_encryption_that_cannot_be_read_is_named() {
    let (private, _) = keygen(&["-t", "ecdsa", "-m", "PEM"], "correct horse");
    let said = complaint(&private, Some("correct horse"));
    assert!(
        said.contains("encrypted in an old way that is not supported (EC PRIVATE KEY, AES-128-CBC"),
        "{said}"
    );
}

#[test]
fn an_encryption_that_cannot_be_read_is_no_wrong_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        let output = command
            .args(arguments)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    openssl(&["genrsa", "-out", "plain", "2048"]);
    for how in [
        ["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"].as_slice(),
        &["pkcs8", "-topk8", "-v2", "des3"],
        &["rsa", "-traditional", "-aes256"],
        &["rsa", "-traditional", "-des3"],
    ] {
        let files = [
            "-in",
            "plain",
            "-out",
            "key",
            "-passout",
            "pass:correct horse",
        ];
        openssl(&[how, &files].concat());
        let error = read_key(&read(&key), Some("correct horse")).unwrap_err();
        let told = format!("{error} {}", error.advice().unwrap());
        assert!(
            told.contains("is encrypted in an old way"),
            "{how:?}: {told}"
        );
        assert!(told.contains("ssh-keygen -p -f key"), "{how:?}: {told}");
    }
}

#[test]
fn what_stands_around_a_key_does_not_matter() {
    let (private, public) = keygen(&["-t", "ecdsa", "-m", "PEM"], "");
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for text in [
        format!("{parameters}{private}"),
        format!("\u{feff}{private}"),
        format!("{public}{private}"),
        format!("{private}{public}"),
        format!("Bag Attributes\n    friendlyName: ferry\n{private}{certificate}"),
        format!("{certificate}{private}"),
    ] {
        assert_same_key(&text, &public, None, &[&text]);
    }
}

#[test]
fn line_ends_spaces_and_a_missing_last_line_break_do_not_matter() {
    let (private, public) = keygen(&["-t", "ed25519"], "");
    let indented: String = private
        .lines()
        .map(|line| format!("  {line}\t\n"))
        .collect();
    for text in [
        private.replace('\n', "\r\n"),
        private.trim_end().to_owned(),
        format!("\n\n  {private}\n\n"),
        indented,
    ] {
        assert_same_key(&text, &public, None, &["spaced"]);
    }
}

#[test]
fn each_wrong_form_has_its_own_message() {
    let (private, public) = keygen(&["-t", "ed25519"], "");
    let pkcs8_public = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n";
    let putty = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n";
    let dsa = "-----BEGIN DSA PRIVATE KEY-----\nMCow\n-----END DSA PRIVATE KEY-----\n";
    let no_end = private.split_once("-----END").unwrap().0;
    let middle = private.len() / 2;
    let gap = format!("{}{}", &private[..middle - 40], &private[middle..]);
    let flat = private.replace('\n', " ");
    let escaped = private.replace('\n', "\\n");
    for (text, end) in [
        ("", "is empty"),
        (" \r\n ", "is empty"),
        (public.as_str(), "is a public key, not a private one"),
        (pkcs8_public, "is a public key, not a private one"),
        (putty, "is in PuTTY's format"),
        (dsa, "is of an unsupported type (DSA PRIVATE KEY)"),
        ("hunter2", "is no private key: it has no BEGIN line"),
        (no_end, "is cut off: it has no END line"),
        (&flat, "has lost its line breaks"),
        (&escaped, "has lost its line breaks"),
        (&gap, "is damaged or cut off"),
    ] {
        let said = complaint(text, None);
        assert_eq!(said, format!("the key in SSH_PRIVATE_KEY {end}"));
    }
}

#[test]
fn a_key_of_an_unsupported_type_is_named() {
    // `openssl genpkey -algorithm ed448`
    let ed448 = "-----BEGIN PRIVATE KEY-----
MEcCAQAwBQYDK2VxBDsEOSIbGIFCTM/6VV07tz1R1Ps/Cwsyg/ZFz4fntXJAhdTx
RIpjKBBaG7D/c7kIpx5G/wJiBafHKir7ag==
-----END PRIVATE KEY-----
";
    let said = complaint(ed448, None);
    assert!(said.contains("is of an unsupported type"), "{said}");
}

#[test]
fn a_sound_ecdsa_key_that_cannot_be_read_can_be_converted() {
    let short = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS
1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQR4TuMd+HzO3MSr9LhQhdompPwBrpHx
x8/QvWn5A6VbcCJhIZZbCTgRlMDXoRT0zjAmrMKQPFR2KPCSPwxhJM/SAAAAoB10nHcddJ
x3AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHhO4x34fM7cxKv0
uFCF2iak/AGukfHHz9C9afkDpVtwImEhllsJOBGUwNehFPTOMCaswpA8VHYo8JI/DGEkz9
IAAAAfWlY+mCE+QLROIXvLv/K/K1VexMq3mk6FiOH4f6NZMQAAAAZhIHRlc3QBAgM=
-----END OPENSSH PRIVATE KEY-----
";
    let public = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHhO4x34fM7cxKv0uFCF2iak/AGukfHHz9C9afkDpVtwImEhllsJOBGUwNehFPTOMCaswpA8VHYo8JI/DGEkz9I=";
    let error = read_key(short, None).unwrap_err();
    assert!(error.advice().unwrap().ends_with(SHORT_SCALAR));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, short).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let mut convert = Command::new("ssh-keygen");
    convert.args(["-q", "-p", "-m", "PKCS8", "-N", "", "-f"]);
    let converted = convert.arg(&file).output().unwrap();
    assert!(converted.status.success(), "{converted:?}");
    assert_same_key(&read(&file), public, None, &["converted"]);
}

#[test]
fn neither_the_messages_nor_the_causes_show_the_key() {
    let (private, _) = keygen(&["-t", "ed25519"], "correct horse");
    let secret = private.lines().nth(2).unwrap();
    let error = read_key(&private, Some("wrong horse")).unwrap_err();
    let shown = format!("{error:?} {:?}", error.causes());
    assert!(
        !shown.contains(secret) && !shown.contains("horse"),
        "{shown}"
    );
}

#[test]
fn a_key_that_takes_too_long_to_decrypt_is_refused() {
    let (key, _) = keygen(&["-t", "ed25519", "-a", "1"], "right");
    assert!(read_key(&key, Some("right")).is_ok());
    let mut lines: Vec<&str> = key.lines().collect();
    let (body, end) = (1, lines.len() - 1);
    let mut bytes = STANDARD.decode(lines[body..end].concat()).unwrap();
    let name = bytes.windows(6).position(|six| six == b"bcrypt").unwrap();
    // The name, the lengths of the options and of the salt, and the salt.
    let rounds = name + 6 + 4 + 4 + 16;
    assert_eq!(bytes[rounds..rounds + 4], 1u32.to_be_bytes());
    bytes[rounds..rounds + 4].copy_from_slice(&(MOST_ROUNDS + 1).to_be_bytes());
    let encoded = STANDARD.encode(bytes);
    lines.splice(body..end, [encoded.as_str()]);
    let told = complaint(&lines.join("\n"), Some("right"));
    assert!(told.contains("1001 rounds"), "{told}");
}
