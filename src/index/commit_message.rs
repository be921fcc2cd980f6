//! Reads crates.io's commit messages: which crate a commit is about, and whether it squashes the history.

use super::CrateName;
use crate::git::ObjectId;

/// The words in front of the crate, from 2014 to now.
const VERBS: [&str; 6] = [
    "Create",
    "Update",
    "Delete",
    "Updating",
    "Yanking",
    "Unyanking",
];

/// Returns the crate that a commit's subject names, `None` for free text.
///
/// The forms are ``Create crate `x` `` (`Update`, `Delete`) and, before 2022, ``Updating crate `x#1.0.0` `` (`Yanking`,
/// `Unyanking`), in the very first days with `package` for `crate`.
pub fn crate_in(subject: &str) -> Option<CrateName> {
    let (verb, rest) = subject.trim_end().split_once(' ')?;
    if !VERBS.contains(&verb) {
        return None;
    }
    let quoted = rest
        .strip_prefix("crate ")
        .or_else(|| rest.strip_prefix("package "))?;
    let text = quoted.strip_prefix('`')?.strip_suffix('`')?;
    let name = text.split_once('#').map_or(text, |(name, _version)| name);
    CrateName::new(name).ok()
}

/// Says whether a message has the form of crates.io's squashes: a commit without parents that collapses all of the history.
pub fn is_squash(message: &str) -> bool {
    message.starts_with("Collapse index into one commit") || previous_head(message).is_some()
}

/// Returns the old head that a squash's message names: `Previous HEAD was <id>, now on …`.
pub fn previous_head(message: &str) -> Option<ObjectId> {
    let (_, rest) = message.split_once("Previous HEAD was ")?;
    // `get`, since a message is any text: fewer bytes may follow, or a character across the fortieth.
    rest.get(..40)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name_in(subject: &str) -> Option<String> {
        crate_in(subject).map(|name| name.to_string())
    }

    #[test]
    fn every_form_of_subject_names_its_crate() {
        for subject in [
            "Create crate `serde_json`",
            "Update crate `serde_json`",
            "Delete crate `serde_json`",
            "Updating crate `serde_json#1.0.0`",
            "Yanking crate `serde_json#1.0.0-rc.1+build`",
            "Unyanking crate `serde_json#1.0.0`",
            "Updating package `serde_json#0.0.1`",
            "Update crate `serde_json`\n",
        ] {
            assert_eq!(
                name_in(subject).as_deref(),
                Some("serde_json"),
                "{subject:?}"
            );
        }
    }

    #[test]
    fn free_text_names_no_crate() {
        for subject in [
            "",
            "Collapse index into one commit",
            "remove crate test+package",
            "remove graphcore due to legal issues",
            "Update config",
            "Update crate serde",
            "Update crate `serde` and others",
            "Update crate `",
            "Update crate ``",
            "Update crate `a b`",
            "Updating crate `test+package#1.0.0`",
        ] {
            assert_eq!(name_in(subject), None, "{subject:?}");
        }
    }

    proptest! {
        #[test]
        fn no_subject_makes_the_reader_panic(subject in prop_oneof![".*", "Update crate `?[a-z#`]*`?"]) {
            crate_in(&subject);
        }
    }

    #[test]
    fn a_squash_names_the_head_that_it_collapses() {
        let head = "2f5b9f0bc7d9b3b0d3d4b8f0c6f6b4a1a2a3a4a5";
        let message = format!(
            "Collapse index into one commit\n\nPrevious HEAD was {head}, now on the `snapshot-2020-03-25` branch\n"
        );
        assert!(is_squash(&message));
        assert_eq!(previous_head(&message), head.parse().ok());
        assert!(is_squash("Collapse index into one commit"));
        assert_eq!(previous_head("Previous HEAD was gone"), None);
        assert!(!is_squash("Update crate `a`"));
    }
}
