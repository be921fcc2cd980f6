//! The rules about crates in `ferry.yml`: each is a text, or a mapping with an end and a reason.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::values::policy::in_one_line;
use super::yaml_value::{PlainText, Value};

/// The names in the mapping of a rule.
const PARTS: [&str; 3] = ["crate", "until", "why"];

/// A list of rules.
pub(super) struct Rules(pub(super) Value);

impl<'de> Visitor<'de> for Rules {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of crates")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = sequence.next_element_seed(Rule(self.0))? {
            texts.push(text);
        }
        Ok(texts)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Vec<String>, E> {
        Err(E::custom("expected a list such as [a, b], found text"))
    }
}

/// A rule: its text, or the mapping that says the same.
struct Rule(Value);

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
        self.0.element(text)
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
        self.0.element(&in_one_line(&crates, until, why))
    }
}
