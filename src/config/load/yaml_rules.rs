//! A rule about crates in `ferry.yml`: a text, or a mapping with an end and a reason.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::super::keys::Key;
use super::super::values::policy::in_one_line;
use super::yaml_scalar::{PlainText, checked_element};

/// The names in the mapping of a rule.
const PARTS: [&str; 3] = ["crate", "until", "why"];

/// A rule after others: its text, or the mapping that says the same.
#[derive(Clone, Copy)]
pub(super) struct Rule<'b> {
    pub(super) key: &'static Key,
    pub(super) before: &'b [String],
}

impl<'de> DeserializeSeed<'de> for Rule<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rule<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a crate, or a mapping with the keys crate, until and why")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        let rule: Result<_, E> = checked_element(self.key, self.before, text);
        match self.before.last() {
            Some(before) if is_rest(text) => rule.map_err(|error| {
                E::custom(format!(
                    "{error}; in a list in `[ ]` a comma ends the element: put the rule in quotes, as \"{before}, {text}\""
                ))
            }),
            _ => rule,
        }
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
        checked_element(self.key, self.before, &in_one_line(&crates, until, why))
    }
}

/// Says whether a text looks like the second part of a requirement: `time@>=0.1, <0.2.23`.
fn is_rest(text: &str) -> bool {
    let is_first = |first: char| first.is_ascii_digit() || "<>=^~*".contains(first);
    text.starts_with(is_first) && !text.contains('@') && text.contains(|c: char| c.is_ascii_digit())
}
