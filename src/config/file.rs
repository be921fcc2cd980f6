//! Reads `ferry.yml` by the table of keys; every complaint carries its line and column.

mod pairs;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use pairs::Pairs;

use super::keys::{Key, Shape, hint};
use super::{sections, values};
use crate::error::{Error, Kind, Result};

/// A key and the text of its value, or of each element of its list.
pub(super) type Entry = (&'static Key, Vec<String>);

/// Reads the text of a configuration file; `shown` is its name in messages.
pub(super) fn read(text: &str, shown: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let document = Map {
        section: None,
        group: "",
        entries: &mut entries,
    };
    match document.deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(()) => Ok(entries),
        Err(error) => Err(complaint(&error, shown)),
    }
}

/// Puts the position in front, as compilers do: `ferry.yml:3:5: …`.
fn complaint(error: &serde_yaml::Error, shown: &str) -> Error {
    let text = error.to_string();
    let message = match error.location() {
        Some(at) => {
            let position = format!(" at line {} column {}", at.line(), at.column());
            let text = text.strip_suffix(&position).unwrap_or(&text);
            format!("{shown}:{}:{}: {text}", at.line(), at.column())
        }
        None => format!("{shown}: {text}"),
    };
    Error::new(Kind::Config, message)
}

/// The document (no section), one section of it, or a group of keys in a section.
struct Map<'a> {
    section: Option<&'static str>,
    /// What the names of the group's keys begin with, for example `tls.`; empty for a section's own keys.
    group: &'static str,
    entries: &'a mut Vec<Entry>,
}

impl Map<'_> {
    fn known(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = match self.section {
            None => sections::KEYS.iter().map(|key| key.section).collect(),
            Some(section) => keys_of(section)
                .filter_map(|key| key.name.strip_prefix(self.group)?.split('.').next())
                .collect(),
        };
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
    sections::KEYS
        .iter()
        .filter(move |key| key.section == section)
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
                    entries: self.entries,
                };
                map.next_value_seed(section)?;
                continue;
            };
            if let Some(group) = self.group_within(section, name) {
                let group = Map {
                    section: Some(section),
                    group,
                    entries: self.entries,
                };
                map.next_value_seed(group)?;
                continue;
            }
            let path = format!("{}{name}", self.group);
            match keys_of(section).find(|key| key.name == path) {
                Some(key) => {
                    let texts = map.next_value_seed(Value { key })?;
                    self.entries.extend(texts.map(|texts| (key, texts)));
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    /// An empty document or section says nothing.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    /// serde's own complaint would repeat the text, which may be an address with a password.
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

/// The value of a key: `None` for a YAML null, which says nothing.
#[derive(Clone, Copy)]
struct Value {
    key: &'static Key,
}

impl Value {
    fn element<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        values::refuse_password(text).map_err(E::custom)?;
        (self.key.check)(text).map_err(E::custom)?;
        Ok(text.to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Option<Vec<String>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Option<Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.key.shape {
            Shape::One => "one value",
            Shape::List => "a list",
            Shape::Map => "a mapping of names to values",
        })
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.key.shape {
            Shape::List => deserializer.deserialize_any(Elements(self)).map(Some),
            Shape::Map => deserializer.deserialize_any(Pairs(self)).map(Some),
            Shape::One => deserializer
                .deserialize_str(Scalar(self))
                .map(|text| Some(vec![text])),
        }
    }
}

/// One scalar, taken as it is written: `1.0` stays `1.0`.
struct Scalar(Value);

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        self.0.element(text)
    }
}

/// The elements of a list.
struct Elements(Value);

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = sequence.next_element_seed(Scalar(self.0))? {
            texts.push(text);
        }
        Ok(texts)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Vec<String>, E> {
        Err(E::custom("expected a list such as [a, b], found text"))
    }
}
