//! How far the mirror is behind upstream.

use super::{Session, Stand, find_stand, observe};
use crate::config::{Config, History};
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::transport::Remote;
use crate::mirror::plan::Relation;

/// How far the mirror is behind upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lag {
    /// It has all that upstream has; its mode, where that had to be looked at.
    None(Option<History>),
    /// It lacks commits.
    Behind {
        /// The newest upstream commit that it holds.
        base: ObjectId,
        /// That commit's date in seconds since 1970; in `snapshot` the date of the sync that carried it.
        seconds: i64,
        /// The number of upstream's commits that it lacks.
        commits: usize,
        /// How upstream's history relates to the mirror's.
        relation: Relation,
        /// The mirror's mode.
        history: History,
    },
}

impl Lag {
    /// Looks at both sides, as a sync does, and changes nothing.
    ///
    /// # Errors
    /// As a sync's look fails.
    pub async fn measure(config: &Config, upstream: &Remote, mirror: &Remote) -> Result<Self> {
        Self::in_session(Session::open(config, upstream, mirror).await?).await
    }

    /// As [`Lag::measure`], where both sides are open already.
    ///
    /// # Errors
    /// As a sync's look fails.
    pub async fn in_session(mut session: Session<'_>) -> Result<Self> {
        let tip = session
            .mirror_tip
            .ok_or_else(|| Error::new(Kind::EmptyMirror, "the mirror's branch is not there"))?;
        let behind = match find_stand(&mut session, tip).await? {
            Stand::Abreast(found) => return Ok(Self::None(found)),
            Stand::Behind(behind) => observe(&mut session, *behind).await?,
        };
        Ok(Self::Behind {
            base: behind.base.upstream,
            seconds: behind.base.seconds,
            commits: behind.news.commits(),
            relation: behind.relation,
            history: behind.view.history,
        })
    }
}
