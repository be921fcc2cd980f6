//! The configuration of `up`: that of the API server, and of a mirror where one is given.

use std::path::PathBuf;

use super::environment::Environment;
use super::load::{self, Flags};
use super::mirror_config::Config;
use super::sections::{self, Up};
use super::serve_config::ServeConfig;
use super::settings::{Origin, Settings};
use super::values::git::History;
use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;

/// What `up` listens on where nothing is given: another port than that of `serve`, so that both can run.
const LISTEN: &str = "127.0.0.1:8080";

/// Everything that the whole mirror in one process needs to know.
#[derive(Debug, Clone)]
pub struct UpConfig {
    /// When the mirror is synced (`up:`).
    pub up: Up,
    /// The server, which serves the mirror or, without one, upstream.
    pub serve: ServeConfig,
    /// The mirror that is kept fresh, where `mirror.url` is given.
    pub mirror: Option<Config>,
    /// The repository of the private crates' index that `up` makes itself, where none is named.
    pub own_private_index: Option<PathBuf>,
}

impl UpConfig {
    /// Reads the configuration as [`Config::load`] does; no key is needed.
    ///
    /// # Errors
    /// `config`, naming the key, and the flag, the variable, or the file with line and column.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        let mut settings = load::load(flags, environment)?.settings;
        if settings.given("serve.listen").is_none() {
            let listen = vec![LISTEN.to_owned()];
            settings.set(sections::key("serve.listen"), Origin::Default, listen)?;
        }
        Self::from_settings(&settings, environment)
    }

    fn from_settings(settings: &Settings, environment: &Environment) -> Result<Self> {
        let up = Up::from_settings(settings)?;
        let mut serve = ServeConfig::from_settings(settings, environment)?;
        let own_private_index = serve.private.index.is_none().then(|| {
            let folder = serve.own_private_index();
            serve.private.index = Some(RemoteUrl::Local(folder.clone()));
            folder
        });
        let mirror = match settings.given("mirror.url") {
            Some(_) => Some(Config::from_settings(settings, environment)?),
            None => None,
        };
        // A process that syncs every few minutes would mail the same failure as often.
        let mirror = mirror.map(|mut mirror| {
            mirror.mail.state = Some(serve.mail_state());
            mirror
        });
        let config = Self {
            up,
            serve,
            mirror,
            own_private_index,
        };
        config.check_init()?;
        Ok(config)
    }

    /// Refuses an `up.init` that has nothing to work on, or is to carry gigabytes of history to what may be a mistyped address.
    fn check_init(&self) -> Result<()> {
        if !self.up.init {
            return Ok(());
        }
        let (message, advice) = match &self.mirror {
            None => (
                "needs mirror.url, which is not set",
                "Set mirror.url (`--mirror`) to the empty repository that is to become the mirror.",
            ),
            Some(mirror) if mirror.mirror.history == Some(History::Merge) => (
                "makes a snapshot, and mirror.history is merge",
                "Leave out mirror.history, or make the mirror with `crates-ferry init`.",
            ),
            Some(_) => return Ok(()),
        };
        let error = Error::new(Kind::Config, message).advise(advice);
        Err(self.serve.origins.blame("up.init", error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    fn load(pairs: &[(&str, &str)]) -> UpConfig {
        let environment = Environment::from_pairs(pairs.iter().copied());
        UpConfig::load(&Flags::default(), &environment).unwrap()
    }

    #[test]
    fn nothing_needs_to_be_given() {
        let config = load(&[]);
        assert_eq!(config.serve.serve.listen.to_string(), "127.0.0.1:8080");
        assert!(config.mirror.is_none() && !config.up.init);
        assert!(
            config
                .serve
                .index
                .url
                .is_address_of(&config.serve.upstream.url)
        );
        let given = load(&[("FERRY_SERVE_LISTEN", "127.0.0.1:9")]);
        assert_eq!(given.serve.serve.listen.port(), 9);
    }

    #[test]
    fn what_up_init_cannot_do_is_refused() {
        let refused = |pairs: &[(&str, &str)]| {
            let flags = Flags::default().with("up.init", Some("true"));
            let environment = Environment::from_pairs(pairs.iter().copied());
            UpConfig::load(&flags, &environment)
                .unwrap_err()
                .to_string()
        };
        let mirror = ("FERRY_MIRROR_URL", "https://git.example/mirror");
        assert_eq!(
            refused(&[]),
            "--init: up.init: needs mirror.url, which is not set"
        );
        assert_eq!(
            refused(&[mirror, ("FERRY_MIRROR_HISTORY", "merge")]),
            "--init: up.init: makes a snapshot, and mirror.history is merge"
        );
    }

    #[test]
    fn what_was_mailed_is_recorded_even_where_no_file_is_named() {
        let mirror = ("FERRY_MIRROR_URL", "https://git.example/mirror");
        let data = ("FERRY_SERVE_DATA_DIR", "data");
        let recorded = |pairs: &[(&str, &str)]| load(pairs).mirror.unwrap().mail.state.unwrap();
        assert_eq!(recorded(&[mirror, data]), Path::new("data/mails.json"));
        let named = recorded(&[mirror, data, ("FERRY_MAIL_STATE", "named")]);
        assert_eq!(named, Path::new("named"));
    }
}
