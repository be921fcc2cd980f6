//! The certificates that are trusted besides the system's.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use tracing::warn;

use super::environment::Environment;
use super::text_file;
use crate::error::Result;

/// The variables in which git, curl and GitLab's runner name additional certificates.
pub(super) const CONVENTIONAL: [&str; 3] =
    ["GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "CI_SERVER_TLS_CA_FILE"];

/// Reads a file of certificates in PEM form; the error says why it is not one.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = text_file::read(path).map_err(|error| match is_der(path) {
        true => format!("{shown} is in DER form, not in PEM form: {}", convert(path)),
        false => format!("cannot read the certificates in {shown}: {error}"),
    })?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(format!(
            "{shown} holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)"
        ));
    }
    Ok(text)
}

/// Says whether a file that is no text begins as a certificate in DER form does: a SEQUENCE of 256 bytes or more.
fn is_der(path: &Path) -> bool {
    let mut start = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == [0x30, 0x82]
}

fn convert(path: &Path) -> String {
    let text = path.to_string_lossy();
    let file = shlex::try_quote(&text).unwrap_or_else(|_| "FILE".into());
    format!("convert it with `openssl x509 -inform DER -in {file} -out ca.pem`")
}

/// Reads the certificates that other tools' variables name. Those variables are not ours, so a bad one only warns.
pub(super) fn conventional(environment: &Environment) -> Result<Option<String>> {
    let mut texts = Vec::new();
    for name in CONVENTIONAL {
        let Some(path) = environment.text(name)? else {
            continue;
        };
        match read(Path::new(path)) {
            Ok(text) => texts.push(text),
            Err(reason) => warn!("{name} is ignored: {reason}"),
        }
    }
    // A file may lack its last line break, and two PEM blocks on one line are none.
    Ok((!texts.is_empty()).then(|| texts.join("\n")))
}
