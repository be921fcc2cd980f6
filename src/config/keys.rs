//! What a key of the configuration is, and the macro that makes sections of a table of keys.

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
    /// What the documentation says about it.
    pub(super) about: &'static str,
    /// Reads a value, one element of a list, or one `name=value` of a map, and drops it.
    pub(super) check: Parse<()>,
}

/// How many values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    /// Names and values; in a variable `name=value,name=value`.
    Map,
}

impl Shape {
    /// Returns the shape of a key that the table reads by this method of [`Settings`](super::settings::Settings).
    pub(super) const fn read_by(how: &str) -> Self {
        match how.as_bytes() {
            b"list" => Self::List,
            b"map" => Self::Map,
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

    /// Says how the key is set, for the advice of an error.
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

/// Makes a documented struct of each section, and `KEYS`, the list of all keys.
///
/// A field reads `name: Type = how("key", parse);` where `how` is the method of `Settings` that reads it: `needed`,
/// `optional`, `list`, `map`, or `or_default`, which takes the default's text as a third argument. `flag "--name"` may
/// follow. The comment above it is what the documentation says about the key.
macro_rules! key_table {
    ($(
        $(#[$about:meta])*
        $section:ident: $Section:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $type:ty = $how:ident($name:literal, $parse:path $(, $default:literal)?) $(flag $flag:literal)?;
            )*
        }
    )*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone)]
            pub struct $Section {
                $(
                    $(#[doc = $doc])*
                    #[doc = concat!("\n\nThe key `", stringify!($section), ".", $name, "`.")]
                    pub $field: $type,
                )*
            }

            impl $Section {
                pub(super) fn from_settings(
                    settings: &super::settings::Settings,
                ) -> crate::error::Result<Self> {
                    Ok(Self {
                        $( $field: settings.$how(key(concat!(stringify!($section), ".", $name)), $parse)?, )*
                    })
                }
            }
        )*

        /// Every key, in the order of the table.
        pub(super) const KEYS: &[super::keys::Key] = &[$($(
            super::keys::Key {
                section: stringify!($section),
                name: $name,
                path: concat!(stringify!($section), ".", $name),
                shape: super::keys::Shape::read_by(stringify!($how)),
                default: super::keys::first(&[$($default)?]),
                flag: super::keys::first(&[$($flag)?]),
                about: concat!($($doc),*),
                check: |text| $parse(text).map(drop),
            },
        )*)*];
    };
}
pub(super) use key_table;

/// Returns what the table gives for a part of a key that may be left out.
pub(super) const fn first(given: &[&'static str]) -> Option<&'static str> {
    match given {
        [value, ..] => Some(value),
        [] => None,
    }
}
