//! One scalar of `ferry.yml`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::super::keys::Key;
use super::super::variable_value::unexpanded;
use super::password::refuse_password;

/// Checks a value of a key.
pub(super) fn checked<E: Error>(key: &Key, text: &str) -> Result<String, E> {
    refuse_password(key, text).map_err(E::custom)?;
    if let Some(reference) = unexpanded(text) {
        return Err(E::custom(format!(
            "{reference} is no value: variables are not expanded in this file; write the value out, or leave the key out and \
             set {}",
            key.variable()
        )));
    }
    (key.check)(text).map_err(E::custom)?;
    Ok(text.to_owned())
}

/// A value of a key, taken as it is written: `1.0` stays `1.0`.
#[derive(Clone, Copy)]
pub(super) struct Scalar(pub(super) &'static Key);

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

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        checked(self.0, text)
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

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}
