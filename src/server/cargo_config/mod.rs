//! `cargo-config`: the configuration that makes cargo use this server, printed, or written where cargo reads it.

mod credentials;
mod edit;
mod fallback;
mod place;
mod switch;
mod whole_file;

use std::fmt;
use std::path::PathBuf;

use edit::Edited;
use serde::Serialize;

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;
use crate::policy::Policy;
pub use credentials::has_token;
pub use fallback::{Fallback, FallbackReport, set_up};
pub use place::Place;
pub(in crate::server) use switch::Switch;
pub(in crate::server) use whole_file::replace;

/// Which index cargo reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// The server's sparse index.
    Sparse,
    /// The git repository of the index.
    Git,
}

/// What to print or write.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which index.
    pub index: Index,
    /// Whether that may be the git repository where there is a policy, which it does not know.
    pub without_policy: bool,
    /// The name of the registry in the configuration.
    pub name: String,
    /// Where the lines are written; `None` only prints them.
    pub write: Option<Write>,
}

/// Where lines are written, and whether they really are.
#[derive(Debug, Clone)]
pub struct Write {
    /// The place.
    pub place: Place,
    /// Nothing is written.
    pub dry_run: bool,
}

/// The lines of configuration, and where they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnippetReport {
    /// The lines, in TOML.
    pub snippet: String,
    /// The file that contains them now; in a dry run, that would.
    pub written: Option<PathBuf>,
    /// Whether the file was changed, or would be.
    pub changed: bool,
    /// In a dry run, the text of the file if it would be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_be: Option<String>,
    /// When cargo reads the file.
    #[serde(skip)]
    readers: &'static str,
}

/// What became of a configuration file.
struct Written {
    path: PathBuf,
    changed: bool,
    /// In a dry run, its text if it would be changed.
    would_be: Option<String>,
}

/// The registry, as cargo's configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Registry {
    name: String,
    index: String,
    needs_token: bool,
}

/// Makes the lines, and writes them if `write` names a place.
///
/// # Errors
/// `config` if cargo cannot read the URL of the index, or the file contradicts it; `usage` for an invalid name.
pub fn run(config: &ServeConfig, options: &Options) -> Result<SnippetReport> {
    refuse_around_policy(config, options)?;
    let registry = Registry::of(config, options)?;
    let snippet = registry.snippet();
    let Some(write) = &options.write else {
        return Ok(SnippetReport {
            snippet,
            written: None,
            changed: false,
            would_be: None,
            readers: "",
        });
    };
    let edited = Edited::of(&write.place, |document| edit::put(document, &registry))?;
    let written = edited.write(write.dry_run)?;
    Ok(SnippetReport {
        snippet,
        written: Some(written.path),
        changed: written.changed,
        would_be: written.would_be,
        readers: write.place.readers(),
    })
}

/// Refuses the git repository of the index where there is a policy, unless that is meant.
fn refuse_around_policy(config: &ServeConfig, options: &Options) -> Result<()> {
    if options.index == Index::Sparse || options.without_policy {
        return Ok(());
    }
    match Policy::of(&config.policy) {
        None => Ok(()),
        Some(_) => Err(Error::new(
            Kind::Usage,
            "the policy does not apply to the git repository of the index: cargo would take versions that are on hold",
        )
        .advise(
            "Use the sparse index (`--index sparse`). If an older cargo needs the repository, add --without-policy: what is denied is \
             refused all the same, when it is downloaded.",
        )),
    }
}

/// Returns the environment variable from which cargo reads the token of the registry with this name.
pub fn token_variable(name: &str) -> String {
    // As cargo makes names of environment variables from keys.
    let name = name.to_ascii_uppercase().replace('-', "_");
    format!("CARGO_REGISTRIES_{name}_TOKEN")
}

/// Returns the lines for the sparse index of a server, which may want a token.
///
/// # Errors
/// As [`run`].
pub(in crate::server) fn lines(
    config: &ServeConfig,
    name: &str,
    needs_token: bool,
) -> Result<String> {
    let options = Options {
        index: Index::Sparse,
        without_policy: false,
        name: name.to_owned(),
        write: None,
    };
    let mut registry = Registry::of(config, &options)?;
    registry.needs_token |= needs_token;
    Ok(registry.snippet())
}

/// Returns the lines for the sparse index of the server at this address.
pub(in crate::server) fn lines_at(address: &str, name: &str, needs_token: bool) -> String {
    let registry = Registry {
        name: name.to_owned(),
        index: format!("sparse+{}/index/", address.trim_end_matches('/')),
        needs_token,
    };
    registry.snippet()
}

/// Refuses a configuration that does not include the switch's file, or contradicts it: switching would change nothing.
///
/// # Errors
/// `config` if it does not.
pub(in crate::server) fn check_switchable(
    config: &ServeConfig,
    place: &Place,
    name: &str,
) -> Result<()> {
    let options = Options {
        index: Index::Sparse,
        without_policy: false,
        name: name.to_owned(),
        write: None,
    };
    let registry = Registry::of(config, &options)?;
    let switch = Switch::new(place.folder()?, name);
    let edited = Edited::of(place, |document| {
        if !switch::is_included(document, &switch) {
            let message = format!("it does not include {}", switch.path().display());
            return Err(Error::new(Kind::Config, message).advise(
                "Run `crates-ferry cargo-config --fallback` with `--write` or `--write-home` first.",
            ));
        }
        switch::include(document, &switch, &registry)
    });
    edited.map(drop)
}

impl Registry {
    fn of(config: &ServeConfig, options: &Options) -> Result<Self> {
        let name = &options.name;
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(is_letter) || name == "crates-io" {
            let message = format!(
                "`{}` is not a valid name of a registry",
                name.escape_debug()
            );
            return Err(Error::new(Kind::Usage, message)
                .advise("Use letters, digits, `-` and `_`; `crates-io` is reserved by cargo."));
        }
        Ok(Self {
            name: name.clone(),
            index: match options.index {
                Index::Sparse => format!("sparse+{}", reachable(config)?),
                Index::Git => url_for_cargo(&config.index.url)?,
            },
            needs_token: config.serve.auth.is_some(),
        })
    }

    fn snippet(&self) -> String {
        let mut document = edit::empty();
        // An empty document contradicts nothing.
        let _ = edit::put(&mut document, self);
        let text = document.to_string();
        match self.needs_token {
            true => {
                let variable = token_variable(&self.name);
                format!(
                    "# Store the token with `cargo login --registry {}`, or set {variable}.\n{text}",
                    self.name
                )
            }
            false => text,
        }
    }
}

impl fmt::Display for SnippetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.written {
            None => f.write_str(self.snippet.trim_end()),
            Some(path) if let Some(text) = &self.would_be => {
                write!(f, "would write {}:\n\n{}", path.display(), text.trim_end())
            }
            Some(path) if self.changed => {
                write!(f, "wrote {}; {}", path.display(), self.readers)
            }
            Some(path) => write!(f, "{} is up to date", path.display()),
        }
    }
}

/// Returns the URL of the sparse index.
///
/// # Errors
/// `config` if it is not known how clients reach the server.
fn reachable(config: &ServeConfig) -> Result<String> {
    let listen = config.serve.listen;
    let is_usable = !listen.ip().is_unspecified() && listen.port() != 0;
    if config.serve.public_url.is_some() || is_usable {
        return Ok(config.sparse_index());
    }
    let (message, advice) = match listen.port() {
        0 => (
            format!("serve.listen is {listen}: the system chooses the port when the server starts"),
            "Start the server first, with the same serve.data_dir, or set serve.public_url (`--public-url`) to its address.",
        ),
        _ => (
            format!("clients cannot connect to {listen} (serve.listen)"),
            "Set serve.public_url (`--public-url`) to the address by which clients reach the server.",
        ),
    };
    Err(Error::new(Kind::Config, message).advise(advice))
}

/// Writes an address as a URL: cargo accepts no other form.
///
/// # Errors
/// `config` for a path that no URL can name.
pub(super) fn url_for_cargo(url: &RemoteUrl) -> Result<String> {
    match url {
        RemoteUrl::Http { .. } | RemoteUrl::Git { .. } => Ok(url.to_string()),
        // Not `user@host:path`, which git takes and a URL parser does not.
        RemoteUrl::Ssh(address) => {
            let (user, host) = (&address.user, &address.host);
            let host = match host.contains(':') {
                true => format!("[{host}]"),
                false => host.clone(),
            };
            let port = match address.port {
                22 => String::new(),
                port => format!(":{port}"),
            };
            let path = address.path.trim_start_matches('/');
            Ok(format!("ssh://{user}@{host}{port}/{path}"))
        }
        RemoteUrl::Local(path) => {
            let absolute = std::path::absolute(path).ok();
            let url = absolute.and_then(|path| url::Url::from_file_path(path).ok());
            url.map(String::from).ok_or_else(|| {
                let message = format!("cannot make a URL of {}", path.display());
                Error::new(Kind::Config, message)
            })
        }
    }
}

#[cfg(test)]
mod tests;
