//! Whether cargo finds a token for a registry. The token itself is not kept.

use std::fs::File;
use std::io::Read as _;

use toml_edit::{DocumentMut, Item};

use super::token_variable;
use crate::config::Environment;

/// The most that is read of a file.
const LARGEST: u64 = 1 << 20;

/// Says whether cargo finds a token for this registry: in its variable, or where `cargo login` stores it. A keychain is not
/// asked.
pub fn has_token(environment: &Environment, registry: &str) -> bool {
    if environment.has(&token_variable(registry)) {
        return true;
    }
    let Ok(home) = environment.cargo_home() else {
        return false;
    };
    // The second is the name before cargo 1.39.
    ["credentials.toml", "credentials"].iter().any(|name| {
        let mut text = String::new();
        let read = File::open(home.join(name))
            .and_then(|file| file.take(LARGEST).read_to_string(&mut text));
        let stored = read.ok().and_then(|_| text.parse::<DocumentMut>().ok());
        let tables = stored.as_ref().and_then(|stored| stored.get("registries"));
        let token = tables.and_then(|tables| tables.get(registry)?.get("token"));
        token.and_then(Item::as_str).is_some()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_token_is_in_the_variable_or_in_the_file_of_cargo_login() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_str().unwrap();
        let is_there = |variable: &str| {
            let pairs = [
                ("CARGO_HOME", folder),
                ("CARGO_REGISTRIES_MY_ONE_TOKEN", variable),
            ];
            has_token(&Environment::from_pairs(pairs), "my-one")
        };
        assert!(!is_there(""));
        assert!(is_there("word"));
        for (text, wanted) in [
            ("[registries.my-one]\ntoken = \"word\"\n", true),
            ("[registries.other]\ntoken = \"word\"\n", false),
            ("[registry]\ntoken = \"word\"\n", false),
            ("[registries", false),
        ] {
            std::fs::write(home.path().join("credentials.toml"), text).unwrap();
            assert_eq!(is_there(""), wanted, "{text}");
        }
    }
}
