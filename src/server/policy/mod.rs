//! The commands of `policy`: why a version is on hold or denied, all that are, which of them lockfiles name, and rules that are made
//! while servers run.

mod commanded;
mod explain;
mod list;
mod lockfiles;
mod row;

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateName, Published, ReservedNames, folded};
use crate::policy::{Decided, Outcome, Policy, Seen};
use crate::server::advisories;
use crate::server::index_copy::{self, IndexCopy, Snapshot};
use crate::server::{serve, sightings};
pub use commanded::{Asked, Commanded, RuleRow, command};
pub use explain::{Explanation, explain};
pub use list::{Listing, list};
pub use lockfiles::{Finding, LockfileReport, test};
pub use row::Row;

/// A policy, and the index that it is applied to, at one time.
struct Applied {
    policy: Arc<Policy>,
    seen: Arc<Seen>,
    snapshot: Arc<Snapshot>,
    now: Timestamp,
    /// The names of which the index shows no crate.
    hidden: ReservedNames,
    /// Held to the end, with its lock: a server that started meanwhile could compact the packs that the snapshot reads.
    _copy: Option<IndexCopy>,
}

/// Says whom the policy of the configuration reaches, for `check`; `None` where there is none.
///
/// # Errors
/// `config` if `mirror.keep` has what is not a glob.
pub fn probe(config: &ServeConfig) -> Result<Option<&'static str>> {
    let policy = Policy::of_mirror(&config.policy, &config.keep)?;
    Ok(policy.map(|_| {
        "it is applied to the sparse index; for a cargo that reads the git repository of the index no version is on hold, since that \
         is the mirror itself, and a denied one is refused only when it is downloaded"
    }))
}

/// Returns the policy of the configuration.
fn policy_of(config: &ServeConfig) -> Result<Policy> {
    Policy::of_mirror(&config.policy, &config.keep)?.ok_or_else(|| {
        Error::new(
            Kind::Config,
            "there is no policy: nothing is on hold or denied",
        )
        .advise(
            "Set policy.min_age, policy.deny or policy.withdrawn in the server's configuration.",
        )
    })
}

/// Returns the index that a server of this directory serves: the one before the newest, where very many versions vanished since.
fn served(
    config: &ServeConfig,
    policy: &Policy,
    newest: Arc<Snapshot>,
    now: Timestamp,
) -> Result<Arc<Snapshot>> {
    let compared = serve::compared(&config.serve.data_dir);
    let compared =
        compared.filter(|commit| policy.refuses_withdrawn() && *commit != newest.commit());
    let Some(before) = compared.and_then(|commit| newest.at(commit)) else {
        return Ok(newest);
    };
    let gone = sightings::compare(policy, &before, &newest, now)?.withdrawn;
    if gone.len() <= serve::MOST_WITHDRAWN {
        return Ok(newest);
    }
    warn!(
        "{} versions vanished from the newest index: this is about that of {}, which a server goes on serving",
        gone.len(),
        before.commit().short()
    );
    Ok(Arc::new(before))
}

impl Applied {
    /// Reads the policy and the index.
    async fn read(config: &ServeConfig) -> Result<Self> {
        let policy = policy_of(config)?;
        let (snapshot, copy) = index_copy::for_reading(config).await?;
        let now = Timestamp::now();
        let snapshot = served(config, &policy, snapshot, now)?;
        let (policy, mut seen) = sightings::of_store(config, policy, now).await?;
        advisories::add_to(&mut seen, config, copy.is_some()).await?;
        Ok(Self {
            seen: Arc::new(seen),
            hidden: config.hidden(),
            policy: Arc::new(policy),
            snapshot,
            now,
            _copy: copy,
        })
    }

    /// Says of a version that the index does not list why that is.
    fn unlisted(&self, name: &str, version: &str) -> Row {
        match self.hidden.find(&folded(name)) {
            Some(pattern) => Row::hidden(name, version, pattern),
            None => Row::unlisted(name, version),
        }
    }

    /// Decides on the versions in a crate's file.
    fn outcome(&self, content: &[u8]) -> Outcome {
        self.policy.outcome(content, &self.seen, self.now)
    }

    /// Returns the versions of a crate that upstream took back and of which the index has no line, each with what is decided.
    fn gone(&self, name: &str, content: &[u8]) -> Vec<(String, Decided)> {
        let lines = content.split(|byte| *byte == b'\n');
        let listed: HashSet<_> = lines
            .filter_map(Published::read)
            .map(|line| line.version)
            .collect();
        let withdrawn = self.seen.of(name).withdrawals().map(|(version, _)| version);
        let gone = withdrawn.filter(|version| !listed.contains(*version));
        gone.filter_map(|version| {
            let decided = self.policy.withdrawn(name, version, None, &self.seen)?;
            Some((version.to_owned(), decided))
        })
        .collect()
    }

    /// Reads a crate's file, with the lines of what is released; one that is not there lists nothing else.
    fn content(&self, name: &CrateName) -> Result<Vec<u8>> {
        let content = match self.snapshot.file(&name.index_path())? {
            Some(id) => self.snapshot.content(id)?,
            None => Vec::new(),
        };
        Ok(self.policy.with_released(name.as_str(), content, self.now))
    }
}
