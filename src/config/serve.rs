//! What the `serve` section holds, and the configuration of the API server, which may do without a mirror's address.

mod parse;

use std::path::{Path, PathBuf};

use url::Url;

pub(super) use parse::{
    access_log, connections, contact, downloads, offline_index, public_url, size, store,
};

use super::sections::{Network, Serve, Upstream};
use super::{Config, Environment, Flags, Secrets, text_file};
use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;

/// Everything that the API server, its store and its clients' snippet need to know.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// The server (`serve:`).
    pub serve: Serve,
    /// Where the index comes from at last (`upstream:`); its `config.json` says where crate files are.
    pub upstream: Upstream,
    /// The repository that is served.
    pub index: IndexSource,
    /// Time limits and retries (`network:`).
    pub network: Network,
    /// What comes from the environment only.
    pub secrets: Secrets,
}

/// The repository that the server copies, and whose it is.
#[derive(Debug, Clone)]
pub struct IndexSource {
    /// Its address.
    pub url: RemoteUrl,
    /// Its branch.
    pub branch: String,
    /// It is the mirror's host, which may get our credentials; upstream never does.
    pub is_ours: bool,
}

/// The certificate and key of the server, as files that may change.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The PEM file of the certificate and those above it.
    pub cert: PathBuf,
    /// The PEM file of the private key.
    pub key: PathBuf,
}

impl ServeConfig {
    /// Reads the configuration as [`Config::load`] does; nothing of it is needed.
    ///
    /// Fails with [`Kind::Config`], naming the variable, or the file with line and column.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        let settings = super::given(flags, environment)?;
        let serve = Serve::from_settings(&settings)?;
        let upstream = Upstream::from_settings(&settings)?;
        let mirror = match settings.has("mirror", "url") {
            true => Some(Config::of(&settings, environment)?.mirror),
            false => None,
        };
        let config = Self {
            index: index_source(&serve, &upstream, mirror.as_ref()),
            serve,
            upstream,
            network: super::network(&settings, environment)?,
            secrets: Secrets::from_environment(environment)?,
        };
        config.check()?;
        Ok(config)
    }

    /// Returns how clients reach the server; without a slash at its end.
    pub fn public_url(&self) -> String {
        let given = self.serve.public_url.as_ref().map(Url::to_string);
        let url = given.unwrap_or_else(|| {
            let scheme = if self.serve.tls_cert.is_some() {
                "https"
            } else {
                "http"
            };
            format!("{scheme}://{}", self.serve.listen)
        });
        url.trim_end_matches('/').to_owned()
    }

    /// Returns where crate files are kept.
    pub fn store(&self) -> StoreUrl {
        let folder = || StoreUrl::Folder(self.serve.data_dir.join("crates"));
        self.serve.store.clone().unwrap_or_else(folder)
    }

    /// Returns the files of the certificate, where the server speaks TLS itself.
    pub fn tls(&self) -> Option<Tls> {
        let (cert, key) = (self.serve.tls_cert.clone()?, self.serve.tls_key.clone()?);
        Some(Tls { cert, key })
    }

    /// Reads a file of the configuration that may change while the server runs.
    ///
    /// # Errors
    /// `config`, with the path.
    pub fn read_file(path: &Path) -> Result<String> {
        text_file::read(path).map_err(|error| {
            Error::new(Kind::Config, format!("cannot read {}", path.display())).because(error)
        })
    }

    /// Returns the text without any secret of this configuration.
    pub fn scrub(&self, text: &str) -> String {
        self.secrets
            .scrub(&[&self.upstream.url, &self.index.url], text)
    }

    fn check(&self) -> Result<()> {
        let serve = &self.serve;
        if serve.tls_cert.is_some() != serve.tls_key.is_some() {
            let message = "serve.tls.cert and serve.tls.key belong together, and one is not set";
            return Err(Error::new(Kind::Config, message)
                .advise("Set both to PEM files, or none and let a proxy in front speak TLS."));
        }
        let evicts = serve.max_size.is_some() || serve.max_idle.is_some();
        if evicts && matches!(self.store(), StoreUrl::Bucket { .. }) {
            let message =
                "serve.max_size and serve.max_idle are for a folder, and serve.store is a bucket";
            return Err(Error::new(Kind::Config, message).advise(
                "Leave them out, and give the bucket a lifecycle rule that expires objects.",
            ));
        }
        if serve.offline_index == OfflineIndex::Held && serve.downloads != Downloads::Offline {
            let message = "serve.offline_index: held works with serve.downloads: offline only";
            return Err(Error::new(Kind::Config, message).advise(
                "Set serve.downloads to offline, or leave serve.offline_index out: what is not held can be fetched.",
            ));
        }
        Ok(())
    }
}

/// Chooses the repository: the one that is named, else the mirror, else upstream.
fn index_source(serve: &Serve, upstream: &Upstream, mirror: Option<&super::Mirror>) -> IndexSource {
    let url = serve.index.as_ref().or(mirror.map(|mirror| &mirror.url));
    let url = url.unwrap_or(&upstream.url).clone();
    let is_upstream = url.is_address_of(&upstream.url);
    let known = match (is_upstream, mirror) {
        (true, _) => &upstream.branch,
        (false, Some(mirror)) => &mirror.branch,
        (false, None) => &upstream.branch,
    };
    IndexSource {
        branch: serve.branch.clone().unwrap_or_else(|| known.clone()),
        // Where a mirror is named too, its token is for its host alone.
        is_ours: !is_upstream && mirror.is_none_or(|mirror| mirror.url.has_host_of(&url)),
        url,
    }
}

/// What is done about crate files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downloads {
    /// They are fetched once, verified and kept.
    Cache,
    /// Clients are sent to upstream.
    Redirect,
    /// What is held is served, nothing is fetched.
    Offline,
}

/// What the index lists while nothing is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflineIndex {
    /// Everything.
    Full,
    /// The versions whose crate files are held.
    Held,
}

/// Where crate files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket of an S3 server, below a prefix (which may be empty).
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// What each key begins with, without a slash at either end.
        prefix: String,
    },
}

/// Where each request is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// On stderr.
    Stderr,
    /// At the end of a file.
    File(PathBuf),
}
