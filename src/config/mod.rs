//! The configuration: flag over variable over file over default. The only reader of the environment and of files.

mod remote_url;
mod secrets;

use std::time::Duration;

pub use remote_url::{ParseRemoteUrlError, RemoteUrl, SshAddress};
pub use secrets::{JobToken, KnownHostsText, Secrets};

/// Everything that a command needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the index comes from (`upstream:`).
    pub upstream: Upstream,
    /// Where the index goes (`mirror:`).
    pub mirror: Mirror,
    /// Time limits and retries (`network:`).
    pub network: Network,
    /// What comes from the environment only.
    pub secrets: Secrets,
}

/// The repository that the index comes from.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// `upstream.url`, `FERRY_UPSTREAM_URL`.
    pub url: RemoteUrl,
    /// `upstream.branch`, `FERRY_UPSTREAM_BRANCH`, default `master`.
    pub branch: String,
}

/// The git repository that we push to.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// `mirror.url`, `FERRY_MIRROR_URL`; needed by `init`, `sync` and `check`.
    pub url: RemoteUrl,
    /// `mirror.branch`, `FERRY_MIRROR_BRANCH`, default `master`.
    pub branch: String,
    /// `mirror.history`, `FERRY_MIRROR_HISTORY`; where it is not given, `init` takes `merge` and `sync` what it finds.
    pub history: Option<History>,
    /// `mirror.dl`, `FERRY_MIRROR_DL`: the `dl` of the mirror's `config.json`.
    pub dl: Option<String>,
    /// `mirror.api`, `FERRY_MIRROR_API`: the `api` of the mirror's `config.json`.
    pub api: Option<String>,
    /// `mirror.author`, `FERRY_MIRROR_AUTHOR`: who makes the mirror's commits.
    pub author: Author,
    /// `mirror.keep`, `FERRY_MIRROR_KEEP`: globs of paths that are the mirror's own whatever upstream does.
    pub keep: Vec<String>,
    /// `mirror.max_root_loss`, `FERRY_MIRROR_MAX_ROOT_LOSS`: the share of root entries (0 to 1) that upstream may lose.
    pub max_root_loss: f64,
}

/// How much of upstream's history the mirror carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// All of it: upstream's tip is a parent of the mirror's commit.
    Merge,
    /// None of it: a stand-in with upstream's tree is the parent.
    Snapshot,
}

/// A name and a mail address, as git writes them: `Name <address>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

/// Time limits and retries.
#[derive(Debug, Clone)]
pub struct Network {
    /// `network.connect_timeout`, default 10 s: for a connection to be usable.
    pub connect_timeout: Duration,
    /// `network.idle_timeout`, default 60 s: the longest silence of a server.
    pub idle_timeout: Duration,
    /// `network.timeout`, default 15 min: for the whole command.
    pub timeout: Duration,
    /// `network.retries`, default 2: how often a look that failed for a passing reason is taken again.
    pub retries: u32,
    /// `network.ca_file`, `FERRY_NETWORK_CA_FILE`, else `GIT_SSL_CAINFO`, `CURL_CA_BUNDLE`, `CI_SERVER_TLS_CA_FILE`: the
    /// PEM text of certificates that are trusted besides the system's.
    pub extra_cas: Option<String>,
}
