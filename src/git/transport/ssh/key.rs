//! Parses a private key, and says exactly what is wrong with one that cannot be used.

use russh::keys::ssh_key::Kdf;
use russh::keys::{self, Algorithm, HashAlg, PrivateKey, ssh_encoding, ssh_key};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result};

#[cfg(test)]
mod tests;

const MAKE_A_KEY: &str = "Create one with `ssh-keygen -t ed25519 -N '' -f key`, and set SSH_PRIVATE_KEY to the content of the file `key`.";
const GIVE_IT_WHOLE: &str = "Set it to the whole file, from its BEGIN line to its END line, with its line breaks; or its base64 on one line.";
/// The `ssh-key` crate requires all 32 bytes of a P-256 scalar; OpenSSH leaves out leading zeros.
const SHORT_SCALAR: &str = "If the file is whole and has an ECDSA key, it is one of the few (1 in 256) whose number starts with a zero: convert \
                            it with `ssh-keygen -p -m PKCS8 -N '' -f key`, or create another key.";
const CONVERT_IT: &str = "Convert it with `ssh-keygen -p -f key`, which writes OpenSSH's own form (with `-N ''` without a passphrase), or create an \
                          ed25519 key.";

/// Each takes some milliseconds, in which nothing else is done: of this many the key may stall a command for seconds.
const MOST_ROUNDS: u32 = 1_000;
const FEWER_ROUNDS: &str = "Encrypt it with fewer rounds: `ssh-keygen -p -a 100 -f key`.";

/// Returns the key's algorithm and fingerprint, for people.
pub fn describe(key: &PrivateKey) -> String {
    let fingerprint = key.public_key().fingerprint(HashAlg::Sha256);
    format!("{} {fingerprint}", key.algorithm())
}

/// Parses a private key in OpenSSH, PEM (PKCS#1, SEC1) or PKCS#8 form.
///
/// Accepts CRLF, spaces around lines, a missing final line break, a byte order mark, and text around the key, such as its public half
/// or the `EC PARAMETERS` that openssl writes before it. Ignores a passphrase for a key that is not encrypted.
///
/// # Errors
/// `config`, with a message for each kind of wrong input.
pub fn parse(text: &SecretString, passphrase: Option<&SecretString>) -> Result<PrivateKey> {
    // What `trim` removes, a byte order mark is not.
    let whole = text.expose_secret().trim_start_matches('\u{feff}');
    let lines: Vec<&str> = whole.lines().map(str::trim).collect();
    let whole = SecretString::from(lines.join("\n").trim());
    let text = SecretString::from(private_block(whole.expose_secret()));
    let label = label(text.expose_secret())?;
    let passphrase = passphrase
        .map(ExposeSecret::expose_secret)
        .filter(|given| !given.is_empty());
    // Asked first, so that a missing, a superfluous and a wrong passphrase each have their own message.
    let key = match (is_encrypted(text.expose_secret(), label)?, passphrase) {
        (true, None) => {
            return Err(unusable("is encrypted, and no passphrase is given")
                .advise("Set SSH_KEY_PASSPHRASE, or use a key without a passphrase."));
        }
        (true, Some(passphrase)) => {
            keys::decode_secret_key(text.expose_secret(), Some(passphrase)).map_err(undecryptable)
        }
        (false, _) => keys::decode_secret_key(text.expose_secret(), None).map_err(undecodable),
    }?;
    usable(key)
}

/// Returns the text from the first private key's BEGIN line to its END line, as OpenSSH and openssl read it; the whole text where there
/// is no such pair of lines.
fn private_block(text: &str) -> &str {
    let starts = text.match_indices("-----BEGIN ").map(|(at, _)| at);
    let block = |at: usize| {
        let rest = &text[at..];
        let (label, _) = begin(rest).filter(|(label, _)| label.ends_with("PRIVATE KEY"))?;
        let end = format!("\n-----END {label}-----");
        let length = rest.find(&end)? + end.len();
        Some(&rest[..length])
    };
    starts.into_iter().find_map(block).unwrap_or(text)
}

/// Returns the PEM label, for example `OPENSSH PRIVATE KEY`.
fn label(text: &str) -> Result<&str> {
    if text.is_empty() {
        return Err(unusable("is empty").advise(MAKE_A_KEY));
    }
    if text.starts_with("PuTTY-User-Key-File-") {
        return Err(unusable("is in PuTTY's format").advise(
            "Convert it with `puttygen key.ppk -O private-openssh -o key`, or with PuTTYgen's menu \
             Conversions, Export OpenSSH key.",
        ));
    }
    if is_public(text) {
        return Err(unusable("is a public key, not a private one")
            .advise("Use the other file of the pair, the one whose name does not end in .pub."));
    }
    let Some((label, rest)) = begin(text) else {
        return Err(unusable("is no private key: it has no BEGIN line").advise(GIVE_IT_WHOLE));
    };
    if label.ends_with("PUBLIC KEY") {
        return Err(unusable("is a public key, not a private one")
            .advise("Use the file that has the private key."));
    }
    // Pasted into a field of one line: the PEM parser would call it damaged.
    if !rest.starts_with('\n') {
        return Err(unusable("has lost its line breaks").advise(GIVE_IT_WHOLE));
    }
    match label {
        _ if !rest.contains(&format!("\n-----END {label}-----")) => {
            Err(unusable("is cut off: it has no END line").advise(GIVE_IT_WHOLE))
        }
        "OPENSSH PRIVATE KEY"
        | "RSA PRIVATE KEY"
        | "EC PRIVATE KEY"
        | "PRIVATE KEY"
        | "ENCRYPTED PRIVATE KEY" => Ok(label),
        other => Err(unsupported(other)),
    }
}

fn begin(text: &str) -> Option<(&str, &str)> {
    let (_, after) = text.split_once("-----BEGIN ")?;
    after.split_once("-----")
}

/// Says whether the text is a line of an `authorized_keys` or `.pub` file, or RFC 4716's form of the same.
fn is_public(text: &str) -> bool {
    [
        "ssh-",
        "ecdsa-sha2-",
        "sk-ssh-",
        "sk-ecdsa-",
        "---- BEGIN SSH2 PUBLIC KEY",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

fn is_encrypted(text: &str, label: &str) -> Result<bool> {
    match label {
        "OPENSSH PRIVATE KEY" => {
            let key = PrivateKey::from_openssh(text).map_err(|error| undecodable(error.into()))?;
            match key.kdf() {
                Kdf::Bcrypt { rounds, .. } if *rounds > MOST_ROUNDS => Err(unusable(&format!(
                    "takes {rounds} rounds to decrypt, and {MOST_ROUNDS} are the most that are done"
                ))
                .advise(FEWER_ROUNDS)),
                _ => Ok(key.is_encrypted()),
            }
        }
        "ENCRYPTED PRIVATE KEY" => Ok(true),
        _ => match text.lines().find_map(|line| line.strip_prefix("DEK-Info:")) {
            None => Ok(false),
            // The old PEM encryption: russh can decrypt only this cipher, and only for RSA keys.
            Some(cipher) if cipher.contains("AES-128-CBC") && label == "RSA PRIVATE KEY" => {
                Ok(true)
            }
            Some(cipher) => Err(too_old(&format!("{label}, {}", cipher.trim()))),
        },
    }
}

/// The key's encryption is one that OpenSSH reads, and that the libraries here do not.
fn too_old(encryption: &str) -> Error {
    unusable(&format!(
        "is encrypted in an old way that is not supported ({encryption})"
    ))
    .advise(CONVERT_IT)
}

fn usable(key: PrivateKey) -> Result<PrivateKey> {
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. } => Ok(key),
        other => Err(unsupported(other.as_str())),
    }
}

fn unsupported(what: &str) -> Error {
    unusable(&format!("is of an unsupported type ({what})"))
        .advise("Use an ed25519, ecdsa or RSA key; ed25519 is the best choice.")
}

fn undecryptable(cause: keys::Error) -> Error {
    // OpenSSH's form tells a wrong passphrase from other errors; in the other forms it shows as bad padding or numbers.
    if let keys::Error::SshKey(fault) = &cause
        && *fault != ssh_key::Error::Crypto
    {
        return undecodable(cause);
    }
    // A wrong passphrase shows only after the form of the encryption was read.
    let is_unknown = match &cause {
        keys::Error::Pkcs8(fault) => fault.to_string().contains("unsupported"),
        keys::Error::Der(_) => true,
        _ => false,
    };
    if is_unknown {
        return too_old("PKCS#8").because(cause);
    }
    // Without the library's words, which are "cryptographic error".
    unusable("cannot be decrypted: the passphrase is wrong").advise(
        "Check SSH_KEY_PASSPHRASE: `ssh-keygen -y -f key` asks for it and shows whether it fits.",
    )
}

fn undecodable(cause: keys::Error) -> Error {
    let advice = match &cause {
        keys::Error::UnknownAlgorithm(oid) => return unsupported(&oid.to_string()),
        keys::Error::SshKey(ssh_key::Error::AlgorithmUnsupported { algorithm }) => {
            return unsupported(algorithm.as_str());
        }
        keys::Error::SshKey(ssh_key::Error::Encoding(ssh_encoding::Error::Length)) => {
            format!("{GIVE_IT_WHOLE} {SHORT_SCALAR}")
        }
        _ => GIVE_IT_WHOLE.to_owned(),
    };
    unusable("is damaged or cut off")
        .because(cause)
        .advise(advice)
}

fn unusable(why: &str) -> Error {
    Error::new(Kind::Config, format!("the key in SSH_PRIVATE_KEY {why}"))
}
