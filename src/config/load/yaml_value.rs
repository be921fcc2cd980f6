//! The value of a key in `ferry.yml`: one scalar, a list, or names with values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::keys::{Key, Shape};
use super::yaml_rules::Rule;
use super::yaml_scalar::{PlainText, Scalar, checked};
use super::yaml_trusted::TrustedRule;

/// The value of a key: `None` for a YAML null, which counts as unset.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) key: &'static Key,
    /// Whether any value is an error, whose position is all that is wanted.
    pub(super) is_refused: bool,
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Option<Vec<String>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // As an option, since a key whose value is commented out has a null, and is not given.
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Option<Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.key.shape {
            Shape::One => "one value",
            Shape::List | Shape::Mailboxes => "a list",
            Shape::Map => "a mapping of names to values",
            Shape::Rules => "a list of crates",
            Shape::Trusted => "a list of rules",
        })
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.is_refused {
            return deserializer.deserialize_any(Refusing);
        }
        match self.key.shape {
            Shape::List | Shape::Mailboxes | Shape::Rules | Shape::Trusted => {
                deserializer.deserialize_any(Elements(self.key)).map(Some)
            }
            Shape::Map => deserializer.deserialize_any(Pairs(self.key)).map(Some),
            Shape::One => deserializer
                .deserialize_str(Scalar {
                    key: self.key,
                    before: &[],
                })
                .map(|text| Some(vec![text])),
        }
    }
}

/// The elements of a key's list.
struct Elements(&'static Key);

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<String>, A::Error> {
        let key = self.0;
        let mut texts = Vec::new();
        loop {
            let before = &texts;
            let text = match key.shape {
                Shape::Rules => sequence.next_element_seed(Rule { key, before })?,
                Shape::Trusted => sequence.next_element_seed(TrustedRule { key, before })?,
                _ => sequence.next_element_seed(Scalar { key, before })?,
            };
            match text {
                Some(text) => texts.push(text),
                None => return Ok(texts),
            }
        }
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Vec<String>, E> {
        // serde's own error would repeat the text, which may be an address with a password.
        Err(E::custom("expected a list such as [a, b], found text"))
    }
}

/// The names and values of a map, each pair as `name=value`.
struct Pairs(&'static Key);

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of names to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(PlainText)?;
            texts.push(checked(self.0, &format!("{name}={value}"))?);
        }
        Ok(texts)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Vec<String>, E> {
        Err(E::custom(
            "expected a mapping such as { name: value }, found text",
        ))
    }
}

/// Admits nothing; the parser puts the position of the value into the error.
struct Refusing;

impl Visitor<'_> for Refusing {
    type Value = Option<Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no value")
    }
}
