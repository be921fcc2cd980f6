//! `sync`: brings the mirror up to date.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::try_join;
use tracing::{info, warn};

use crate::ObjectId;
use crate::config::{Config, History};
use crate::error::{Error, Kind, Result};
use crate::plan::guard::root_loss;
use crate::plan::three_way::Rules;
use crate::plan::{Keep, Outcome, Relation};
use crate::progress::Progress;
use crate::relay::draft::{Draft, Terms, draft, mode};
use crate::relay::merge::{MergedTrees, merge_trees};
use crate::relay::observe::branch_ref;
use crate::relay::{Behind, Observation, Proof, Session, Stand, apply, find_stand, observe};
use crate::report::Report;
use crate::transport::{Connection, Remote};

/// What `sync` was asked for besides the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Shows the plan and stops.
    pub dry_run: bool,
    /// Paths on which a conflict is settled with the mirror's side.
    pub ours: Vec<String>,
    /// Lets an upstream pass that lost much of its root.
    pub allow_loss: bool,
}

/// What a command works with besides its configuration.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Tells the time.
    pub clock: fn() -> SystemTime,
    /// Is told how far the command is.
    pub progress: &'a Progress,
}

impl Surroundings<'_> {
    /// Returns the time in seconds since 1970.
    pub fn now(&self) -> i64 {
        let since = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Brings the mirror up to date: observes, plans, and unless it is a dry run, pushes.
///
/// Looks that fail for a passing reason are taken again; a push only after looking again.
///
/// # Errors
/// Every kind but `usage` and `mirror_exists`; the mirror is as it was.
pub async fn run(config: &Config, options: &Options, around: Surroundings<'_>) -> Result<Report> {
    let sync = Sync {
        config,
        options,
        around,
        upstream: Remote::upstream(config)?,
        mirror: Remote::mirror(config)?,
        keep: Keep::new(&config.mirror.keep)?,
    };
    let started = Instant::now();
    let limit = config.network.timeout;
    let within = tokio::time::timeout(limit, sync.persist());
    let mut report = within.await.unwrap_or_else(|_| Err(too_long("sync", limit)))?;
    report.received_bytes = sync.upstream.traffic().received() + sync.mirror.traffic().received();
    report.sent_bytes = sync.upstream.traffic().sent() + sync.mirror.traffic().sent();
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Makes the error of a command that took longer than it may.
pub(crate) fn too_long(command: &str, limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::new(Kind::Network, format!("{command} took longer than {limit}"))
        .advise("try again; `network.timeout` says how long a command may take")
}

struct Sync<'a> {
    config: &'a Config,
    options: &'a Options,
    around: Surroundings<'a>,
    upstream: Remote,
    mirror: Remote,
    keep: Keep,
}

/// A push whose end was not seen: if the mirror turns out to be at `tip`, it was done.
struct Unseen {
    tip: ObjectId,
    report: Report,
}

impl Sync<'_> {
    /// Races with others are run at most this many times.
    const RACES: usize = 3;

    async fn persist(&self) -> Result<Report> {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(20))
            .with_jitter()
            .with_max_times(self.config.network.retries as usize)
            .build();
        let mut races = 0;
        let mut unseen = None;
        loop {
            let error = match self.attempt(&mut unseen).await {
                Ok(report) => return Ok(report),
                Err(error) => error,
            };
            let delay = match error.kind() {
                Kind::Race if races + 1 < Self::RACES => {
                    races += 1;
                    Duration::ZERO
                }
                kind if kind.is_transient() => match delays.next() {
                    Some(delay) => delay,
                    None => return Err(error),
                },
                _ => return Err(error),
            };
            warn!("{error}; looking again");
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(&self, unseen: &mut Option<Unseen>) -> Result<Report> {
        self.around.progress.phase("looking at both sides");
        let mut session = Session::open(self.config, &self.upstream, &self.mirror).await?;
        let before = session.mirror_tip.ok_or_else(|| self.empty_mirror())?;
        if let Some(done) = unseen.take_if(|pushed| pushed.tip == before) {
            info!("the push had arrived");
            return Ok(done.report);
        }
        match find_stand(&mut session, before).await? {
            Stand::Abreast(found) => {
                mode(self.config.mirror.history, found.unwrap_or(History::Merge))?;
                Ok(up_to_date(session.upstream_tip, before, self.options.dry_run))
            }
            Stand::Behind(behind) => self.carry(&mut session, *behind, unseen).await,
        }
    }

    async fn carry(&self, session: &mut Session<'_>, behind: Behind, unseen: &mut Option<Unseen>) -> Result<Report> {
        let (seen, receiver) = try_join!(observe(session, behind), self.open_mirror())?;
        self.guard(&seen)?;
        let history = mode(self.config.mirror.history, seen.view.history)?;
        refuse_unservable(session, history)?;
        self.around.progress.phase("planning");
        let rules = Rules::new(self.keep.clone(), &self.options.ours);
        let trees = merge_trees(session, &seen, rules).await?;
        let terms = Terms {
            branch: &self.config.mirror.branch,
            history,
            author: &self.config.mirror.author,
            now: self.around.now(),
        };
        let draft = draft(&seen, &trees, &terms)?;
        let mut report = self.describe(&seen, &trees, &draft);
        let Some(receiver) = receiver else { return Ok(report) };
        report.after = Some(draft.update.new);
        let applied = apply::apply(session, receiver, &draft, self.around.progress).await;
        if let Err(error) = applied {
            *unseen = Some(Unseen {
                tip: draft.update.new,
                report,
            });
            return Err(error);
        }
        Ok(report)
    }

    /// Opens the mirror for the push, which takes a while over ssh, unless this is a dry run.
    async fn open_mirror(&self) -> Result<Option<Connection>> {
        if self.options.dry_run {
            return Ok(None);
        }
        apply::open(&self.mirror).await.map(Some)
    }

    fn guard(&self, seen: &Observation) -> Result<()> {
        let (Some(base), Some(theirs)) = (seen.trees.get(&seen.base.tree), seen.trees.get(&seen.upstream_commit.tree))
        else {
            return Ok(());
        };
        let loss = root_loss(base, theirs);
        if !loss.exceeds(self.config.mirror.max_root_loss) {
            return Ok(());
        }
        let share = loss.share() * 100.0;
        let text = format!("upstream lost {} of {} entries of its root ({share:.0}%)", loss.lost, loss.of);
        if self.options.allow_loss {
            warn!("{text}; carried, as `--allow-loss` says");
            return Ok(());
        }
        Err(Error::new(Kind::Guard, format!("{}: {text}, which looks like an accident", self.upstream)).advise(
            "look at upstream; if the loss is meant, run `crates-ferry sync --allow-loss` once, or raise \
             `mirror.max_root_loss`",
        ))
    }

    fn describe(&self, seen: &Observation, trees: &MergedTrees, draft: &Draft) -> Report {
        let mut warnings: Vec<String> = Vec::new();
        let mut proof = None;
        if let Some(squash) = &seen.squash {
            match &squash.proof {
                Proof::Proven(text) => proof = Some(text.clone()),
                Proof::Unproven(why) => warnings.push(format!(
                    "upstream's history was squashed, and that nothing else was changed could not be proven: {why}"
                )),
            }
            if squash.held_roots.is_empty() && !squash.upstream_has_base {
                warnings.push("upstream no longer has what the mirror holds: its whole tree is carried once".to_owned());
            }
        }
        if seen.relation == Relation::Diverged {
            warnings.push(format!(
                "upstream's branch was rewritten: its new line leaves from before {}, which the mirror holds; the mirror \
                 now follows the new line",
                seen.base.upstream.short()
            ));
        }
        let fast_forward = draft.outcome == Outcome::FastForward;
        if !fast_forward {
            warnings.extend(trees.merged.warnings.iter().map(ToString::to_string));
        }
        let overlay = trees.merged.overlay.iter().filter(|_| !fast_forward);
        let mut overlay: Vec<String> = overlay.map(|difference| difference.path.clone()).collect();
        if trees.merged.overlay_cut {
            overlay.push("…".to_owned());
        }
        Report {
            outcome: draft.outcome,
            dry_run: self.options.dry_run,
            relation: Some(seen.relation),
            base: Some(seen.base.upstream),
            upstream: seen.upstream_tip,
            before: Some(seen.view.tip),
            after: None,
            commits: Some(seen.news.count - seen.news.roots.len().min(seen.news.count)),
            crates: seen.news.crates.iter().map(ToString::to_string).collect(),
            overlay,
            received_bytes: 0,
            sent_bytes: 0,
            seconds: 0.0,
            warnings,
            proof,
        }
    }

    fn empty_mirror(&self) -> Error {
        let reference = branch_ref(&self.config.mirror.branch);
        Error::new(Kind::EmptyMirror, format!("{}: it has no {reference} yet", self.mirror))
            .advise("run `crates-ferry init` once, which makes the branch, or set `mirror.branch`")
    }
}

/// In `snapshot` the pack is asked for by upstream's tree, which a server must be willing to serve.
fn refuse_unservable(session: &Session<'_>, history: History) -> Result<()> {
    if history == History::Merge || session.upstream.can_want_any() {
        return Ok(());
    }
    Err(snapshot_not_servable(session.upstream.remote()))
}

/// Makes the error of an upstream from which no snapshot can be taken.
pub(crate) fn snapshot_not_servable(upstream: &Remote) -> Error {
    Error::new(
        Kind::Config,
        format!("{upstream}: the server serves no trees by their id, which `history: snapshot` needs"),
    )
    .advise(
        "use `history: merge`, or let that server speak protocol v2 (sshd: `AcceptEnv GIT_PROTOCOL`), or set \
         `uploadpack.allowAnySHA1InWant` there",
    )
}

fn up_to_date(upstream: ObjectId, tip: ObjectId, dry_run: bool) -> Report {
    Report {
        outcome: Outcome::UpToDate,
        dry_run,
        relation: Some(Relation::Contained),
        base: Some(upstream),
        upstream,
        before: Some(tip),
        after: Some(tip),
        commits: Some(0),
        crates: Vec::new(),
        overlay: Vec::new(),
        received_bytes: 0,
        sent_bytes: 0,
        seconds: 0.0,
        warnings: Vec::new(),
        proof: None,
    }
}
