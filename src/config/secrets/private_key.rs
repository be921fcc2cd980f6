//! Finds the private key in `SSH_PRIVATE_KEY`, in each of the forms that CI systems make of it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::super::environment::{Environment, unusable};
use super::super::text_file;
use crate::error::{Error, Result};

const NAME: &str = "SSH_PRIVATE_KEY";
const ADVICE: &str = "Set SSH_PRIVATE_KEY to the text of a private key in OpenSSH or PEM form (as ssh-keygen writes it), to \
                      the path of a file that holds it (a variable of type \"file\"), or to `base64 -w0` of it.";

/// Reads the key: its text, the path of a file, or base64; a file may hold base64, and base64 a path.
pub(super) fn read(environment: &Environment) -> Result<Option<SecretString>> {
    let Some(value) = environment.text(NAME)? else {
        return Ok(None);
    };
    if let Some(key) = key_text(value)? {
        return Ok(Some(key));
    }
    // Before the path, for which an absolute one is never mistaken: its `/` decodes to six one bits, and no UTF-8 text
    // begins with such a byte.
    if let Some(decoded) = from_base64(value) {
        return match key_text(&decoded)? {
            Some(key) => Ok(Some(key)),
            None => from_file(decoded.trim()),
        };
    }
    from_file(value)
}

/// Reads the file that the value names; the value is shown only where it cannot be a part of a key.
fn from_file(value: &str) -> Result<Option<SecretString>> {
    let path = Path::new(value);
    if is_dropbears(path) {
        return Err(failure(format!(
            "the key in {} is in Dropbear's form; `dropbearconvert dropbear openssh KEY key` converts it",
            path.display()
        )));
    }
    let text = text_file::read(path).map_err(|e| {
        // A path that is there is a path; otherwise only what begins as one and is too short for a key's text.
        let plainly_a_path = path.exists() || looks_like_a_path(value);
        let tried = match plainly_a_path {
            true => format!("cannot read the file {value}"),
            false => {
                "it holds neither a key's text, nor base64 of one, nor the path of a readable file"
                    .to_owned()
            }
        };
        failure(tried).because(e)
    })?;
    let decoded = from_base64(&text);
    match key_text(decoded.as_deref().unwrap_or(&text))? {
        Some(key) => Ok(Some(key)),
        None => Err(failure(format!(
            "the file {} holds neither a private key nor base64 of one",
            path.display()
        ))),
    }
}

/// Says whether a file begins as Dropbear's keys do: with the length and the name of the key's type.
fn is_dropbears(path: &Path) -> bool {
    let mut start = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    let (length, name) = start.split_at(4);
    read.is_ok() && length.starts_with(&[0, 0, 0]) && (name == b"ssh-" || name == b"ecds")
}

/// Says whether a value can be shown: it begins as a path, and is too short for a key.
pub(super) fn looks_like_a_path(value: &str) -> bool {
    ["/", "./", "../", "~/"]
        .iter()
        .any(|start| value.starts_with(start))
        && !value.contains(char::is_whitespace)
        && value.len() < 60
}

/// Says whether a text holds a private key, or is base64 of one.
pub(super) fn is_in(text: &str) -> bool {
    let is_key = |text: &str| {
        text.contains("PRIVATE KEY-----") || text.trim_start().starts_with("PuTTY-User-Key-File")
    };
    is_key(text) || from_base64(text).is_some_and(|decoded| is_key(&decoded))
}

/// Says whether a text begins with a public key, as OpenSSH writes one.
pub(super) fn is_public_key(text: &str) -> bool {
    text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-") || text.starts_with("sk-ssh-")
}

/// Returns the text where it is a key's, with the line ends that parsers expect; names what is commonly mistaken for one.
fn key_text(text: &str) -> Result<Option<SecretString>> {
    // Windows' editors put a byte order mark in front.
    let text = text.trim_start_matches('\u{feff}').trim();
    // A public key may stand in the same text: only one that stands there alone was mistaken for the private one.
    let has_private = text.contains("PRIVATE KEY-----");
    if text.starts_with("PuTTY-User-Key-File") {
        return Err(failure(
            "the key is in PuTTY's form; `puttygen key.ppk -O private-openssh` converts it",
        ));
    }
    let has_public = is_public_key(text)
        || text.contains("-----BEGIN PUBLIC KEY")
        || text.contains("---- BEGIN SSH2 PUBLIC KEY");
    if text.contains("-----BEGIN CERTIFICATE") && !has_private {
        return Err(failure("this is a certificate, and no private key"));
    }
    // Behind the names of hosts, and the marker that may stand before them.
    let mut words = text
        .lines()
        .next()
        .unwrap_or_default()
        .split(' ')
        .skip(1)
        .take(2);
    if !has_private && words.any(is_public_key) {
        return Err(failure(
            "these are lines of known hosts, which belong in SSH_KNOWN_HOSTS",
        ));
    }
    if has_public && !has_private {
        return Err(failure(
            "this is a public key; the private one is in the file without `.pub`",
        ));
    }
    if !text.contains("-----BEGIN ") {
        return Ok(None);
    }
    if !text.contains("-----END ") {
        return Err(failure("the key's text is cut off: it has no END line"));
    }
    if !text.contains('\n') {
        return Err(failure("the key's text has lost its line breaks"));
    }
    // Parsers of PEM want LF, and a line break after the END line, which CI systems cut off.
    Ok(Some(format!("{}\n", text.replace("\r\n", "\n")).into()))
}

/// Decodes base64 of a text, with white space anywhere.
pub(super) fn from_base64(value: &str) -> Option<String> {
    let compact: String = value.split_whitespace().collect();
    let decoded = STANDARD
        .decode(compact)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())?;
    (!decoded.trim().is_empty()).then_some(decoded)
}

fn failure(reason: impl std::fmt::Display) -> Error {
    unusable(NAME, reason).advise(ADVICE)
}
