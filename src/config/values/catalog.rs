//! Where the dump is imported from.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::{addresses, paths};

/// Where crates.io's database dump is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpSource {
    /// In a file.
    File(PathBuf),
    /// At an address of the web.
    Address(Url),
}

/// Names it without the query of an address, which may be a signature.
impl fmt::Display for DumpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Address(url) => {
                let mut shown = url.clone();
                shown.set_query(None);
                shown.set_fragment(None);
                write!(f, "{shown}")
            }
        }
    }
}

/// Reads a file, or an address of the web.
///
/// # Errors
/// What was expected.
pub fn dump_source(text: &str) -> Result<DumpSource, String> {
    const EXPECTED: &str = "expected a file, or an address that begins with https:// or http://";
    let Some((scheme, _)) = text.split_once("://") else {
        return paths::path(text).map(DumpSource::File);
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(format!("{EXPECTED}, found `{}`", text.escape_debug()));
    }
    let url = Url::parse(text).ok();
    let is_plain = |url: &Url| url.username().is_empty() && url.password().is_none();
    match url.filter(|_| text.len() <= addresses::LONGEST) {
        Some(url) if is_plain(&url) => Ok(DumpSource::Address(url)),
        Some(_) => Err(format!("{EXPECTED}, without a user or a password")),
        None => Err(format!("{EXPECTED}, found `{}`", text.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_dump_is_a_file_or_at_an_address() {
        let read = |text: &str| dump_source(text).unwrap();
        assert_eq!(
            read("db-dump.tar.gz"),
            DumpSource::File("db-dump.tar.gz".into())
        );
        let signed = read("HTTPS://dump.example/db-dump.tar.gz?signature=secret");
        assert!(matches!(signed, DumpSource::Address(_)));
        assert_eq!(signed.to_string(), "https://dump.example/db-dump.tar.gz");
        for wrong in [
            "ftp://dump.example/x",
            "https://",
            "https://user@dump.example/x",
            "a\nb",
        ] {
            assert!(dump_source(wrong).is_err(), "{wrong}");
        }
    }
}
