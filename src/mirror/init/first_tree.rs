//! Makes the mirror's first tree: upstream's, with the mirror's own `config.json`.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

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
use crate::mirror::plan::three_way::{Merge, Merged, Rules, Side, Sides, Step};
use crate::mirror::relay::Session;
use crate::mirror::report;

/// Upstream's tip and its root tree.
pub(super) struct Tip {
    pub(super) id: ObjectId,
    pub(super) commit: Commit,
    pub(super) root: Tree,
}

/// Fetches upstream's tip and its root tree.
pub(super) async fn fetch_tip(session: &mut Session<'_>) -> Result<Tip> {
    let id = session.upstream_tip;
    let upstream = &mut session.upstream;
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
        Some(object) => parse_tree(&object.content)?,
        // `fetch_trees` returns every tree that was asked for, or fails: the default is never taken.
        None => fetch_trees(upstream, &[commit.tree], &[])
            .await?
            .remove(&commit.tree)
            .unwrap_or_default(),
    };
    Ok(Tip { id, commit, root })
}

impl Init<'_> {
    /// Makes the mirror's `config.json`; without `mirror.dl` and `mirror.api` it is upstream's, and `None` where upstream's
    /// server sends no single file.
    pub(super) async fn config_json(
        &self,
        upstream: &mut UploadPack<'_>,
        tip: &Tip,
        warnings: &mut Vec<report::Warning>,
    ) -> Result<Option<Vec<u8>>> {
        let (dl, api) = (
            self.config.mirror.dl.as_deref(),
            self.config.mirror.api.as_deref(),
        );
        if dl.is_none() && api.is_none() {
            info!(
                "neither `mirror.dl` nor `mirror.api` is set: the mirror gets upstream's config.json unchanged"
            );
        }
        let Some(entry) = tip.root.get(CONFIG_JSON.as_bytes()) else {
            return Err(self.lacks_config_json());
        };
        if !upstream.can_want_any() && dl.is_none() && api.is_none() {
            return Ok(None);
        }
        let theirs = if upstream.can_want_any() || dl.is_none() {
            let mut objects = fetch_objects(upstream, &[entry.id], &[]).await?;
            objects.remove(&entry.id).map(|object| object.content)
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
        config_json::ours(theirs, dl, api).map(Some)
    }

    fn lacks_config_json(&self) -> Error {
        let message = format!("{}: config.json is missing", self.upstream);
        Error::new(Kind::UpstreamConfig, message)
            .advise("Check `upstream.url` and `upstream.branch`: an index has one at its root.")
    }

    /// Plans the first tree as a merge with a tree that has only our `config.json`, so that `mirror.keep` applies. Without one
    /// of our own, that tree has upstream's.
    pub(super) async fn own_tree(
        &self,
        upstream: &mut UploadPack<'_>,
        tip: &Tip,
        config_json: Option<&[u8]>,
    ) -> Result<Merged> {
        let theirs = tip.root.get(CONFIG_JSON.as_bytes()).copied();
        let made = config_json.map(|content| TreeEntry {
            mode: Mode::FILE,
            id: ObjectKind::Blob.id_of(content),
        });
        let Some(entry) = made.or(theirs) else {
            return Err(self.lacks_config_json());
        };
        let own = BTreeMap::from([(CONFIG_JSON.into(), MergedEntry::File(entry))]);
        let own = MergedTree::New(own);
        let own_id = write_tree(&own, &mut Vec::new())?;
        let roots = Sides {
            ours: Some(own_id),
            base: None,
            theirs: Some(tip.commit.tree),
        };
        let mut merge = Merge::new(roots, Rules::new::<&str>(self.keep.clone(), &[]));
        merge.supply(own_id, Tree::from([(CONFIG_JSON.into(), entry)]));
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
            // Our side is one file at the root, which was supplied above, and there is no base.
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
}
