//! What commits of the private index are made with: who commits, whose change it is, and the `config.json`.

use crate::config::ServeConfig;
use crate::git::objects::Author;

/// What commits are made with.
#[derive(Debug, Clone)]
pub struct Signature {
    /// Who commits.
    pub committer: Author,
    /// The `config.json` for those who read the repository itself; written where it has none.
    pub config_json: Vec<u8>,
}

impl Signature {
    /// Returns what the server or a command of this configuration commits with.
    pub fn of(config: &ServeConfig) -> Self {
        Self {
            committer: Author {
                name: "crates-ferry".to_owned(),
                email: "crates-ferry@localhost".to_owned(),
            },
            config_json: config_json(&config.public_url()).into_bytes(),
        }
    }
}

/// Makes the author of a commit of a token's name, in which git has room for all but a few characters.
pub fn author(name: &str) -> Author {
    let allowed = |letter: &char| !letter.is_control() && !matches!(letter, '<' | '>');
    let name: String = name.chars().filter(allowed).collect();
    let name = name.trim();
    let name = if name.is_empty() { "unnamed" } else { name };
    let plain =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/');
    let user: String = name
        .chars()
        .map(|letter| if plain(letter) { letter } else { '-' })
        .collect();
    Author {
        name: name.to_owned(),
        email: format!("{user}@token.invalid"),
    }
}

/// Makes the `config.json` of the registry of a server at this address.
pub fn config_json(address: &str) -> String {
    let json = serde_json::json!({
        "dl": format!("{address}/private/api/v1/crates"),
        "api": format!("{address}/private"),
        "auth-required": true,
    });
    format!("{json}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_of_a_token_is_an_author() {
        for (name, author_name, email) in [
            ("ci", "ci", "ci@token.invalid"),
            ("a <b>\n", "a b", "a-b@token.invalid"),
            ("Zoë", "Zoë", "Zo-@token.invalid"),
            ("", "unnamed", "unnamed@token.invalid"),
            ("rust/acme", "rust/acme", "rust/acme@token.invalid"),
        ] {
            let made = author(name);
            assert_eq!(
                (made.name.as_str(), made.email.as_str()),
                (author_name, email)
            );
        }
    }
}
