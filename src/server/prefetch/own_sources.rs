//! Which sources of a lockfile are this mirror: crates.io, which it stands for, and its own addresses.
//!
//! A project that replaces crates.io has crates.io in its lockfile. One whose dependencies name the mirror as a registry has
//! the address of the sparse index, or of the git repository.

use cargo_lock::SourceId;
use cargo_lock::package::SourceKind;
use url::Url;

use crate::config::ServeConfig;
use crate::server::cargo_config::url_for_cargo;

/// The sources whose packages the mirror's index lists.
#[derive(Debug)]
pub struct OwnSources {
    sparse: Option<Place>,
    git: Vec<Place>,
}

/// Host and path of an address. The same repository has them in common, whether it is reached by ssh or https.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    path: String,
}

impl OwnSources {
    /// Takes the addresses of a configuration.
    pub fn of(config: &ServeConfig) -> Self {
        let urls = [&config.index.url, &config.upstream.url];
        let urls = urls.into_iter().chain(&config.mirror);
        let place = |text: &str| Url::parse(text).ok().map(|url| Place::of(&url, false));
        Self {
            sparse: Url::parse(&config.sparse_index())
                .ok()
                .map(|url| Place::of(&url, true)),
            git: urls
                .filter_map(|url| place(&url_for_cargo(url).ok()?))
                .collect(),
        }
    }

    pub(super) fn contain(&self, source: &SourceId) -> bool {
        if source.is_default_registry() {
            return true;
        }
        match source.kind() {
            SourceKind::SparseRegistry => {
                self.sparse.as_ref() == Some(&Place::of(source.url(), true))
            }
            SourceKind::Registry => self.git.contains(&Place::of(source.url(), false)),
            _ => false,
        }
    }
}

impl Place {
    /// Two servers may be on one host, so that the port tells sparse indexes apart; git hosts have one for each protocol.
    fn of(url: &Url, with_port: bool) -> Self {
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().filter(|_| with_port);
        let path = url.path().trim_end_matches('/');
        Self {
            host: port.map_or(host.clone(), |port| format!("{host}:{port}")),
            path: path.strip_suffix(".git").unwrap_or(path).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Environment, Flags};

    #[test]
    fn the_mirrors_own_addresses_count_as_crates_io() {
        let environment = Environment::from_pairs([
            ("FERRY_MIRROR_URL", "git@gitlab.example:rust/index.git"),
            ("FERRY_SERVE_PUBLIC_URL", "https://crates.example/"),
        ]);
        let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
        let own = OwnSources::of(&config);
        for (source, is_own) in [
            (
                "registry+https://github.com/rust-lang/crates.io-index",
                true,
            ),
            ("sparse+https://crates.example/index/", true),
            ("sparse+https://crates.example:443/index", true),
            ("registry+ssh://git@gitlab.example/rust/index.git", true),
            ("registry+https://gitlab.example/rust/index", true),
            (
                "registry+ssh://git@gitlab.example:2222/rust/index.git",
                true,
            ),
            ("sparse+https://crates.example:8090/index/", false),
            ("sparse+https://crates.example/", false),
            ("registry+https://gitlab.example/rust/other.git", false),
            ("git+https://gitlab.example/rust/index.git#0123", false),
        ] {
            let source = SourceId::from_url(source).unwrap();
            assert_eq!(own.contain(&source), is_own, "{source}");
        }
    }
}
