//! The value of a key in `ferry.yml`: one scalar, a list, or names with values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::keys::{Key, Shape};
use super::super::variable_value::unexpanded;
use super::password::refuse_password;
use super::yaml_rules::Rules;

/// The value of a key: `None` for a YAML null, which counts as unset.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) key: &'static Key,
    /// Whether any value is an error, whose position is all that is wanted.
    pub(super) is_refused: bool,
}

impl Value {
    pub(super) fn element<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        refuse_password(self.key, text).map_err(E::custom)?;
        if let Some(reference) = unexpanded(text) {
            return Err(E::custom(format!(
                "{reference} is no value: variables are not expanded in this file; write the value out, or leave the key out and \
                 set {}",
                self.key.variable()
            )));
        }
        (self.key.check)(text).map_err(E::custom)?;
        Ok(text.to_owned())
    }
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
            Shape::List | Shape::Mailboxes => {
                deserializer.deserialize_any(Elements(self)).map(Some)
            }
            Shape::Rules => deserializer.deserialize_any(Rules(self)).map(Some),
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
        // serde's own error would repeat the text, which may be an address with a password.
        Err(E::custom("expected a list such as [a, b], found text"))
    }
}

/// The names and values of a map, each pair as `name=value`.
struct Pairs(Value);

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of names to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(PlainText)?;
            texts.push(self.0.element(&format!("{name}={value}"))?);
        }
        Ok(texts)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Vec<String>, E> {
        Err(E::custom(
            "expected a mapping such as { name: value }, found text",
        ))
    }
}

/// A scalar of a map, as it is written.
pub(super) struct PlainText;

impl<'de> DeserializeSeed<'de> for PlainText {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for PlainText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
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
