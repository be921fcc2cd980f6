//! Reads `ferry.yml` by the table of keys; every error carries its line and column.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::super::keys::Key;
use super::super::sections::KEYS;
use super::super::settings::{Origin, Settings};
use super::hint::hint;
use super::yaml_error::in_plain_words;
use super::yaml_value::Value;
use crate::error::{Error, Kind, Result};

/// A key and the text of its value, or of each element of its list.
type KeyAndTexts = (&'static Key, Vec<String>);

/// How many brackets may be open at once: the parser's time grows with the square of that.
const DEEPEST: usize = 100;

/// Adds the values in the text of a configuration file; `shown` is the file's name in messages.
pub(super) fn load(text: &str, shown: &str, settings: &mut Settings) -> Result<()> {
    if let Some(line) = too_deep(text) {
        let text = format!("{shown}:{line}: more than {DEEPEST} brackets are open");
        return Err(Error::new(Kind::Config, text));
    }
    let mut found = Vec::new();
    read(text, None, &mut found).map_err(|error| located(&error, text, shown))?;
    for (at, (key, texts)) in found.into_iter().enumerate() {
        let position = position(text, at);
        let origin = Origin::File {
            file: shown.to_owned(),
            line: position.0,
            column: position.1,
        };
        settings.set(key, origin, texts)?;
    }
    Ok(())
}

/// Returns the line, from 1 on, at which too many brackets are open. Those in quotes and comments count, too: none has so many.
fn too_deep(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut lines = text.lines().enumerate();
    let mut is_too_deep = |line: &str| {
        line.bytes().any(|byte| {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            open > DEEPEST
        })
    };
    let (at, _) = lines.find(|(_, line)| is_too_deep(line))?;
    Some(at + 1)
}

/// Reads the document. The value whose place among the found ones is `refused` is an error.
fn read(
    text: &str,
    refused: Option<usize>,
    found: &mut Vec<KeyAndTexts>,
) -> Result<(), serde_yaml::Error> {
    let document = Map {
        section: None,
        group: "",
        refused,
        found,
    };
    document.deserialize(serde_yaml::Deserializer::from_str(text))
}

/// Returns line and column of a value.
///
/// serde passes no positions on, and only an error of the parser carries one. So the document is read once more up to
/// that value, which is then refused: a few dozen times at most, and in no time for a file of this size. (saphyr's
/// marked tree has positions, but does not tell that a key is given twice.)
fn position(text: &str, at: usize) -> (usize, usize) {
    let error = read(text, Some(at), &mut Vec::new()).err();
    let location = error.and_then(|error| error.location());
    location.map_or((1, 1), |at| (at.line(), at.column()))
}

/// Puts the position in front, as compilers do: `ferry.yml:3:5: …`.
fn located(error: &serde_yaml::Error, file: &str, shown: &str) -> Error {
    let said = error.to_string();
    let text = in_plain_words(&said);
    let message = match (error.location(), second_document(file)) {
        (Some(at), _) => format!("{shown}:{}:{}: {text}", at.line(), at.column()),
        // The parser's one error about the file as a whole has no position.
        (None, Some(line)) => format!(
            "{shown}:{line}:1: a second document begins here, and the configuration is one document"
        ),
        (None, None) => format!("{shown}: {text}"),
    };
    Error::new(Kind::Config, message)
}

/// Returns the line, from 1 on, at which a first document ends: a marker that something comes before.
fn second_document(file: &str) -> Option<usize> {
    let is_marker = |line: &str| matches!(line.split_whitespace().next(), Some("---" | "..."));
    let is_content = |line: &str| !line.trim_start().is_empty() && !line.starts_with(['#', '%']);
    let lines = || file.lines().enumerate();
    let (first, _) = lines().find(|(_, line)| is_content(line))?;
    let (marker, _) = lines()
        .skip(first + 1)
        .find(|(_, line)| line.starts_with(['-', '.']) && is_marker(line))?;
    Some(marker + 1)
}

/// The document (no section), one section of it, or a group of keys in a section.
struct Map<'a> {
    section: Option<&'static str>,
    /// What the names of the group's keys begin with, for example `tls.`; empty for a section's own keys.
    group: &'static str,
    /// The place among the found values of the one that is refused.
    refused: Option<usize>,
    found: &'a mut Vec<KeyAndTexts>,
}

impl Map<'_> {
    fn known(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = match self.section {
            None => KEYS.iter().map(|key| key.section).collect(),
            Some(section) => keys_of(section)
                .filter_map(|key| key.name.strip_prefix(self.group)?.split('.').next())
                .collect(),
        };
        // The table lists each section and each group in one piece, so that equal names are neighbours.
        names.dedup();
        names
    }

    /// Returns what the names of the keys in a group of this section begin with, where that name is a group's.
    fn group_within(&self, section: &str, name: &str) -> Option<&'static str> {
        let end = self.group.len() + name.len() + 1;
        let beginning = format!("{}{name}.", self.group);
        let key = keys_of(section).find(|key| key.name.starts_with(&beginning))?;
        Some(&key.name[..end])
    }
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

impl<'de> DeserializeSeed<'de> for Map<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Map<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a mapping with the keys {}", self.known().join(", "))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let known = self.known();
        let mut seen = Vec::new();
        while let Some(name) = map.next_key_seed(Name {
            known: &known,
            seen: &seen,
        })? {
            seen.push(name);
            let Some(section) = self.section else {
                let section = Map {
                    section: Some(name),
                    group: "",
                    refused: self.refused,
                    found: self.found,
                };
                map.next_value_seed(section)?;
                continue;
            };
            if let Some(group) = self.group_within(section, name) {
                let group = Map {
                    section: Some(section),
                    group,
                    refused: self.refused,
                    found: self.found,
                };
                map.next_value_seed(group)?;
                continue;
            }
            let path = format!("{}{name}", self.group);
            match keys_of(section).find(|key| key.name == path) {
                Some(key) => {
                    let is_refused = self.refused == Some(self.found.len());
                    let texts = map.next_value_seed(Value { key, is_refused })?;
                    self.found.extend(texts.map(|texts| (key, texts)));
                }
                // Not reached: `Name` admits only names of keys and groups.
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    /// An empty document or section sets no key.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    /// serde's own error would repeat the text, which may be an address with a password.
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(E::custom(format!(
            "expected a mapping with the keys {}, found text",
            self.known().join(", ")
        )))
    }
}

/// The name of a section or key.
struct Name<'a> {
    known: &'a [&'static str],
    seen: &'a [&'static str],
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of the keys {}", self.known.join(", "))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        match self.known.iter().find(|known| **known == name) {
            Some(known) if self.seen.contains(known) => {
                Err(E::custom(format!("the key `{name}` is given twice")))
            }
            Some(known) => Ok(known),
            None => Err(E::custom(format!(
                "unknown key `{name}`{}; known here: {}",
                hint(name, self.known),
                self.known.join(", "),
            ))),
        }
    }
}
