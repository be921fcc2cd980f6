//! Looks at both repositories: where their branches are, and whether the mirror lacks what upstream has.

use tokio::time::timeout;

use super::watch::Look;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::git::transport::Remote;
use crate::mirror::relay::{Lag, Session};

/// Both repositories.
pub(super) struct Eyes<'a> {
    config: &'a Config,
    upstream: Remote,
    mirror: Remote,
}

impl<'a> Eyes<'a> {
    /// Prepares both; nothing is opened yet.
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

    /// Looks, within `network.timeout`. Two requests where the mirror did not move since the last look; otherwise its
    /// commits are read, as a sync does.
    ///
    /// # Errors
    /// As a sync's look fails.
    pub(super) async fn look(&self, last: Option<Look>) -> Result<Look> {
        let limit = self.config.network.timeout;
        let looked = timeout(limit, self.look_unbounded(last)).await;
        looked.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            let text = format!("upstream and mirror could not be seen within {limit}");
            Err(Error::new(Kind::Network, text))
        })
    }

    async fn look_unbounded(&self, last: Option<Look>) -> Result<Look> {
        let session = Session::open(self.config, &self.upstream, &self.mirror).await?;
        let upstream = session.upstream_tip;
        let mirror = session.mirror_tip.ok_or_else(|| {
            Error::new(Kind::EmptyMirror, "the mirror's branch is not there")
                .advise("Make its first commit with `crates-ferry init`.")
        })?;
        let is_behind = match last {
            Some(last) if last.mirror == mirror && last.upstream == upstream => last.is_behind,
            // Upstream moved and the mirror did not: no look can find it there.
            Some(last) if last.mirror == mirror => true,
            _ if mirror == upstream => false,
            _ => !matches!(Lag::in_session(session).await?, Lag::None(_)),
        };
        Ok(Look {
            upstream,
            mirror,
            is_behind,
        })
    }

    /// Looks without knowing anything.
    ///
    /// # Errors
    /// As [`Eyes::look`].
    pub(super) async fn is_behind(&self) -> Result<bool> {
        Ok(self.look(None).await?.is_behind)
    }
}
