//! `sync`: brings the mirror up to date.

use tokio::try_join;
use tracing::warn;

use crate::config::{Config, History};
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::transport::{Connection, Remote};
use crate::index::Keep;
use crate::index::config_json::CONFIG_JSON;
use crate::mirror::Context;
use crate::mirror::plan::guard::root_loss;
use crate::mirror::plan::three_way::{self, Rules};
use crate::mirror::plan::{Outcome, Relation};
use crate::mirror::relay::draft::{
    Draft, Terms, draft, mode, no_merge, shallow_upstream, snapshot_not_servable,
};
use crate::mirror::relay::merge::{MergedTrees, merge_trees};
use crate::mirror::relay::{
    Behind, Observation, Proof, Purpose, Session, SyncState, UnconfirmedPushes, apply,
    changed_crates, compare_tips, observe, retry,
};
use crate::mirror::report::{Report, Topic, Warning};

/// What is wrong where both URLs name one repository.
pub const SAME_REPOSITORY: &str = "upstream.url and mirror.url are the same repository and branch";

/// The options of `sync` besides the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Reports the plan and pushes nothing.
    pub dry_run: bool,
    /// Paths on which a conflict is resolved with the mirror's side.
    pub ours: Vec<String>,
    /// Accepts an upstream that lost much of its root.
    pub allow_loss: bool,
}

/// Brings the mirror up to date: observes, plans and, unless it is a dry run, pushes.
///
/// A transient failure is retried from the start, so that a push is never repeated without reading both sides again.
///
/// # Errors
/// Every kind but `usage` and `mirror_exists`; the mirror is unchanged.
pub async fn run(config: &Config, options: &Options, context: Context<'_>) -> Result<Report> {
    let sync = Sync {
        config,
        options,
        context,
        upstream: config.upstream_remote()?,
        mirror: config.mirror_remote()?,
        keep: Keep::new(&config.mirror.keep)?,
        started: context.now(),
    };
    let remotes = [&sync.upstream, &sync.mirror];
    let done = retry(
        &config.network,
        remotes,
        context.progress,
        async |unconfirmed| sync.attempt(unconfirmed).await,
    );
    // Above, only the configuration was read.
    let mut report = done.await.map_err(Error::underway)?;
    // A dry run is how the network, the proxy and the certificates are tried before there is a mirror.
    if !options.dry_run {
        report.warnings.extend(same_repository(config));
    }
    Ok(report)
}

/// Warns of a mirror that is upstream itself: it would be told as up to date for ever.
pub(super) fn same_repository(config: &Config) -> Option<Warning> {
    let is_same = config.is_mirror_upstream();
    is_same.then(|| format!("{SAME_REPOSITORY}: there is never anything to carry").into())
}

struct Sync<'a> {
    config: &'a Config,
    options: &'a Options,
    context: Context<'a>,
    upstream: Remote,
    mirror: Remote,
    keep: Keep,
    /// The date of the new commit, in seconds since 1970: one for all attempts, so that those which find the same push the same
    /// commit, and it does not matter which of them the server carries out.
    started: i64,
}

impl Sync<'_> {
    async fn attempt(&self, unconfirmed: &mut UnconfirmedPushes) -> Result<Report> {
        self.context.progress.phase("reading both sides");
        let mut session = Session::open(self.config, &self.upstream, &self.mirror).await?;
        let before = session.mirror_tip.ok_or_else(|| self.empty_mirror())?;
        // Before anything is compared: this attempt would report `up-to-date`, and not what the push carried.
        if let Some(report) = unconfirmed.arrived(Some(before)) {
            return Ok(report);
        }
        // A push may follow. A server that talks to one client at a time would keep the connection waiting.
        let may_push = !self.options.dry_run && session.upstream_tip != before;
        if may_push && !session.mirror.is_plain() {
            self.mirror.connect_ahead().await;
        }
        match compare_tips(&mut session, before).await? {
            SyncState::UpToDate(found) => {
                // Where the mode was not read, the mirror has upstream's tip itself, which only `merge` does.
                mode(self.config.mirror.history, found.unwrap_or(History::Merge))?;
                Ok(up_to_date(
                    session.upstream_tip,
                    before,
                    self.options.dry_run,
                ))
            }
            SyncState::Behind(behind) => self.carry(&mut session, *behind, unconfirmed).await,
        }
    }

    async fn carry(
        &self,
        session: &mut Session<'_>,
        behind: Behind,
        unconfirmed: &mut UnconfirmedPushes,
    ) -> Result<Report> {
        let purpose = match self.options.dry_run {
            true => Purpose::Report,
            false => Purpose::Push(self.config.mirror.history),
        };
        // A server that talks to one client at a time would keep the reads of the mirror waiting until the push.
        let opens_early = !session.mirror.is_plain();
        let (mut seen, mut receiver) = try_join!(
            observe(session, behind, purpose),
            self.open_mirror(opens_early)
        )?;
        // Before the merge, whose conflicts would hide the cause: upstream deleted what the mirror changed.
        let loss = self.guard(&seen)?;
        let history = mode(self.config.mirror.history, seen.view.history)?;
        if seen.changes_nothing() {
            return Ok(Report {
                relation: Some(seen.relation),
                base: Some(seen.base.upstream),
                ..up_to_date(seen.upstream_tip, seen.view.tip, self.options.dry_run)
            });
        }
        refuse_unservable(session, &seen, history)?;
        self.context.progress.phase("planning");
        let rules = Rules::new(self.keep.clone(), &self.options.ours)
            .reserving(self.config.reserved.clone());
        let trees = merge_trees(session, &seen, rules).await?;
        name_cut_off(session, &mut seen).await?;
        let terms = Terms {
            branch: &self.config.mirror.branch,
            history,
            author: &self.config.mirror.author,
            now: self.started,
        };
        let draft = draft(&seen, &trees, &terms)?;
        let mut report = self.describe(&seen, &trees, &draft);
        report.warnings.extend(loss);
        if receiver.is_none() {
            receiver = self.open_mirror(true).await?;
        }
        let Some(receiver) = receiver else {
            return Ok(report);
        };
        report.after = Some(draft.update.new);
        let applied = apply::apply(session, receiver, &draft, self.context.progress).await;
        if let Err(error) = applied {
            // After any failure: whether the mirror took the push is only seen at its tip, by the next attempt.
            unconfirmed.remember(&draft, report, &error);
            return Err(error);
        }
        Ok(report)
    }

    /// Opens the mirror for the push if now is the time, unless this is a dry run. Runs beside the observation, since over ssh
    /// it takes a while.
    async fn open_mirror(&self, is_time: bool) -> Result<Option<Connection>> {
        if self.options.dry_run || !is_time {
            return Ok(None);
        }
        apply::open(&self.mirror).await.map(Some)
    }

    /// Refuses a loss that looks like an accident; returns the warning for one that is allowed.
    fn guard(&self, seen: &Observation) -> Result<Option<Warning>> {
        // Both are there: `observe` fails where it cannot read one of the root trees.
        let (Some(base), Some(theirs)) = (
            seen.trees.get(&seen.base.tree),
            seen.trees.get(&seen.upstream_commit.tree),
        ) else {
            return Ok(None);
        };
        let loss = root_loss(base, theirs);
        if !loss.exceeds(self.config.mirror.max_root_loss) {
            return Ok(None);
        }
        let share = loss.share() * 100.0;
        let config = match loss.is_config_lost {
            true => ", among them config.json",
            false => "",
        };
        let text = format!(
            "upstream lost {} of {} entries of its root ({share:.0}%){config}",
            loss.lost, loss.of
        );
        if self.options.allow_loss {
            let text = format!("{text}; accepted, because of `--allow-loss`");
            warn!("{text}");
            return Ok(Some(text.into()));
        }
        let error = format!("{}: {text}, which looks like an accident", self.upstream);
        Err(Error::new(Kind::Guard, error).advise(match loss.is_config_lost {
            true => "Check upstream. If the loss is intended, run `crates-ferry sync --allow-loss` once.",
            false => {
                "Check upstream. If the loss is intended, run `crates-ferry sync --allow-loss` once, or raise \
                 `mirror.max_root_loss`."
            }
        }))
    }

    fn describe(&self, seen: &Observation, trees: &MergedTrees, draft: &Draft) -> Report {
        let mut warnings: Vec<Warning> = Vec::new();
        let mut proof = None;
        if let Some(squash) = &seen.squash {
            match &squash.proof {
                Proof::Proven(text) => proof = Some(text.clone()),
                Proof::Unproven(why) => warnings.push(Warning::calling(
                    Topic::Squash,
                    format!("upstream's history was squashed; it could not be proven that nothing else changed: {why}"),
                )),
            }
            if !squash.avoids_whole_tree() {
                warnings.push(
                    "upstream no longer has what the mirror has: its whole tree is transferred once"
                        .to_owned()
                        .into(),
                );
            }
        }
        warnings.extend(self.divergence(seen));
        let fast_forward = draft.outcome == Outcome::FastForward;
        let shown = trees.merged.warnings.iter().filter(|warning| {
            // A fast-forward has no overlay to warn of, only an unused `--ours`.
            !fast_forward || matches!(warning, three_way::MergeWarning::OursUnused { .. })
        });
        warnings.extend(shown.map(report_warning));
        let overlay = trees.merged.overlay.iter().filter(|_| !fast_forward);
        let overlay = overlay.map(|difference| difference.path.clone()).collect();
        Report {
            outcome: draft.outcome,
            dry_run: self.options.dry_run,
            relation: Some(seen.relation),
            base: Some(seen.base.upstream),
            before: Some(seen.view.tip),
            commits: Some(seen.new_commits.commits()),
            crates: seen
                .new_commits
                .crates
                .iter()
                .map(ToString::to_string)
                .collect(),
            overlay,
            overlay_cut: trees.merged.overlay_cut,
            warnings,
            proof,
            ..Report::about(seen.upstream_tip)
        }
    }

    /// Warns of an upstream whose new line does not lead to the base.
    fn divergence(&self, seen: &Observation) -> Option<Warning> {
        let base = seen.base.upstream.short();
        match seen.relation {
            Relation::Diverged if seen.is_cut_off => Some(
                format!(
                    "upstream is a shallow clone: whether its history leads to {base}, which the mirror has, cannot be seen"
                )
                .into(),
            ),
            Relation::Diverged if self.takes_back(seen) => Some(Warning::calling(
                Topic::Rewritten,
                format!(
                    "upstream's branch was rewritten: its history no longer contains {base}, which the mirror has; the mirror \
                     follows the new history"
                ),
            )),
            _ => None,
        }
    }

    /// Says whether upstream's new line may lack something that the mirror has, besides what is the mirror's own in any case.
    fn takes_back(&self, seen: &Observation) -> bool {
        let is_own = |name: &Vec<u8>| name == CONFIG_JSON.as_bytes() || self.keep.covers(name);
        let names = seen.taken_back.as_ref();
        names.is_none_or(|names| !names.iter().all(is_own))
    }

    fn empty_mirror(&self) -> Error {
        let reference = branch_ref(&self.config.mirror.branch);
        Error::new(
            Kind::EmptyMirror,
            format!("{}: there is no {reference} yet", self.mirror),
        )
        .advise("Run `crates-ferry init` once, which creates the branch, or set `mirror.branch`.")
    }
}

/// Refuses an upstream that cannot serve what this mode needs: all of the new history, or packs by the id of upstream's tree.
fn refuse_unservable(session: &Session<'_>, seen: &Observation, history: History) -> Result<()> {
    let upstream = &session.upstream;
    match history {
        History::Merge if seen.is_cut_off => {
            let serves_by_id = upstream.can_want_any();
            Err(shallow_upstream(upstream.remote(), serves_by_id))
        }
        History::Snapshot if !upstream.can_want_any() => {
            let no_merge = no_merge(upstream, seen.view.history);
            Err(snapshot_not_servable(upstream.remote(), no_merge))
        }
        _ => Ok(()),
    }
}

/// Names the crates of the commits that a shallow upstream lacks, of which the others tell nothing.
async fn name_cut_off(session: &mut Session<'_>, seen: &mut Observation) -> Result<()> {
    if seen.is_cut_off && seen.relation != Relation::Advanced {
        let (base, theirs) = (seen.base.tree, seen.upstream_commit.tree);
        let found = changed_crates(session, base, theirs, &seen.trees).await?;
        seen.new_commits.add_crates(found);
    }
    Ok(())
}

fn report_warning(warning: &three_way::MergeWarning) -> Warning {
    match warning {
        three_way::MergeWarning::UpstreamConfigChanged => {
            Warning::calling(Topic::UpstreamConfig, warning.to_string())
        }
        three_way::MergeWarning::Reserved { .. } => {
            Warning::calling(Topic::Reserved, warning.to_string())
        }
        three_way::MergeWarning::DiffersFromUpstream { .. } => {
            Warning::calling(Topic::Difference, warning.to_string())
        }
        _ => warning.to_string().into(),
    }
}

pub(super) fn up_to_date(upstream: ObjectId, tip: ObjectId, dry_run: bool) -> Report {
    Report {
        outcome: Outcome::UpToDate,
        dry_run,
        relation: Some(Relation::Contained),
        base: Some(upstream),
        before: Some(tip),
        after: Some(tip),
        commits: Some(0),
        ..Report::about(upstream)
    }
}
