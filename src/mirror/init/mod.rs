//! `init`: makes the first commit of an empty mirror.

mod first_commit;
mod first_tree;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::transport::Remote;
use crate::git::wire::Head;
use crate::mirror::plan::three_way::{Merged, Warning};
use crate::mirror::plan::{Keep, Outcome};
use crate::mirror::relay::draft::Draft;
use crate::mirror::relay::{Session, Surroundings, Unseen, apply, persist};
use crate::mirror::report::{self, Report};
use first_tree::{Tip, look_at_tip};

/// Makes the first commit of an empty mirror: upstream's tree with the mirror's own `config.json`, on upstream's history or,
/// in `snapshot`, on a stand-in for it. Upstream's pack is streamed through.
///
/// # Errors
/// `mirror_exists` when the branch is there, `upstream_config` when upstream's `config.json` cannot be used, otherwise as the
/// conversations go; the mirror is as it was.
pub async fn run(config: &Config, around: Surroundings<'_>) -> Result<Report> {
    let init = Init {
        config,
        around,
        upstream: config.upstream_remote()?,
        mirror: config.mirror_remote()?,
        keep: Keep::new(&config.mirror.keep)?,
    };
    let remotes = [&init.upstream, &init.mirror];
    persist(&config.network, remotes, async |unseen| {
        init.attempt(unseen).await
    })
    .await
}

struct Init<'a> {
    config: &'a Config,
    around: Surroundings<'a>,
    upstream: Remote,
    mirror: Remote,
    keep: Keep,
}

impl Init<'_> {
    async fn attempt(&self, unseen: &mut Option<Unseen>) -> Result<Report> {
        self.around.progress.phase("looking at both sides");
        let mut session = Session::open(self.config, &self.upstream, &self.mirror).await?;
        if let Some(report) = Unseen::arrived(unseen, session.mirror_tip) {
            return Ok(report);
        }
        if let Some(tip) = session.mirror_tip {
            return Err(self.mirror_exists(tip));
        }
        let mut warnings = Vec::new();
        let tip = look_at_tip(&mut session).await?;
        let config_json = self
            .config_json(&mut session.upstream, &tip, &mut warnings)
            .await?;
        let merged = self
            .own_tree(&mut session.upstream, &tip, &config_json)
            .await?;
        let draft = self.draft(&session, &tip, &merged, config_json)?;
        warnings.extend(self.head_warning(&session.mirror_head).map(Into::into));
        let is_news = |warning: &&Warning| **warning != Warning::UpstreamConfigChanged;
        let news = merged.warnings.iter().filter(is_news);
        warnings.extend(news.map(|warning| warning.to_string().into()));
        let report = self.describe(&tip, &draft, &merged, warnings);
        let receiver = apply::open(&self.mirror).await?;
        match apply::apply(&mut session, receiver, &draft, self.around.progress).await {
            Ok(()) => Ok(report),
            Err(error) => {
                *unseen = Some(Unseen::new(draft.update.new, report));
                Err(error)
            }
        }
    }

    fn describe(
        &self,
        tip: &Tip,
        draft: &Draft,
        merged: &Merged,
        warnings: Vec<report::Warning>,
    ) -> Report {
        Report {
            outcome: Outcome::Created,
            before: None,
            after: Some(draft.update.new),
            overlay: merged
                .overlay
                .iter()
                .map(|difference| difference.path.clone())
                .collect(),
            overlay_cut: merged.overlay_cut,
            warnings,
            ..Report::about(tip.id)
        }
    }

    /// cargo reads what HEAD stands for, whatever the branch is called.
    fn head_warning(&self, head: &Head) -> Option<String> {
        let reference = branch_ref(&self.config.mirror.branch);
        match head {
            Head::Branch(branch) if *branch != reference => Some(format!(
                "the mirror's HEAD is {branch}, not {reference}, and cargo reads HEAD: make {} the default branch",
                self.config.mirror.branch
            )),
            _ => None,
        }
    }

    fn mirror_exists(&self, tip: ObjectId) -> Error {
        let reference = branch_ref(&self.config.mirror.branch);
        Error::new(
            Kind::MirrorExists,
            format!("{}: {reference} is there already, at {}", self.mirror, tip.short()),
        )
        .advise("`init` makes a new mirror in an empty repository; run `crates-ferry sync` to bring this one up to date")
    }
}
