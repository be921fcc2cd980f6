//! `sync --plain`: carries a branch of any git repository as it is. The mirror's branch moves to upstream's own tip, and no commit is
//! made: no `config.json`, no paths of the mirror's own.

use std::sync::OnceLock;

use crate::config::{Config, History};
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::transport::{Remote, UploadPack};
use crate::git::wire::receive_pack::Update;
use crate::git::wire::upload_pack::Fetch;
use crate::mirror::Context;
use crate::mirror::init::head_warning;
use crate::mirror::plan::{Outcome, Relation};
use crate::mirror::relay::draft::Draft;
use crate::mirror::relay::{NewCommits, Session, UnconfirmedPushes, apply, retry};
use crate::mirror::report::{Report, Warning};
use crate::mirror::sync::{Options, same_repository, up_to_date};

/// Moves the mirror's branch to upstream's tip; creates the branch of an empty mirror. Upstream's pack is streamed into the mirror.
///
/// # Errors
/// `guard` for a mirror with commits that upstream's history does not contain, unless `allow_loss`; `config` for an upstream that
/// is a shallow clone, and for keys that only a mirror of the index has; otherwise as a sync's. The mirror is unchanged.
pub async fn run(config: &Config, options: &Options, context: Context<'_>) -> Result<Report> {
    refuse_keys_of_an_index(config)?;
    let plain = Plain {
        config,
        options,
        context,
        upstream: config.upstream_remote()?,
        mirror: config.mirror_remote()?,
        agreed: OnceLock::new(),
    };
    let remotes = [&plain.upstream, &plain.mirror];
    let done = retry(
        &config.network,
        remotes,
        context.progress,
        async |unconfirmed| plain.attempt(unconfirmed).await,
    );
    let mut report = done.await.map_err(Error::underway)?;
    if !options.dry_run {
        report.warnings.extend(same_repository(config));
    }
    Ok(report)
}

struct Plain<'a> {
    config: &'a Config,
    options: &'a Options,
    context: Context<'a>,
    upstream: Remote,
    mirror: Remote,
    /// The mirror's tip that `allow_loss` was given for: what another push brings meanwhile is not lost.
    agreed: OnceLock<ObjectId>,
}

/// What upstream has that the mirror lacks.
struct Missing {
    relation: Option<Relation>,
    /// Not counted for an empty mirror.
    commits: Option<usize>,
    /// What the mirror has already that upstream has, too.
    haves: Vec<ObjectId>,
}

impl Plain<'_> {
    async fn attempt(&self, unconfirmed: &mut UnconfirmedPushes) -> Result<Report> {
        self.context.progress.phase("reading both sides");
        let mut session = Session::open(self.config, &self.upstream, &self.mirror).await?;
        let (tip, before) = (session.upstream_tip, session.mirror_tip);
        if let Some(report) = unconfirmed.arrived(before) {
            return Ok(report);
        }
        if before == Some(tip) {
            return Ok(up_to_date(tip, tip, self.options.dry_run));
        }
        let missing = match before {
            Some(before) => {
                self.missing_since(&mut session.upstream, tip, before)
                    .await?
            }
            None => self.missing_all(&mut session.upstream, tip).await?,
        };
        let draft = self.draft(tip, before, &missing);
        let mut report = self.describe(tip, before, &missing, &draft);
        if before.is_none() {
            let warning = head_warning(&self.config.mirror.branch, &session.mirror_head);
            report.warnings.extend(warning.map(Into::into));
        }
        if self.options.dry_run {
            return Ok(report);
        }
        let report = Report {
            after: Some(tip),
            ..report
        };
        let receiver = apply::open(&self.mirror).await?;
        let applied = apply::apply(&mut session, receiver, &draft, self.context.progress).await;
        if let Err(error) = applied {
            unconfirmed.remember(&draft, report, &error);
            return Err(error);
        }
        Ok(report)
    }

    async fn missing_all(&self, upstream: &mut UploadPack<'_>, tip: ObjectId) -> Result<Missing> {
        if upstream.is_cut_off(tip).await? {
            return Err(self.shallow());
        }
        Ok(Missing {
            relation: None,
            commits: None,
            haves: Vec::new(),
        })
    }

    async fn missing_since(
        &self,
        upstream: &mut UploadPack<'_>,
        tip: ObjectId,
        before: ObjectId,
    ) -> Result<Missing> {
        let known = commits_since(upstream, tip, before).await?;
        if let Some(new) = &known
            && new.edges.contains(&before)
        {
            if !new.cut_off.is_empty() {
                return Err(self.shallow());
            }
            return Ok(Missing {
                relation: Some(Relation::Advanced),
                commits: Some(new.count),
                haves: vec![before],
            });
        }
        if !self.options.allow_loss || before != *self.agreed.get_or_init(|| before) {
            return Err(self.diverged(before));
        }
        if upstream.is_cut_off(tip).await? {
            return Err(self.shallow());
        }
        Ok(Missing {
            relation: Some(Relation::Diverged),
            commits: known.as_ref().map(|new| new.count),
            haves: known.map(|_| before).into_iter().collect(),
        })
    }

    fn draft(&self, tip: ObjectId, before: Option<ObjectId>, missing: &Missing) -> Draft {
        Draft {
            outcome: match missing.relation {
                None => Outcome::Created,
                Some(Relation::Diverged) => Outcome::ForcedUpdate,
                Some(_) => Outcome::FastForward,
            },
            update: Update {
                reference: branch_ref(&self.config.mirror.branch),
                old: before.unwrap_or(ObjectId::ZERO),
                new: tip,
            },
            fetch: Fetch {
                wants: vec![tip],
                haves: missing.haves.clone(),
                thin: !missing.haves.is_empty(),
                done: true,
                ..Fetch::default()
            },
            objects: Vec::new(),
            message: String::new(),
        }
    }

    fn describe(
        &self,
        tip: ObjectId,
        before: Option<ObjectId>,
        missing: &Missing,
        draft: &Draft,
    ) -> Report {
        let is_forced = draft.outcome == Outcome::ForcedUpdate;
        let lost = before.filter(|_| is_forced).map(|before| {
            Warning::from(match self.options.dry_run {
                true => format!(
                    "the branch would move from {before}: commits that are not in upstream's history would no longer be on it"
                ),
                false => format!(
                    "the branch was moved from {before}: commits that are not in upstream's history are no longer on it"
                ),
            })
        });
        Report {
            outcome: draft.outcome,
            dry_run: self.options.dry_run,
            relation: missing.relation,
            base: before.filter(|_| !is_forced),
            before,
            commits: missing.commits,
            warnings: lost.into_iter().collect(),
            ..Report::about(tip)
        }
    }

    fn diverged(&self, before: ObjectId) -> Error {
        let message = format!(
            "{}: its branch is at {}, which upstream's history does not contain",
            self.mirror,
            before.short()
        );
        Error::new(Kind::Guard, message).advise(
            "Upstream's branch was rewritten, or somebody committed to the mirror. If what the mirror has may go, run `crates-ferry \
             sync --plain --allow-loss` once; its host has to allow a forced push then.",
        )
    }

    fn shallow(&self) -> Error {
        let message = format!(
            "{}: it is a shallow clone, which lacks the older history",
            self.upstream
        );
        Error::new(Kind::Config, message).advise("Run `git fetch --unshallow` in that repository.")
    }
}

/// Fetches the commits that lead to `tip` and not to `have`; `None` where upstream does not know `have`.
async fn commits_since(
    upstream: &mut UploadPack<'_>,
    tip: ObjectId,
    have: ObjectId,
) -> Result<Option<NewCommits>> {
    // Without `done`, so that a server which does not know the commit does not send its whole history.
    let asked = NewCommits::fetch(upstream, tip, &[have], false).await?;
    if asked.has_pack {
        return Ok(Some(asked));
    }
    if !asked.acknowledged.contains(&have) {
        return Ok(None);
    }
    Ok(Some(NewCommits::fetch(upstream, tip, &[have], true).await?))
}

/// Refuses what only a mirror of the index can have: it would have no effect.
fn refuse_keys_of_an_index(config: &Config) -> Result<()> {
    let refused = |key: &str, why: &str| {
        let message = format!("{key} is set, but {why}");
        let advice = format!("Remove {key}, or run `crates-ferry sync` without `--plain`.");
        Err(Error::new(Kind::Config, message).advise(advice))
    };
    if config.mirror.history == Some(History::Snapshot) {
        return refused(
            "mirror.history: snapshot",
            "`sync --plain` carries upstream's commits as they are",
        );
    }
    if !config.mirror.keep.is_empty() {
        return refused(
            "mirror.keep",
            "with `sync --plain` the mirror has no paths of its own",
        );
    }
    Ok(())
}
