//! `init`: creates the first commit of a mirror, which is empty or, with `--adopt`, has other files.

mod adopt;
mod first_commit;
mod first_tree;

use crate::config::{Config, History};
use crate::error::Result;
use crate::git::branch_ref;
use crate::git::transport::Remote;
use crate::git::wire::Head;
use crate::index::Keep;
use crate::mirror::Context;
use crate::mirror::plan::Outcome;
use crate::mirror::plan::three_way::{MergeWarning, Merged};
use crate::mirror::relay::draft::{Draft, shallow_upstream};
use crate::mirror::relay::{Session, UnconfirmedPushes, apply, retry};
use crate::mirror::report::{self, Report};
use first_tree::{Tips, fetch_tip};

/// The options of `init` besides the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Starts on top of what the branch has, and keeps it.
    pub adopt: bool,
}

/// Creates the first commit of a mirror: upstream's tree with the mirror's own `config.json`, on upstream's history or, in
/// `snapshot`, on a stand-in for it. Upstream's pack is streamed into the mirror.
///
/// # Errors
/// `mirror_exists` when the branch exists and is not to be adopted, `conflict` when it has paths of upstream's,
/// `upstream_config` when upstream's `config.json` cannot be used, otherwise as a sync's; the mirror is unchanged.
pub async fn run(config: &Config, options: &Options, context: Context<'_>) -> Result<Report> {
    let init = Init {
        config,
        options,
        context,
        upstream: config.upstream_remote()?,
        mirror: config.mirror_remote()?,
        keep: Keep::new(&config.mirror.keep)?,
        started: context.now(),
    };
    let remotes = [&init.upstream, &init.mirror];
    retry(
        &config.network,
        remotes,
        context.progress,
        async |unconfirmed| init.attempt(unconfirmed).await,
    )
    .await
}

struct Init<'a> {
    config: &'a Config,
    options: &'a Options,
    context: Context<'a>,
    upstream: Remote,
    mirror: Remote,
    keep: Keep,
    /// The date of the new commit, in seconds since 1970: one for all attempts, as in a sync.
    started: i64,
}

impl Init<'_> {
    async fn attempt(&self, unconfirmed: &mut UnconfirmedPushes) -> Result<Report> {
        self.context.progress.phase("reading both sides");
        let mut session = Session::open(self.config, &self.upstream, &self.mirror).await?;
        // Before the branch is found to exist: the attempt before this one may have made it.
        if let Some(report) = unconfirmed.arrived(session.mirror_tip) {
            return Ok(report);
        }
        let adopted = match session.mirror_tip {
            Some(tip) => Some(self.adopted(&mut session, tip).await?),
            None => None,
        };
        self.refuse_shallow(&mut session).await?;
        let mut warnings = Vec::new();
        let upstream = session.upstream_tip;
        let tips = Tips {
            upstream: fetch_tip(&mut session.upstream, upstream).await?,
            adopted,
        };
        let config_json = self.config_json(&mut session, &tips, &mut warnings).await?;
        let merged = self.own_tree(&mut session, &tips, &config_json).await?;
        self.refuse_conflicts(&merged.conflicts)?;
        let draft = self.draft(&session, &tips, &merged, config_json)?;
        warnings
            .extend(head_warning(&self.config.mirror.branch, &session.mirror_head).map(Into::into));
        // The merge has no base, so to it upstream has always just changed its config.json.
        let is_relevant =
            |warning: &&MergeWarning| **warning != MergeWarning::UpstreamConfigChanged;
        let relevant = merged.warnings.iter().filter(is_relevant);
        warnings.extend(relevant.map(|warning| warning.to_string().into()));
        let report = self.describe(&tips, &draft, &merged, warnings);
        let receiver = apply::open(&self.mirror).await?;
        match apply::apply(&mut session, receiver, &draft, self.context.progress).await {
            Ok(()) => Ok(report),
            Err(error) => {
                unconfirmed.remember(&draft, report, &error);
                Err(error)
            }
        }
    }

    /// Refuses an upstream that lacks a part of the history that the mirror is to have.
    async fn refuse_shallow(&self, session: &mut Session<'_>) -> Result<()> {
        let tip = session.upstream_tip;
        if self.history() == History::Merge && session.upstream.is_cut_off(tip).await? {
            let serves_by_id = session.upstream.can_want_any();
            return Err(shallow_upstream(&self.upstream, serves_by_id));
        }
        Ok(())
    }

    fn history(&self) -> History {
        self.config.mirror.history.unwrap_or(History::Merge)
    }

    fn describe(
        &self,
        tips: &Tips,
        draft: &Draft,
        merged: &Merged,
        warnings: Vec<report::Warning>,
    ) -> Report {
        Report {
            outcome: Outcome::Created,
            before: tips.adopted.as_ref().map(|tip| tip.id),
            after: Some(draft.update.new),
            overlay: merged
                .overlay
                .iter()
                .map(|difference| difference.path.clone())
                .collect(),
            overlay_cut: merged.overlay_cut,
            warnings,
            ..Report::about(tips.upstream.id)
        }
    }
}

/// Warns when HEAD is another branch: cargo and `git clone` read HEAD, not the branch's name.
pub(super) fn head_warning(branch: &str, head: &Head) -> Option<String> {
    let reference = branch_ref(branch);
    match head {
        Head::Branch(other) if *other != reference => Some(format!(
            "the mirror's HEAD is {other}, not {reference}, and cargo and git clone read HEAD: make {branch} the default branch"
        )),
        _ => None,
    }
}
