//! One scalar of `ferry.yml`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::super::keys::Key;
use super::super::settings::name_in;
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

/// Checks an element of a list, after these: at its own place in the file.
pub(super) fn checked_element<E: Error>(
    key: &Key,
    before: &[String],
    text: &str,
) -> Result<String, E> {
    let text = checked(key, text)?;
    let name = name_in(key.shape, &text);
    if before.iter().any(|other| name_in(key.shape, other) == name) {
        return Err(E::custom(format!(
            "`{}` is given twice",
            name.escape_debug()
        )));
    }
    Ok(text)
}

/// A value of a key, or an element of its list after others, taken as it is written: `1.0` stays `1.0`.
#[derive(Clone, Copy)]
pub(super) struct Scalar<'b> {
    pub(super) key: &'static Key,
    pub(super) before: &'b [String],
}

impl<'de> DeserializeSeed<'de> for Scalar<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Scalar<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        checked_element(self.key, self.before, text)
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
