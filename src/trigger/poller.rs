//! Polls both repositories: reads both tips, and whether the mirror lacks what upstream has.

use tokio::time::timeout;

use super::watch::Poll;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::git::transport::Remote;
use crate::mirror::relay::{Lag, Session};

/// Reads both repositories.
pub(super) struct Poller<'a> {
    config: &'a Config,
    upstream: Remote,
    mirror: Remote,
}

impl<'a> Poller<'a> {
    /// Prepares both remotes; connects to neither.
    ///
    /// # Errors
    /// `config` for an unusable key, certificate or known hosts file.
    pub(super) fn new(config: &'a Config) -> Result<Self> {
        Ok(Self {
            config,
            upstream: config.upstream_remote()?,
            mirror: config.mirror_remote()?,
        })
    }

    /// Polls both repositories, within `network.timeout`.
    ///
    /// This takes two `ls-refs` requests if nothing has moved since the last poll, or the mirror was behind then and has not
    /// moved; otherwise commits are fetched, as a sync does.
    ///
    /// # Errors
    /// Those of a sync that cannot read its remotes.
    pub(super) async fn poll(&self, last: Option<Poll>) -> Result<Poll> {
        let limit = self.config.network.timeout;
        let polled = timeout(limit, self.poll_unbounded(last)).await;
        polled.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            let text = format!("upstream and mirror did not answer within {limit}");
            Err(Error::new(Kind::Network, text)
                .advise("`network.timeout` says how long a poll may take."))
        })
    }

    async fn poll_unbounded(&self, last: Option<Poll>) -> Result<Poll> {
        // As a sync does it, so that the two never differ about what is behind.
        let session = Session::open(self.config, &self.upstream, &self.mirror).await?;
        let upstream = session.upstream_tip;
        let mirror = session.mirror_tip.ok_or_else(|| {
            Error::new(Kind::EmptyMirror, "the mirror's branch does not exist")
                .advise("Make its first commit with `crates-ferry init`.")
        })?;
        let is_behind = match last {
            Some(last) if last.mirror == mirror && last.upstream == upstream => last.is_behind,
            // A mirror that has not moved still lacks what it lacked. What upstream got since then may be nothing to carry.
            Some(last) if last.mirror == mirror && last.is_behind => true,
            _ if mirror == upstream => false,
            _ => !matches!(Lag::in_session(session).await?, Lag::None(_)),
        };
        Ok(Poll {
            upstream,
            mirror,
            is_behind,
        })
    }

    /// Says whether the mirror is behind, without an earlier poll.
    ///
    /// # Errors
    /// As [`Poller::poll`].
    pub(super) async fn is_behind(&self) -> Result<bool> {
        Ok(self.poll(None).await?.is_behind)
    }
}
