//! The effective configuration: every key, its value, and where the value comes from.

use std::fmt;

use serde::{Serialize, Serializer};
use url::Url;

use super::certificates;
use super::environment::Environment;
use super::keys::{Key, Shape};
use super::load::{self, Flags, Loaded};
use super::mail;
use super::secrets::{self, Secrets};
use super::sections::KEYS;
use super::serve_config::ServeConfig;
use super::settings::{Origin, Settings, refused};
use crate::error::Result;
use crate::git::RemoteUrl;

/// Every key of the configuration with its effective value, and which secrets are set.
#[derive(Debug, Serialize)]
pub struct EffectiveConfig {
    /// The configuration file, where there is one.
    file: Option<String>,
    #[serde(serialize_with = "as_map")]
    keys: Vec<EffectiveKey>,
    #[serde(serialize_with = "as_set_or_unset")]
    secrets: Vec<(String, bool)>,
}

/// One key, its value, and where the value comes from.
#[derive(Debug, Serialize)]
struct EffectiveKey {
    #[serde(skip)]
    path: &'static str,
    /// `None` where the key has no value.
    value: Option<Value>,
    /// A place, as `ferry.yml:3`, a variable, a flag, `default`, or the key that the value follows from.
    from: Option<String>,
}

/// The value of a key, without passwords.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Value {
    One(String),
    List(Vec<String>),
    /// The names alone: the values of a pipeline's variables may be tokens.
    Names(Vec<String>),
}

impl EffectiveConfig {
    /// Loads the configuration and checks every value, also those of sections that a program does not need.
    ///
    /// # Errors
    /// `config`, naming the key, and the flag, the variable, or the file with line and column.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        let Loaded { file, settings } = load::load(flags, environment)?;
        check_values(&settings)?;
        // For its errors alone: a route for mails is complete or absent.
        mail::read(&settings)?;
        let serve = ServeConfig::from_settings(&settings, environment)?;
        let mut keys = Vec::new();
        for key in KEYS {
            keys.push(match settings.given(key.path) {
                Some((texts, origin)) => given(key, texts, origin, &serve.secrets),
                None => not_given(key, &settings, &serve, environment)?,
            });
        }
        Ok(Self {
            file: file.map(|path| path.display().to_string()),
            keys,
            secrets: secrets::set_or_unset(environment),
        })
    }
}

fn check_values(settings: &Settings) -> Result<()> {
    for key in KEYS {
        let Some((texts, origin)) = settings.given(key.path) else {
            continue;
        };
        for text in texts {
            (key.check)(text).map_err(|reason| refused(key, origin, reason))?;
        }
    }
    Ok(())
}

fn given(key: &Key, texts: &[String], origin: &Origin, secrets: &Secrets) -> EffectiveKey {
    let shown = |text: &String| without_password(text, secrets);
    let name = |text: &String| text.split('=').next().unwrap_or_default().to_owned();
    let value = match key.shape {
        Shape::One => Value::One(texts.iter().map(shown).collect()),
        Shape::List | Shape::Mailboxes | Shape::Rules | Shape::Trusted => {
            Value::List(texts.iter().map(shown).collect())
        }
        Shape::Map => Value::Names(texts.iter().map(name).collect()),
    };
    let from = match origin {
        Origin::File { file, line, .. } => format!("{file}:{line}"),
        origin => origin.to_string(),
    };
    EffectiveKey {
        path: key.path,
        value: Some(value),
        from: Some(from),
    }
}

/// A key that was not given has its default, or follows from another key.
fn not_given(
    key: &Key,
    settings: &Settings,
    serve: &ServeConfig,
    environment: &Environment,
) -> Result<EffectiveKey> {
    let branch_of_the_index = match settings.given("mirror.url") {
        Some(_) if !serve.index.url.is_address_of(&serve.upstream.url) => "mirror.branch",
        _ => "upstream.branch",
    };
    let followed = match key.path {
        "serve.public_url" => Some((serve.public_url(), "serve.listen".to_owned())),
        "serve.index" => Some((serve.index.url.to_string(), serve.index.key.to_owned())),
        "serve.branch" => Some((serve.index.branch.clone(), branch_of_the_index.to_owned())),
        "serve.store" => Some((serve.store().to_string(), "serve.data_dir".to_owned())),
        "private.store" => Some((serve.private_store().to_string(), "serve.store".to_owned())),
        "policy.yank_hold" => serve.policy.min_age.map(|age| {
            let age = humantime::format_duration(age);
            (age.to_string(), "policy.min_age".to_owned())
        }),
        "network.ca_file" => conventional_certificates(environment)?,
        _ => None,
    };
    let default = key
        .default
        .map(|text| (text.to_owned(), Origin::Default.to_string()));
    let (value, from) = followed.or(default).unzip();
    Ok(EffectiveKey {
        path: key.path,
        value: value.map(Value::One),
        from,
    })
}

fn conventional_certificates(environment: &Environment) -> Result<Option<(String, String)>> {
    let (mut paths, mut names) = (Vec::new(), Vec::new());
    for name in certificates::CONVENTIONAL {
        if let Some(path) = environment.text(name)? {
            paths.push(path);
            names.push(name);
        }
    }
    Ok((!paths.is_empty()).then(|| (paths.join(", "), names.join(", "))))
}

/// Hides the password of an address, however short it is, and every secret that is known.
fn without_password(text: &str, secrets: &Secrets) -> String {
    let mut shown = text.to_owned();
    if let Ok(mut url) = Url::parse(text)
        && url.password().is_some()
        && url.set_password(Some("***")).is_ok()
    {
        shown = url.to_string();
    }
    let address: Option<RemoteUrl> = text.parse().ok();
    let addresses: Vec<&RemoteUrl> = address.iter().collect();
    secrets.scrub(&addresses, &shown)
}

fn as_map<S: Serializer>(keys: &[EffectiveKey], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(keys.iter().map(|key| (key.path, key)))
}

fn as_set_or_unset<S: Serializer>(
    secrets: &[(String, bool)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secrets.iter().map(|(name, is_set)| (name, word(*is_set))))
}

fn word(is_set: bool) -> &'static str {
    if is_set { "set" } else { "unset" }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => f.pad(text),
            Self::List(texts) => f.pad(&texts.join(", ")),
            Self::Names(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("{name}=…")).collect();
                f.pad(&names.join(", "))
            }
        }
    }
}

impl fmt::Display for EffectiveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => writeln!(f, "# file: {file}")?,
            None => writeln!(f, "# no file")?,
        }
        // The longest key, `serve.upstream_connections`, has 26 characters.
        for EffectiveKey { path, value, from } in &self.keys {
            match (value, from) {
                (Some(value), Some(from)) => writeln!(f, "{path:<26}  {value:<44}  {from}")?,
                _ => writeln!(f, "{path:<26}  {:<44}  unset", "")?,
            }
        }
        writeln!(f, "# secrets, from the environment only")?;
        let lines: Vec<_> = self
            .secrets
            .iter()
            .map(|(name, is_set)| format!("{name:<26}  {}", word(*is_set)))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shows_its_names_and_an_empty_one_nothing() {
        let shown = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned());
            Value::Names(names.collect()).to_string()
        };
        assert_eq!(shown(&[]), "");
        assert_eq!(shown(&["A"]), "A=…");
        assert_eq!(shown(&["A", "B"]), "A=…, B=…");
    }
}
