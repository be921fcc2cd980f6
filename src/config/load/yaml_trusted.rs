//! A rule about jobs of CI in `ferry.yml`: a mapping, or the text that says the same.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::keys::Key;
use super::super::values::trusted::{PARTS, in_one_line, unknown};
use super::yaml_scalar::{PlainText, checked_element};

/// The part that may be a list.
const LIST: &str = "crates";

/// A rule after others.
#[derive(Clone, Copy)]
pub(super) struct TrustedRule<'b> {
    pub(super) key: &'static Key,
    pub(super) before: &'b [String],
}

impl<'de> DeserializeSeed<'de> for TrustedRule<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TrustedRule<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a mapping with the keys {}", PARTS.join(", "))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        checked_element(self.key, self.before, text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        use serde::de::Error as _;
        let mut parts = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if !PARTS.contains(&name.as_str()) {
                return Err(A::Error::custom(unknown(&name)));
            }
            let value = match name.as_str() {
                LIST => map.next_value_seed(TextOrList)?,
                _ => map.next_value_seed(PlainText)?,
            };
            parts.push((name, value));
        }
        let line = in_one_line(&parts).map_err(A::Error::custom)?;
        checked_element(self.key, self.before, &line)
    }
}

/// A text, or a list of them, which are joined by commas.
struct TextOrList;

impl<'de> DeserializeSeed<'de> for TextOrList {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextOrList {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of crates, such as [acme-*]")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<String, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = sequence.next_element_seed(PlainText)? {
            texts.push(text);
        }
        Ok(texts.join(","))
    }
}
