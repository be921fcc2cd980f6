//! Masks secrets in a text before it leaves the process.

use secrecy::{ExposeSecret, SecretString};

use super::Secrets;
use crate::git::RemoteUrl;

/// What stands where a secret was.
const MASK: &str = "[masked]";
/// The shortest word that is masked, in bytes: a shorter one would be found in any text.
const SHORTEST: usize = 4;
/// The shortest line of a key, and the shortest user name, that is masked: `git` and `oauth2` are not secret.
const SHORTEST_LINE: usize = 16;

impl Secrets {
    /// Returns the text without any of these secrets, and without those in the addresses.
    pub(in super::super) fn scrub(&self, urls: &[&RemoteUrl], text: &str) -> String {
        let words = [
            self.ssh_key_passphrase.as_ref(),
            self.mirror_token.as_ref(),
            self.smtp_password.as_ref(),
            self.gitlab_trigger_token.as_ref(),
            self.gitlab_read_token.as_ref(),
            self.trigger_token.as_ref(),
            self.hook_token.as_ref(),
            self.job_token.as_ref().map(|job| &job.token),
        ];
        let urls = || urls.iter().copied();
        let mut hidden: Vec<&str> = words
            .into_iter()
            .chain(urls().map(password))
            .flatten()
            .map(ExposeSecret::expose_secret)
            .chain(urls().filter_map(user))
            .chain(key_lines(self.ssh_private_key.as_ref()))
            .chain(
                // The others (region, endpoint, the key's id) are no secrets, and messages need them.
                self.aws
                    .iter()
                    .filter(|(name, _)| name.contains("SECRET") || name.contains("TOKEN"))
                    .map(|(_, value)| value.expose_secret()),
            )
            .filter(|word| word.len() >= SHORTEST)
            .collect();
        // The longest first, so that no part of one stays behind where another is its beginning.
        hidden.sort_by_key(|word| std::cmp::Reverse(word.len()));
        hidden
            .iter()
            .fold(text.to_owned(), |text, word| text.replace(word, MASK))
    }
}

fn password(url: &RemoteUrl) -> Option<&SecretString> {
    match url {
        RemoteUrl::Http { password, .. } => password.as_ref(),
        _ => None,
    }
}

/// Returns the user of an address without a password: some hosts accept a token in the user's place.
fn user(url: &RemoteUrl) -> Option<&str> {
    match url {
        RemoteUrl::Http {
            user,
            password: None,
            ..
        } => user.as_deref().filter(|user| user.len() >= SHORTEST_LINE),
        _ => None,
    }
}

/// Returns the lines between a key's first and last.
fn key_lines(key: Option<&SecretString>) -> impl Iterator<Item = &str> {
    let text = key.map_or("", |key| key.expose_secret());
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.len() >= SHORTEST_LINE && !line.starts_with("-----"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::config::{Config, Environment, Flags};

    #[test]
    fn every_secret_is_taken_out_of_a_text() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nkeykeykeykeykeykeykey\n-----END OPENSSH PRIVATE KEY-----\n";
        let environment = Environment::from_pairs([
            ("SSH_PRIVATE_KEY", key),
            ("SSH_KEY_PASSPHRASE", "passphrase1"),
            ("FERRY_MIRROR_TOKEN", "token22"),
            ("FERRY_SMTP_PASSWORD", "token22longer"),
            ("CI_JOB_TOKEN", "job-token"),
            ("CI_SERVER_HOST", "gitlab.example"),
            ("FERRY_MIRROR_URL", "https://me:in-the-url@gitlab.example/a"),
            (
                "FERRY_UPSTREAM_URL",
                "https://glpat-0123456789abcdef@upstream.example/a",
            ),
        ]);
        let config = Config::load(&Flags::default(), &environment).unwrap();
        let text = "keykeykeykeykeykeykey passphrase1 token22 token22longer job-token in-the-url glpat-0123456789abcdef me";
        let masked = format!("{}me", "[masked] ".repeat(7));
        assert_eq!(config.scrub(text), masked);
    }

    #[test]
    fn ordinary_words_stay() {
        let environment = Environment::from_pairs([
            ("FERRY_MIRROR_URL", "https://me@gitlab.example/a"),
            ("FERRY_MIRROR_TOKEN", "abc"),
        ]);
        let config = Config::load(&Flags::default(), &environment).unwrap();
        assert_eq!(config.scrub("me, abc and you"), "me, abc and you");
    }
}
