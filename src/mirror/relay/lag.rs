//! Measures how far the mirror is behind upstream.

use super::{Purpose, Session, SyncState, compare_tips, observe};
use crate::config::{Config, History};
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::transport::Remote;
use crate::mirror::plan::Relation;

/// How far the mirror is behind upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lag {
    /// It is up to date, or has upstream's tree; with its history mode, if that had to be read.
    None(Option<History>),
    /// It lacks commits.
    Behind {
        /// The newest upstream commit that it has.
        base: ObjectId,
        /// That commit's date in seconds since 1970; in `snapshot` the date of the sync that pushed it.
        seconds: i64,
        /// The number of upstream's commits that it lacks.
        commits: usize,
        /// How upstream's history relates to the mirror's.
        relation: Relation,
        /// The mirror's history mode.
        history: History,
        /// Whether upstream is a shallow clone that lacks a part of the history in between.
        is_cut_off: bool,
        /// Whether upstream's server serves objects by their ids, as snapshots need.
        serves_by_id: bool,
    },
}

impl Lag {
    /// Reads both sides, as a sync does before it plans.
    ///
    /// # Errors
    /// As [`Session::open`], [`compare_tips`] and [`observe()`].
    pub async fn measure(config: &Config, upstream: &Remote, mirror: &Remote) -> Result<Self> {
        Self::in_session(Session::open(config, upstream, mirror).await?).await
    }

    /// As [`Lag::measure`], on connections that are open already.
    ///
    /// # Errors
    /// As [`compare_tips`] and [`observe()`].
    pub async fn in_session(mut session: Session<'_>) -> Result<Self> {
        let tip = session
            .mirror_tip
            .ok_or_else(|| Error::new(Kind::EmptyMirror, "the mirror has no branch yet"))?;
        let behind = match compare_tips(&mut session, tip).await? {
            SyncState::UpToDate(found) => return Ok(Self::None(found)),
            SyncState::Behind(behind) => observe(&mut session, *behind, Purpose::Report).await?,
        };
        if behind.changes_nothing() {
            return Ok(Self::None(Some(behind.view.history)));
        }
        Ok(Self::Behind {
            base: behind.base.upstream,
            seconds: behind.base.seconds,
            commits: behind.new_commits.commits(),
            relation: behind.relation,
            history: behind.view.history,
            is_cut_off: behind.is_cut_off,
            serves_by_id: session.upstream.can_want_any(),
        })
    }
}
