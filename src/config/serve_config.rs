//! The configuration of the API server, which does not need the address of a mirror.

use std::path::{Path, PathBuf, absolute};

use url::Url;

use super::cargo_registry;
use super::environment::Environment;
use super::job::{self, Job};
use super::load::{self, Flags};
use super::mail;
use super::mirror_config;
use super::network;
use super::secrets::{Mask, Secrets};
use super::sections::{Catalog, Mail, Mirror, Network, Policy, Private, Probe, Serve, Upstream};
use super::settings::{Origin, Origins, Settings};
use super::text_file;
use super::values::serve::{Downloads, OfflineIndex, StoreUrl};
use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;
use crate::index::ReservedNames;

/// Everything that the API server, its store and its clients' snippet need to know.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// The server (`serve:`).
    pub serve: Serve,
    /// What it holds back, and what it refuses (`policy:`).
    pub policy: Policy,
    /// The registry of private crates (`private:`).
    pub private: Private,
    /// The probe that switches clients to it and back (`probe:`).
    pub probe: Probe,
    /// What is imported (`catalog:`).
    pub catalog: Catalog,
    /// Where the index originates (`upstream:`); its `config.json` names the host of crate files.
    pub upstream: Upstream,
    /// The repository that is served.
    pub index: IndexSource,
    /// The mirror, where one is configured: cargo may read its repository, whatever is served.
    pub mirror: Option<RemoteUrl>,
    /// The paths that are the mirror's own (`mirror.keep`).
    pub keep: Vec<String>,
    /// Time limits and retries (`network:`).
    pub network: Network,
    /// The mails that tell a person of what the server finds (`mail:`).
    pub mail: Mail,
    /// The CI job around the process.
    pub job: Job,
    /// What comes from the environment only.
    pub secrets: Secrets,
    /// Where the values come from.
    pub origins: Origins,
}

/// The repository that the server copies, and whose it is.
#[derive(Debug, Clone)]
pub struct IndexSource {
    /// Its address.
    pub url: RemoteUrl,
    /// The key that names it: `serve.index`, or the one that stands in for it.
    pub key: &'static str,
    /// Its branch.
    pub branch: String,
    /// It is upstream itself, whose crates a reserved name may not have.
    pub is_upstream: bool,
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
    /// Reads the configuration as [`Config::load`](super::Config::load) does; no key is needed.
    ///
    /// # Errors
    /// `config`, naming the key, and the flag, the variable, or the file with line and column.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        Self::from_settings(&load::load(flags, environment)?.settings, environment)
    }

    pub(super) fn from_settings(settings: &Settings, environment: &Environment) -> Result<Self> {
        let serve = Serve::from_settings(settings)?;
        let mut probe = Probe::from_settings(settings)?;
        probe.index = probe.index.or_else(|| cargo_registry::index(environment));
        let upstream = Upstream::from_settings(settings)?;
        let mirror = match settings.given("mirror.url") {
            Some(_) => Some(Mirror::from_settings(settings)?),
            None => None,
        };
        let config = Self {
            index: index_source(&serve, &upstream, mirror.as_ref()),
            keep: mirror
                .as_ref()
                .map_or_else(Vec::new, |mirror| mirror.keep.clone()),
            mirror: mirror.map(|mirror| mirror.url),
            probe,
            serve,
            catalog: Catalog::from_settings(settings)?,
            policy: Policy::from_settings(settings)?,
            private: Private::from_settings(settings)?,
            upstream,
            network: network::read(settings, environment)?,
            mail: mail::read(settings)?,
            job: job::job(environment),
            secrets: Secrets::from_environment(environment)?,
            origins: settings.origins(),
        };
        config.check_combinations()?;
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

    /// Returns the URL of the sparse index, as cargo has it after `sparse+`.
    pub fn sparse_index(&self) -> String {
        format!("{}/index/", self.public_url())
    }

    /// Returns where crate files are stored.
    pub fn store(&self) -> StoreUrl {
        let folder = || StoreUrl::Folder(self.serve.data_dir.join("crates"));
        self.serve.store.clone().unwrap_or_else(folder)
    }

    /// Returns the file of tokens. Where `serve.auth` names none, the tokens guard what is private, and what changes anything, alone.
    pub fn tokens_file(&self) -> PathBuf {
        let own = || self.serve.data_dir.join("tokens");
        self.serve.auth.clone().unwrap_or_else(own)
    }

    /// Returns the names that are hidden in the index: where that is upstream itself, those that are reserved. Out of a mirror the
    /// sync leaves what is upstream's, and what is there is its own.
    pub fn hidden(&self) -> ReservedNames {
        self.hidden_by(&self.policy)
    }

    /// Returns the names that are never taken from upstream with another section `policy`.
    pub fn reserved_by(&self, policy: &Policy) -> ReservedNames {
        mirror_config::reserved(policy, &self.private)
    }

    /// Returns the names that another section `policy` would hide.
    pub fn hidden_by(&self, policy: &Policy) -> ReservedNames {
        match self.index.is_upstream {
            true => self.reserved_by(policy),
            false => ReservedNames::default(),
        }
    }

    /// Returns the repository of the private index that `up` makes where none is named.
    pub fn own_private_index(&self) -> PathBuf {
        self.serve.data_dir.join("private/repository.git")
    }

    /// Takes the repository that `up` made for the private index, where none is named.
    pub fn take_own_private_index(&mut self) {
        let own = self.own_private_index();
        if self.private.index.is_none() && own.is_dir() {
            self.private.index = Some(RemoteUrl::Local(own));
        }
    }

    /// Returns where the crate files of private crates are stored.
    pub fn private_store(&self) -> StoreUrl {
        self.private.store.clone().unwrap_or_else(|| {
            // Below the store, but beside its crate files: nothing that evicts, lists or counts those comes here.
            match self.store() {
                StoreUrl::Folder(path) => StoreUrl::Folder(path.join("private")),
                StoreUrl::Bucket { bucket, prefix } => StoreUrl::Bucket {
                    prefix: match prefix.is_empty() {
                        true => "private".to_owned(),
                        false => format!("{prefix}/private"),
                    },
                    bucket,
                },
            }
        })
    }

    /// Returns the files of the certificate, where the server speaks TLS itself.
    pub fn tls(&self) -> Option<Tls> {
        let (cert, key) = (self.serve.tls_cert.clone()?, self.serve.tls_key.clone()?);
        Some(Tls { cert, key })
    }

    /// Returns the file that records what was mailed: a server would mail the same again and again without one.
    pub fn mail_state(&self) -> PathBuf {
        let usual = || self.serve.data_dir.join("mails.json");
        self.mail.state.clone().unwrap_or_else(usual)
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

    /// Returns the secrets of this configuration, for all that is told to others.
    pub fn mask(&self) -> Mask {
        let urls = [&self.upstream.url, &self.index.url];
        let others = self.policy.advisories.iter().chain(&self.private.index);
        let urls: Vec<_> = urls.into_iter().chain(others).collect();
        self.secrets.mask(&urls)
    }

    /// Refuses keys that do not go together.
    fn check_combinations(&self) -> Result<()> {
        self.check_tls()?;
        self.check_eviction()?;
        self.check_import()?;
        self.check_private()?;
        let serve = &self.serve;
        if serve.offline_index == OfflineIndex::Held && serve.downloads != Downloads::Offline {
            let message = format!(
                "held works only with serve.downloads: offline ({})",
                self.found("serve.downloads")
            );
            return Err(self.refused("serve.offline_index", message).advise(
                "Set serve.downloads to offline, or leave out serve.offline_index: crate files that are not stored can be fetched.",
            ));
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<()> {
        let (cert, key) = ("serve.tls.cert", "serve.tls.key");
        let (given, missing) = match (&self.serve.tls_cert, &self.serve.tls_key) {
            (Some(_), None) => (cert, key),
            (None, Some(_)) => (key, cert),
            _ => return Ok(()),
        };
        let message = format!("needs {missing}, which is not set");
        Err(self
            .refused(given, message)
            .advise("Set both to PEM files, or neither and let a proxy in front speak TLS."))
    }

    fn check_eviction(&self) -> Result<()> {
        let limit = match (self.serve.max_size, self.serve.max_idle) {
            (Some(_), _) => "serve.max_size",
            (None, Some(_)) => "serve.max_idle",
            (None, None) => return Ok(()),
        };
        if !matches!(self.store(), StoreUrl::Bucket { .. }) {
            return Ok(());
        }
        let message = format!(
            "works only with a directory, and serve.store is a bucket ({})",
            self.found("serve.store")
        );
        Err(self.refused(limit, message).advise(
            "Leave out serve.max_size and serve.max_idle, and give the bucket a lifecycle rule that expires objects.",
        ))
    }

    fn check_import(&self) -> Result<()> {
        if self.catalog.import.is_none() || self.serve.catalog {
            return Ok(());
        }
        let message = format!(
            "works only with serve.catalog: on ({})",
            self.found("serve.catalog")
        );
        Err(self.refused("catalog.import", message).advise(
            "Leave out catalog.import, or set serve.catalog to on: what is imported is kept in the catalog.",
        ))
    }

    /// Refuses to publish into the index of the mirror or of upstream, as the next sync would meet what it does not know; and to keep
    /// private crate files among others.
    fn check_private(&self) -> Result<()> {
        if self.private.names.is_empty() && *self.origins.of("private.names") != Origin::Default {
            let message = "names no crate".to_owned();
            return Err(self.refused("private.names", message).advise(
                "List what may be published, such as `acme-*`; leave it out to let every name be published that the public index does \
                 not have.",
            ));
        }
        if let Some(of) = self.shared_private_store() {
            let message = format!("is the directory of {of}, or around or inside it");
            return Err(self.refused("private.store", message).advise(
                "Set private.store to a directory of its own, or leave it out: private crate files are then in `private` below \
                 serve.store.",
            ));
        }
        let Some(index) = &self.private.index else {
            return Ok(());
        };
        let others = [
            Some((self.index.key, &self.index.url)),
            self.mirror.as_ref().map(|mirror| ("mirror.url", mirror)),
            Some(("upstream.url", &self.upstream.url)),
        ];
        let mut others = others.into_iter().flatten();
        match others.find(|(_, other)| other.is_repository_of(index)) {
            None => Ok(()),
            Some((key, _)) => {
                let message = format!("is the repository of {key}");
                Err(self.refused("private.index", message).advise(
                    "Set private.index to a repository of its own, which may be empty: private crates have an index beside the mirror.",
                ))
            }
        }
    }

    /// Says whose directory `private.store` would share: what is in it may be evicted, cleaned up or taken for something else.
    fn shared_private_store(&self) -> Option<&'static str> {
        let private = self.private.store.as_ref()?;
        let store = self.store();
        let StoreUrl::Folder(private) = private else {
            return (*private == store).then_some("serve.store");
        };
        let absolute = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_within = |inner: &Path, outer: &Path| absolute(inner).starts_with(absolute(outer));
        let meets = |other: &Path| is_within(other, private) || is_within(private, other);
        if let Some(RemoteUrl::Local(index)) = &self.private.index
            && meets(index)
        {
            return Some("private.index");
        }
        if let StoreUrl::Folder(store) = &store {
            // Where it is by default.
            if is_within(private, &store.join("private")) {
                return None;
            }
            if meets(store) {
                return Some("serve.store");
            }
        }
        meets(&self.serve.data_dir).then_some("serve.data_dir")
    }

    /// Returns what the program calls itself to HTTP servers (`User-Agent`).
    // crates.io asks clients to say who they are, and has blocked a mirror for its traffic: with a contact its team can write
    // first.
    pub fn user_agent(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        match &self.serve.contact {
            Some(contact) => format!("crates-ferry/{version} ({contact})"),
            None => format!("crates-ferry/{version}"),
        }
    }

    fn refused(&self, key: &str, message: String) -> Error {
        self.origins.blame(key, Error::new(Kind::Config, message))
    }

    /// Says where the other key of a combination comes from.
    fn found(&self, key: &str) -> String {
        match self.origins.of(key) {
            Origin::Default => format!("{key} is not set"),
            origin => format!("{key} comes from {origin}"),
        }
    }
}

/// Chooses the repository: the one that is named, else the mirror, else upstream.
fn index_source(serve: &Serve, upstream: &Upstream, mirror: Option<&Mirror>) -> IndexSource {
    let (key, url) = match (&serve.index, mirror) {
        (Some(url), _) => ("serve.index", url),
        (None, Some(mirror)) => ("mirror.url", &mirror.url),
        (None, None) => ("upstream.url", &upstream.url),
    };
    let is_upstream = url.is_address_of(&upstream.url);
    let known = match (is_upstream, mirror) {
        (true, _) => &upstream.branch,
        (false, Some(mirror)) => &mirror.branch,
        (false, None) => &upstream.branch,
    };
    IndexSource {
        branch: serve.branch.clone().unwrap_or_else(|| known.clone()),
        // A token is for the host of the mirror. Where no mirror is named, it can only be meant for this repository.
        is_upstream,
        is_ours: !is_upstream && mirror.is_none_or(|mirror| mirror.url.has_host_of(url)),
        key,
        url: url.clone(),
    }
}
