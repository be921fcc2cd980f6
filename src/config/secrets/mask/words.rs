//! What is masked: the values of variables and of the files that they name, and what addresses carry.

use secrecy::{ExposeSecret, SecretString};

use super::Mask;
use crate::config::environment::Environment;
use crate::config::load::{self, Flags};
use crate::config::proxies;
use crate::config::secrets::{Secrets, VARIABLES};
use crate::config::text_file;
use crate::git::RemoteUrl;

/// The shortest line of a key, and the shortest user name, that is masked: `git` and `oauth2` are not secret.
const SHORTEST_LINE: usize = 16;

/// Returns what variables hold besides the secrets that are read of them: the values as they are set, and the passwords of
/// proxies.
pub(in crate::config::secrets) fn others(environment: &Environment) -> Vec<SecretString> {
    let found = variables(environment).into_iter();
    let found = found.chain(proxies::secrets(environment));
    found.map(SecretString::from).collect()
}

/// Returns the values of all variables that hold secrets, and what the files hold that they name.
fn variables(environment: &Environment) -> Vec<String> {
    let aws = environment
        .names_that_begin_with("AWS_")
        .filter(|name| is_secret_of_aws(name));
    let names = VARIABLES
        .into_iter()
        .filter(|name| *name != "SSH_KNOWN_HOSTS")
        .chain(aws);
    let mut found = Vec::new();
    for name in names {
        let Ok(Some(value)) = environment.raw(name) else {
            continue;
        };
        let path = std::path::Path::new(value.trim());
        let file = path.is_file().then(|| text_file::read(path).ok()).flatten();
        let text = match &file {
            Some(text) => text,
            // The path of a file that is not there: its error has to name it.
            None if path.is_absolute() => continue,
            None => value,
        };
        // A key has many lines; of the others the line break at the end is no part.
        found.extend(
            text.lines()
                .map(|line| line.trim_end().to_owned())
                .filter(|line| !line.starts_with("-----")),
        );
    }
    found
}

/// The others (region, endpoint, the key's id) are no secrets, and messages need them.
pub(in crate::config::secrets) fn is_secret_of_aws(name: &str) -> bool {
    name.contains("SECRET") || name.contains("TOKEN")
}

/// Returns the addresses of repositories that are configured.
pub(super) fn addresses(flags: &Flags, environment: &Environment) -> Vec<RemoteUrl> {
    let Ok(loaded) = load::load(flags, environment) else {
        return Vec::new();
    };
    let keys = [
        "upstream.url",
        "mirror.url",
        "serve.index",
        "policy.advisories",
    ];
    let given = keys.iter().filter_map(|key| loaded.settings.given(key));
    given
        .flat_map(|(texts, _)| texts)
        .filter_map(|text| text.parse().ok())
        .collect()
}

impl Secrets {
    /// Returns these secrets and those in the addresses, in every form.
    pub(in crate::config) fn mask(&self, urls: &[&RemoteUrl]) -> Mask {
        Mask::new(self.words(urls))
    }

    /// Returns the text without any of these secrets, and without those in the addresses.
    pub(in crate::config) fn scrub(&self, urls: &[&RemoteUrl], text: &str) -> String {
        self.mask(urls).apply(text).into_owned()
    }

    fn words<'s>(&'s self, urls: &'s [&RemoteUrl]) -> impl Iterator<Item = &'s str> {
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
        let aws = self.aws.iter().filter(|(name, _)| is_secret_of_aws(name));
        words
            .into_iter()
            .chain(self.others.iter().map(Some))
            .chain(urls.iter().map(|url| password(url)))
            .flatten()
            .map(ExposeSecret::expose_secret)
            .chain(urls.iter().filter_map(|url| user(url)))
            .chain(key_lines(self.ssh_private_key.as_ref()))
            .chain(aws.map(|(_, value)| value.expose_secret()))
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
