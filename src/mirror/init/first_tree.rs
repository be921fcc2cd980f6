//! Makes the mirror's first tree: upstream's, with the mirror's own `config.json` and the files that it adopts.

use std::collections::HashSet;
use std::ops::ControlFlow;

use tokio::try_join;
use tracing::{info, warn};

use super::Init;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::{Commit, parse_tree, write_tree};
use crate::git::transport::UploadPack;
use crate::git::transport::by_id::{fetch_objects, fetch_trees, incomplete};
use crate::git::tree::{MergedEntry, MergedTree, Mode, Tree, TreeEntry};
use crate::git::wire::pack::{Object, ObjectKind};
use crate::git::wire::upload_pack::Fetch;
use crate::index::config_json::{self, CONFIG_JSON};
use crate::mirror::plan::three_way::{Merge, Merged, Need, Rules, Side, Sides, Step};
use crate::mirror::relay::Session;
use crate::mirror::report;

/// A tip and its root tree.
pub(super) struct Tip {
    pub(super) id: ObjectId,
    pub(super) commit: Commit,
    pub(super) root: Tree,
}

/// What the mirror starts from.
pub(super) struct Tips {
    pub(super) upstream: Tip,
    /// What the mirror has already.
    pub(super) adopted: Option<Tip>,
}

/// Where the mirror's `config.json` comes from.
pub(super) enum ConfigFile {
    /// It is this one.
    Made(Vec<u8>),
    /// It is one that upstream or the adopted files have.
    There(TreeEntry),
}

impl ConfigFile {
    fn entry(&self) -> TreeEntry {
        match self {
            Self::There(entry) => *entry,
            Self::Made(content) => TreeEntry {
                mode: Mode::FILE,
                id: ObjectKind::Blob.id_of(content),
            },
        }
    }
}

/// Fetches a branch's tip and its root tree.
pub(super) async fn fetch_tip(upstream: &mut UploadPack<'_>, id: ObjectId) -> Result<Tip> {
    let fetch = Fetch {
        // A filter leaves the root tree out, and then it has to be asked for by its id.
        only_wanted_trees: upstream.can_want_any(),
        ..Fetch::commits(id, 1)
    };
    let mut found: Option<Result<Commit>> = None;
    let mut trees = HashSet::new();
    let visit = |object: &Object| {
        match object.kind {
            ObjectKind::Commit if object.id == id => {
                _ = found.insert(Commit::parse(&object.content))
            }
            ObjectKind::Tree => _ = trees.insert(object.id),
            _ => {}
        }
        match &found {
            Some(Err(_)) => ControlFlow::Break(()),
            Some(Ok(commit)) if trees.contains(&commit.tree) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let scan = upstream.scan(&fetch, visit).await?;
    let commit = found.ok_or_else(|| incomplete(&id)).flatten();
    let commit = commit.map_err(|error| error.on(upstream.remote()))?;
    let root = scan.objects.get(&commit.tree);
    let root = match root.map_err(|error| upstream.error("reading its pack", error))? {
        Some(object) => parse_tree(&object.content).map_err(|error| error.on(upstream.remote()))?,
        // `fetch_trees` returns every tree that was asked for, or fails: the default is never taken.
        None => fetch_trees(upstream, &[commit.tree], &[])
            .await?
            .remove(&commit.tree)
            .unwrap_or_default(),
    };
    Ok(Tip { id, commit, root })
}

impl Init<'_> {
    /// Makes the mirror's `config.json`, unless the adopted files have one. Without `mirror.dl` and `mirror.api` it is upstream's.
    pub(super) async fn config_json(
        &self,
        session: &mut Session<'_>,
        tips: &Tips,
        warnings: &mut Vec<report::Warning>,
    ) -> Result<ConfigFile> {
        let Session {
            upstream, mirror, ..
        } = session;
        let tip = &tips.upstream;
        let Some(theirs) = tip.root.get(CONFIG_JSON.as_bytes()) else {
            return Err(self.lacks_config_json());
        };
        if let Some(adopted) = &tips.adopted
            && let Some(own) = self.adopted_config(mirror, adopted, tip).await?
        {
            info!("the mirror keeps the config.json that it has");
            let mirror = &self.config.mirror;
            if mirror.dl.is_some() || mirror.api.is_some() {
                warnings.push(
                    "the mirror keeps the config.json that it has: `mirror.dl` and `mirror.api` were not written; commit them \
                     there if they are to count"
                        .to_owned()
                        .into(),
                );
            }
            return Ok(ConfigFile::There(own));
        }
        let (dl, api) = (
            self.config.mirror.dl.as_deref(),
            self.config.mirror.api.as_deref(),
        );
        if dl.is_none() && api.is_none() {
            info!(
                "neither `mirror.dl` nor `mirror.api` is set: the mirror gets upstream's config.json unchanged"
            );
        }
        if !upstream.can_want_any() && dl.is_none() && api.is_none() {
            return Ok(ConfigFile::There(*theirs));
        }
        let theirs = if upstream.can_want_any() || dl.is_none() {
            let mut objects = fetch_objects(upstream, &[theirs.id], &[]).await?;
            objects.remove(&theirs.id).map(|object| object.content)
        } else {
            // Such a server sends no single file. With `mirror.dl`, the mirror's config.json can be made without
            // upstream's.
            let text =
                "upstream's config.json could not be read: the mirror's lacks its other keys";
            warn!("{}: {text}", self.upstream);
            warnings.push(text.to_owned().into());
            None
        };
        let theirs = theirs
            .as_ref()
            .map_or(&b"{}"[..], |content| content.as_slice());
        config_json::ours(theirs, dl, api).map(ConfigFile::Made)
    }

    fn lacks_config_json(&self) -> Error {
        let message = format!("{}: config.json is missing", self.upstream);
        Error::new(Kind::UpstreamConfig, message)
            .advise("Check `upstream.url` and `upstream.branch`: an index has one at its root.")
    }

    /// Plans the first tree as a merge with a tree that has our `config.json` and the adopted files, so that `mirror.keep`
    /// applies.
    pub(super) async fn own_tree(
        &self,
        session: &mut Session<'_>,
        tips: &Tips,
        config_json: &ConfigFile,
    ) -> Result<Merged> {
        let tip = &tips.upstream;
        let adopted = tips.adopted.as_ref();
        let mut own_root = adopted.map_or_else(Tree::new, |adopted| adopted.root.clone());
        own_root.insert(CONFIG_JSON.into(), config_json.entry());
        let own = own_root
            .iter()
            .map(|(name, entry)| (name.clone(), MergedEntry::from(*entry)));
        let own = MergedTree::New(own.collect());
        let own_id = write_tree(&own, &mut Vec::new())?;
        let roots = Sides {
            ours: Some(own_id),
            base: None,
            theirs: Some(tip.commit.tree),
        };
        let rules = Rules::new::<&str>(self.keep.clone(), &[]);
        let mut merge = Merge::new(roots, rules.reserving(self.config.reserved.clone()));
        merge.supply(own_id, own_root);
        merge.supply(tip.commit.tree, tip.root.clone());
        loop {
            let needs = match merge.step() {
                Step::Done(mut merged) => {
                    // If upstream has nothing else, the result is our tree, which neither side has yet.
                    if merged.root == MergedTree::Existing(own_id) {
                        merged.root = own;
                    }
                    return Ok(merged);
                }
                Step::Needs(needs) => needs,
            };
            // Our root was supplied above, and there is no base.
            let (theirs, ours): (Vec<_>, Vec<_>) =
                needs.iter().partition(|need| need.side == Side::Theirs);
            let ids = |needs: Vec<&Need>| needs.iter().map(|need| need.id).collect::<Vec<_>>();
            let (theirs, ours) = (ids(theirs), ids(ours));
            let whole = adopted.map(|adopted| Fetch {
                wants: vec![adopted.id],
                done: true,
                ..Fetch::default()
            });
            let (from_upstream, from_mirror) = try_join!(
                fetch_trees(&mut session.upstream, &theirs, &[]),
                fetch_trees(&mut session.mirror, &ours, whole.as_slice())
            )?;
            for (id, tree) in from_upstream.into_iter().chain(from_mirror) {
                merge.supply(id, tree);
            }
        }
    }
}
