//! What a key of the configuration is.

use super::values::Parse;

/// One key of `ferry.yml`, and of the environment.
#[derive(Debug)]
pub(super) struct Key {
    /// The section, for example `serve`.
    pub(super) section: &'static str,
    /// The name within the section, for example `tls.cert`.
    pub(super) name: &'static str,
    /// Both, as messages write them: `serve.tls.cert`.
    pub(super) path: &'static str,
    pub(super) shape: Shape,
    /// The text that is read where none is given.
    pub(super) default: Option<&'static str>,
    /// The flag that sets the key in those commands that have it.
    pub(super) flag: Option<&'static str>,
    /// Its description in the documentation.
    pub(super) about: &'static str,
    /// Reads a value, one element of a list, or one `name=value` of a map, and drops it.
    pub(super) check: Parse<()>,
}

/// How many values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    /// A list of mail addresses, whose names may hold commas.
    Mailboxes,
    /// Names and values; in a variable `name=value,name=value`.
    Map,
    /// A list of crates, each perhaps with an end and a reason; in a variable `;` separates them, since a requirement has commas.
    Rules,
    /// A list of rules about jobs of CI, each a mapping; in a variable `;` separates them.
    Trusted,
}

impl Shape {
    /// Returns the shape of a key that the table reads by this method of `Settings`.
    pub(super) const fn read_by(how: &str) -> Self {
        // Bytes, since a `const fn` cannot compare texts.
        match how.as_bytes() {
            b"list" => Self::List,
            b"mailboxes" => Self::Mailboxes,
            b"map" => Self::Map,
            b"rules" => Self::Rules,
            b"trusted" => Self::Trusted,
            _ => Self::One,
        }
    }
}

impl Key {
    /// Returns the key's variable, for example `FERRY_SERVE_TLS_CERT`.
    pub(super) fn variable(&self) -> String {
        let path = self.path.replace('.', "_").to_ascii_uppercase();
        format!("FERRY_{path}")
    }

    /// Returns how the key is set, for the advice of an error.
    pub(super) fn how_to_set(&self) -> String {
        let flag = self.flag.map(|flag| format!("the flag {flag}, "));
        format!(
            "{}the variable {}, or the key {} of ferry.yml",
            flag.unwrap_or_default(),
            self.variable(),
            self.path
        )
    }
}
