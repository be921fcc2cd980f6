//! `init`: makes the first commit of an empty mirror.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tracing::{info, warn};

use crate::ObjectId;
use crate::config::{Config, History};
use crate::error::{Error, Kind, Result};
use crate::index::config_json;
use crate::objects::{Commit, NewCommit, parse_tree, write_tree};
use crate::plan::three_way::{Merge, Merged, Rules, Side, Sides, Step, Warning};
use crate::plan::tree::{Entry, MergedEntry, MergedTree, Mode, Tree};
use crate::plan::{Keep, Outcome};
use crate::relay::draft::{Draft, NewObject, commit, snapshot_not_servable, stand_in};
use crate::relay::observe::branch_ref;
use crate::relay::trees::{fetch_objects, fetch_trees};
use crate::relay::{Session, Surroundings, Unseen, apply, persist};
use crate::report::Report;
use crate::transport::{Remote, UploadPack};
use crate::wire::Head;
use crate::wire::pack::{Object, ObjectKind};
use crate::wire::receive_pack::Update;
use crate::wire::upload_pack::Fetch;

const CONFIG_JSON: &[u8] = b"config.json";

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
        upstream: Remote::upstream(config)?,
        mirror: Remote::mirror(config)?,
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

/// Upstream's tip, as far as the first commit depends on it.
struct Tip {
    id: ObjectId,
    commit: Commit,
    root: Tree,
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
        warnings.extend(self.head_warning(&session.mirror_head));
        let is_news = |warning: &&Warning| **warning != Warning::UpstreamConfigChanged;
        warnings.extend(
            merged
                .warnings
                .iter()
                .filter(is_news)
                .map(ToString::to_string),
        );
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

    /// Makes the mirror's `config.json`; without `mirror.dl` and `mirror.api` it is upstream's.
    async fn config_json(
        &self,
        upstream: &mut UploadPack<'_>,
        tip: &Tip,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<u8>> {
        let (dl, api) = (
            self.config.mirror.dl.as_deref(),
            self.config.mirror.api.as_deref(),
        );
        if dl.is_none() && api.is_none() {
            info!(
                "neither `mirror.dl` nor `mirror.api` is set: the mirror's config.json stays upstream's"
            );
        }
        let Some(entry) = tip.root.get(CONFIG_JSON) else {
            return Err(Error::new(
                Kind::UpstreamConfig,
                format!("{}: it has no config.json", self.upstream),
            )
            .advise("an index has one at its root: look at `upstream.url` and `upstream.branch`"));
        };
        let fetched = fetch_objects(upstream, &[entry.id], &[]).await;
        let theirs = match fetched {
            Ok(mut objects) => objects.remove(&entry.id).map(|object| object.content),
            Err(error) if error.kind() == Kind::Config && dl.is_some() => {
                warn!("{error}");
                warnings.push("upstream's config.json could not be read: its other keys are not in the mirror's".to_owned());
                None
            }
            Err(error) => return Err(error),
        };
        let theirs = theirs
            .as_ref()
            .map_or(&b"{}"[..], |content| content.as_slice());
        config_json::ours(theirs, dl, api)
    }

    /// Plans the first tree as a merge of a tree with our `config.json` alone, so that `mirror.keep` has its say.
    async fn own_tree(
        &self,
        upstream: &mut UploadPack<'_>,
        tip: &Tip,
        config_json: &[u8],
    ) -> Result<Merged> {
        let entry = Entry {
            mode: Mode::FILE,
            id: ObjectKind::Blob.id_of(config_json),
        };
        let own = BTreeMap::from([(CONFIG_JSON.to_vec(), MergedEntry::File(entry))]);
        let own = MergedTree::New(own);
        let own_id = write_tree(&own, &mut Vec::new())?;
        let roots = Sides {
            ours: Some(own_id),
            base: None,
            theirs: Some(tip.commit.tree),
        };
        let mut merge = Merge::new(roots, Rules::new::<&str>(self.keep.clone(), &[]));
        merge.supply(own_id, Tree::from([(CONFIG_JSON.to_vec(), entry)]));
        merge.supply(tip.commit.tree, tip.root.clone());
        loop {
            let needs = match merge.step() {
                Step::Done(mut merged) => {
                    // Where upstream has nothing else the result is our tree, which nobody has yet.
                    if merged.root == MergedTree::Existing(own_id) {
                        merged.root = own;
                    }
                    return Ok(merged);
                }
                Step::Needs(needs) => needs,
            };
            let ids: Vec<ObjectId> = needs
                .iter()
                .filter(|need| need.side == Side::Theirs)
                .map(|need| need.id)
                .collect();
            for (id, tree) in fetch_trees(upstream, &ids, &[]).await? {
                merge.supply(id, tree);
            }
        }
    }

    fn draft(
        &self,
        session: &Session<'_>,
        tip: &Tip,
        merged: &Merged,
        config_json: Vec<u8>,
    ) -> Result<Draft> {
        let mirror = &self.config.mirror;
        let history = mirror.history.unwrap_or(History::Merge);
        if history == History::Snapshot && !session.upstream.can_want_any() {
            return Err(snapshot_not_servable(&self.upstream));
        }
        let mut objects = Vec::new();
        let mut made = Vec::new();
        let root = write_tree(&merged.root, &mut made)?;
        if root != tip.commit.tree {
            if tip
                .root
                .values()
                .all(|entry| entry.id != ObjectKind::Blob.id_of(&config_json))
            {
                objects.push(NewObject {
                    kind: ObjectKind::Blob,
                    content: config_json,
                });
            }
            objects.extend(made.into_iter().map(|tree| NewObject {
                kind: ObjectKind::Tree,
                content: tree.content,
            }));
        }
        let seconds = self.around.now().max(tip.commit.seconds);
        let (wanted, parent) = match history {
            History::Merge => (tip.id, tip.id),
            History::Snapshot => {
                let content = stand_in(tip.id, tip.commit.tree, &[], &mirror.author, seconds)?;
                let id = ObjectKind::Commit.id_of(&content);
                objects.push(commit(content));
                (tip.commit.tree, id)
            }
        };
        let message = "Create the mirror".to_owned();
        let content = NewCommit {
            tree: root,
            parents: &[parent],
            author: &mirror.author,
            seconds,
            message: &message,
            upstream_commit: tip.id,
        }
        .content()?;
        let new = ObjectKind::Commit.id_of(&content);
        objects.push(commit(content));
        Ok(Draft {
            outcome: Outcome::Created,
            update: Update {
                reference: branch_ref(&mirror.branch),
                old: ObjectId::ZERO,
                new,
            },
            fetch: Fetch {
                wants: vec![wanted],
                done: true,
                ..Fetch::default()
            },
            objects,
            message,
        })
    }

    fn describe(&self, tip: &Tip, draft: &Draft, merged: &Merged, warnings: Vec<String>) -> Report {
        Report {
            outcome: Outcome::Created,
            before: None,
            after: Some(draft.update.new),
            overlay: merged
                .overlay
                .iter()
                .map(|difference| difference.path.clone())
                .collect(),
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

async fn look_at_tip(session: &mut Session<'_>) -> Result<Tip> {
    let id = session.upstream_tip;
    let fetch = Fetch {
        wants: vec![id],
        deepen: Some(1),
        only_wanted_trees: true,
        done: true,
        ..Fetch::default()
    };
    let mut found: Option<Commit> = None;
    let mut root = None;
    let look = |object: &Object| match object.kind {
        ObjectKind::Commit if object.id == id => {
            found = Commit::parse(&object.content).ok();
            ControlFlow::Continue(())
        }
        ObjectKind::Tree
            if found
                .as_ref()
                .is_some_and(|commit| commit.tree == object.id) =>
        {
            root = Some(object.content.clone());
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    };
    session.upstream.scan(&fetch, look).await?;
    let commit = found.ok_or_else(|| {
        Error::new(
            Kind::Server,
            format!(
                "{}: it did not send its tip {id}",
                session.upstream.remote()
            ),
        )
        .advise("try again")
    })?;
    let root = match root {
        Some(content) => parse_tree(&content)?,
        None => fetch_trees(&mut session.upstream, &[commit.tree], &[])
            .await?
            .remove(&commit.tree)
            .unwrap_or_default(),
    };
    Ok(Tip { id, commit, root })
}
