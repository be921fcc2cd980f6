//! Takes secrets out of a text before it leaves the process.

use secrecy::{ExposeSecret, SecretString};

use super::super::{Config, RemoteUrl};

/// What stands where a secret was.
const MASK: &str = "[masked]";
/// Shorter words are no secrets, and would be found in any text.
const SHORTEST: usize = 4;

impl Config {
    /// Returns the text without any secret of this configuration: a server may have repeated one in its answer.
    pub fn scrub(&self, text: &str) -> String {
        let secrets = &self.secrets;
        let urls = [&self.upstream.url, &self.mirror.url];
        let words = [
            secrets.ssh_key_passphrase.as_ref(),
            secrets.mirror_token.as_ref(),
            secrets.smtp_password.as_ref(),
            secrets.job_token.as_ref().map(|job| &job.token),
        ];
        let mut hidden: Vec<&str> = words
            .into_iter()
            .chain(urls.into_iter().map(password))
            .flatten()
            .map(ExposeSecret::expose_secret)
            .chain(urls.into_iter().filter_map(user))
            .chain(key_lines(secrets.ssh_private_key.as_ref()))
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

/// Some hosts take a token in the user's place, without a password.
fn user(url: &RemoteUrl) -> Option<&str> {
    match url {
        RemoteUrl::Http {
            user,
            password: None,
            ..
        } => user.as_deref().filter(|user| user.len() >= 16),
        _ => None,
    }
}

/// Returns the lines between a key's first and last.
fn key_lines(key: Option<&SecretString>) -> impl Iterator<Item = &str> {
    let text = key.map_or("", |key| key.expose_secret());
    text.lines().filter(|line| !line.starts_with("-----"))
}
