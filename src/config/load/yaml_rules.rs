//! A rule about crates in `ferry.yml`: a text, or a mapping with an end and a reason.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::super::keys::Key;
use super::super::values::policy::in_one_line;
use super::yaml_scalar::{PlainText, checked};

/// The names in the mapping of a rule.
const PARTS: [&str; 3] = ["crate", "until", "why"];

/// A rule: its text, or the mapping that says the same.
#[derive(Clone, Copy)]
pub(super) struct Rule(pub(super) &'static Key);

impl<'de> DeserializeSeed<'de> for Rule {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rule {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a crate, or a mapping with the keys crate, until and why")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        checked(self.0, text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        use serde::de::Error as _;
        let mut parts = [None, None, None];
        while let Some(name) = map.next_key::<String>()? {
            let Some(place) = PARTS.iter().position(|part| *part == name) else {
                let name = name.escape_debug();
                return Err(A::Error::custom(format!(
                    "unknown key `{name}`; known here: {}",
                    PARTS.join(", ")
                )));
            };
            if parts[place].is_some() {
                return Err(A::Error::custom(format!("the key `{name}` is given twice")));
            }
            parts[place] = Some(map.next_value_seed(PlainText)?);
        }
        let [crates, until, why] = parts;
        let crates = crates.ok_or_else(|| A::Error::custom("the key `crate` is missing"))?;
        checked(self.0, &in_one_line(&crates, until, why))
    }
}
