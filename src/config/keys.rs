//! Keys, the values given for them, and the macro that makes sections of a table of keys.

use std::collections::BTreeMap;
use std::path::Path;

use tracing::warn;

use super::{Environment, FLAGS, file, sections, text_file, unusable, values};
use crate::error::{Error, Kind, Result};

/// Reads a value's text, or says what was expected.
pub(super) type Parse<T> = fn(&str) -> Result<T, String>;

/// One key of `ferry.yml`, and of the environment.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
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
    /// Returns the shape of a key that the table reads by this function of [`Settings`].
    pub(super) const fn read_by(how: &str) -> Self {
        match how.as_bytes() {
            b"list" => Self::List,
            b"map" => Self::Map,
            _ => Self::One,
        }
    }
}

impl Key {
    /// Returns the key as messages write it, for example `mirror.url`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// Returns the key's variable, for example `FERRY_MIRROR_URL`.
    pub(super) fn variable(&self) -> String {
        variable(self.section, self.name)
    }
}

fn variable(section: &str, name: &str) -> String {
    format!("FERRY_{section}_{name}")
        .replace('.', "_")
        .to_ascii_uppercase()
}

/// Variables that begin as our keys do and are none.
const OTHER_VARIABLES: [&str; 5] = [
    "FERRY_CONFIG",
    "FERRY_HOOK_TOKEN",
    "FERRY_MIRROR_TOKEN",
    "FERRY_SMTP_PASSWORD",
    "FERRY_TRIGGER_TOKEN",
];

/// The values of one key, and the flag, variable or file that they come from.
struct Given {
    origin: String,
    texts: Vec<String>,
}

/// The values that were given, by section and name; a later layer replaces an earlier one.
#[derive(Default)]
pub(super) struct Settings(BTreeMap<(&'static str, &'static str), Given>);

impl Settings {
    /// Adds what a file says. Each value is checked here, where its line is known.
    pub(super) fn read_file(&mut self, path: &Path) -> Result<()> {
        let shown = path.display().to_string();
        let text = text_file::read(path).map_err(|e| {
            Error::new(
                Kind::Config,
                format!("cannot read the configuration file {shown}"),
            )
            .because(e)
            .advise("The file is named by --config, else by FERRY_CONFIG, else it is ./ferry.yml.")
        })?;
        for (key, texts) in file::read(&text, &shown)? {
            self.set(key, format!("{shown}: {}", key.path()), texts);
        }
        Ok(())
    }

    /// Adds what the variables of the keys say, and warns of variables that look like one and are none.
    pub(super) fn read_variables(&mut self, environment: &Environment) -> Result<()> {
        for key in sections::KEYS {
            let name = key.variable();
            let Some(text) = environment.text(&name)? else {
                continue;
            };
            let texts = match key.shape {
                Shape::List | Shape::Map => text
                    .split(',')
                    .map(str::trim)
                    .filter(|t| !t.is_empty())
                    .map(str::to_owned)
                    .collect(),
                Shape::One => vec![text.to_owned()],
            };
            self.set(key, name, texts);
        }
        for name in environment.unknown_variables() {
            warn!(
                "{name} is no variable of crates-ferry{}",
                hint(name, &known_variables())
            );
        }
        Ok(())
    }

    /// Adds what a flag says.
    pub(super) fn read_flag(&mut self, flag: &str, path: &str, text: &str) -> Result<()> {
        values::refuse_password(text).map_err(|reason| unusable(flag, reason))?;
        if let Some(key) = sections::KEYS.iter().find(|key| key.path() == path) {
            self.set(key, flag.to_owned(), vec![text.to_owned()]);
        }
        Ok(())
    }

    fn set(&mut self, key: &Key, origin: String, texts: Vec<String>) {
        self.0
            .insert((key.section, key.name), Given { origin, texts });
    }

    fn all<T>(
        &self,
        section: &'static str,
        name: &'static str,
        parse: Parse<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(given) = self.0.get(&(section, name)) else {
            return Ok(None);
        };
        let parsed = given
            .texts
            .iter()
            .map(|text| parse(text))
            .collect::<Result<_, _>>();
        parsed
            .map(Some)
            .map_err(|reason| unusable(&given.origin, reason))
    }

    /// Returns the value of a key that may be left out.
    pub(super) fn optional<T>(
        &self,
        section: &'static str,
        name: &'static str,
        parse: Parse<T>,
    ) -> Result<Option<T>> {
        Ok(self
            .all(section, name, parse)?
            .and_then(|mut all| all.pop()))
    }

    /// Returns the value of a key, or its default.
    pub(super) fn or_default<T>(
        &self,
        section: &'static str,
        name: &'static str,
        parse: Parse<T>,
        default: &str,
    ) -> Result<T> {
        match self.optional(section, name, parse)? {
            Some(value) => Ok(value),
            None => parse(default)
                .map_err(|reason| unusable(&format!("default of {section}.{name}"), reason)),
        }
    }

    /// Returns the elements of a list, which is empty by default.
    pub(super) fn list<T>(
        &self,
        section: &'static str,
        name: &'static str,
        parse: Parse<T>,
    ) -> Result<Vec<T>> {
        Ok(self.all(section, name, parse)?.unwrap_or_default())
    }

    /// Returns the names and values of a map, which is empty by default; a name that is given twice has its last value.
    pub(super) fn map<T>(
        &self,
        section: &'static str,
        name: &'static str,
        parse: Parse<(String, T)>,
    ) -> Result<BTreeMap<String, T>> {
        Ok(self.list(section, name, parse)?.into_iter().collect())
    }

    /// Says whether a key was given.
    pub(super) fn has(&self, section: &'static str, name: &'static str) -> bool {
        self.0.contains_key(&(section, name))
    }

    /// Returns the value of a key that must be given.
    pub(super) fn needed<T>(
        &self,
        section: &'static str,
        name: &'static str,
        parse: Parse<T>,
    ) -> Result<T> {
        let path = format!("{section}.{name}");
        self.optional(section, name, parse)?.ok_or_else(|| {
            let flag = FLAGS.iter().find(|flag| flag.1 == path);
            let flag = flag
                .map(|flag| format!("the flag {}, ", flag.0))
                .unwrap_or_default();
            let variable = variable(section, name);
            Error::new(Kind::Config, format!("{path} is not set")).advise(format!(
                "Give it by {flag}the variable {variable}, or the key {path} of ferry.yml."
            ))
        })
    }
}

/// Returns every variable that begins with `FERRY_` and is read.
pub(super) fn known_variables() -> Vec<String> {
    let keys = sections::KEYS.iter().map(Key::variable);
    keys.chain(OTHER_VARIABLES.map(str::to_owned)).collect()
}

/// Returns `; did you mean …?` where one of the known names is near.
pub(super) fn hint<S: AsRef<str>>(name: &str, known: &[S]) -> String {
    let distance = |other: &&S| strsim::damerau_levenshtein(name, other.as_ref());
    match known.iter().min_by_key(distance) {
        Some(near) if distance(&near) <= (name.len() / 3).clamp(1, 4) => {
            format!("; did you mean {}?", near.as_ref())
        }
        _ => String::new(),
    }
}

/// Makes a documented struct of each section, and `KEYS`, the list of all keys.
///
/// A field reads `name: Type = how("key", parse);` where `how` is `needed`, `optional`, `list`, `map`, or `or_default`,
/// which takes the default's text as a third argument.
macro_rules! key_table {
    ($(
        $(#[$about:meta])*
        $section:ident: $Section:ident {
            $(
                $(#[$doc:meta])*
                $field:ident: $type:ty = $how:ident($name:literal, $parse:path $(, $default:literal)?);
            )*
        }
    )*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone)]
            pub struct $Section {
                $( $(#[$doc])* pub $field: $type, )*
            }

            impl $Section {
                pub(super) fn from_settings(settings: &super::keys::Settings) -> crate::error::Result<Self> {
                    Ok(Self {
                        $( $field: settings.$how(stringify!($section), $name, $parse $(, $default)?)?, )*
                    })
                }
            }
        )*

        /// Every key, in the order of the table.
        pub(super) const KEYS: &[super::keys::Key] = &[$($(
            super::keys::Key {
                section: stringify!($section),
                name: $name,
                shape: super::keys::Shape::read_by(stringify!($how)),
                check: |text| $parse(text).map(drop),
            },
        )*)*];
    };
}
pub(super) use key_table;
