//! Which names may be published, by the configuration and by the public index.

use super::refusal::{Failure, Refusal};
use crate::error::Result;
use crate::index::{CrateName, ReservedNames, folded};

/// Says whether a name may be published, and why not. `names` are those of the configuration, empty where all may be that the public
/// index does not have; `has_public` says whether the public index has a crate, by its path.
///
/// # Errors
/// Why it may not.
pub fn check_name(
    names: &ReservedNames,
    name: &CrateName,
    has_public: impl Fn(&str) -> Result<bool>,
) -> Result<Option<String>, Failure> {
    if names.is_empty() {
        return match public_like(name, has_public)? {
            None => Ok(None),
            Some(public) => {
                let text = format!(
                    "the public index has a crate `{public}`: to publish `{name}` here, its name has to be in private.names, which \
                     keeps it from being taken from there"
                );
                Err(Refusal::forbidden(text).into())
            }
        };
    }
    if names.find(&folded(name.as_str())).is_none() {
        let patterns: Vec<_> = names.patterns().iter().map(ToString::to_string).collect();
        let text = format!(
            "`{name}` is not one of the names that may be published here: {} (private.names)",
            patterns.join(", ")
        );
        return Err(Refusal::forbidden(text).into());
    }
    Ok(public_like(name, has_public)?.map(|public| {
        format!("the public index has a crate `{public}`: whoever uses it without naming this registry gets another crate")
    }))
}

/// Finds a crate of the public index that looks like this one.
fn public_like(name: &CrateName, has: impl Fn(&str) -> Result<bool>) -> Result<Option<String>> {
    /// The most separators of a name that are varied: of more, the spellings with either of them alone are looked for.
    const VARIED: usize = 10;
    let name = name.as_str().to_ascii_lowercase();
    let places: Vec<_> = name.match_indices(['-', '_']).map(|(at, _)| at).collect();
    let spellings: Vec<String> = match places.len() {
        0..=VARIED => (0..1_u32 << places.len())
            .map(|bits| spelled(&name, &places, bits))
            .collect(),
        _ => vec![name.clone(), name.replace('-', "_"), name.replace('_', "-")],
    };
    for spelling in spellings {
        let Ok(spelling) = CrateName::new(&spelling) else {
            continue;
        };
        if has(&spelling.index_path())? {
            return Ok(Some(spelling.to_string()));
        }
    }
    Ok(None)
}

/// Writes a name with `-` where a bit is set, and with `_` where not.
fn spelled(name: &str, places: &[usize], bits: u32) -> String {
    let mut letters = name.as_bytes().to_vec();
    for (number, place) in places.iter().enumerate() {
        letters[*place] = if bits >> number & 1 == 1 { b'-' } else { b'_' };
    }
    String::from_utf8(letters).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_spelling_of_a_public_name_is_found() {
        let has = |path: &str| Ok(path == "se/rd/serde_json-core");
        let found = |name: &str| public_like(&CrateName::new(name).unwrap(), has).unwrap();
        for name in ["serde_json-core", "serde-json-core", "Serde_JSON_core"] {
            assert_eq!(found(name).as_deref(), Some("serde_json-core"), "{name}");
        }
        assert_eq!(found("serde-json"), None);
        assert_eq!(found(&"a-".repeat(30)), None);
    }
}
