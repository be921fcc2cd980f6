//! Drafts the push of the mirror's first commit.

use super::Init;
use super::first_tree::{ConfigFile, Tips};
use crate::config::History;
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::objects::{NewCommit, write_tree};
use crate::git::tree::TreeEntry;
use crate::git::wire::pack::ObjectKind;
use crate::git::wire::receive_pack::Update;
use crate::git::wire::upload_pack::Fetch;
use crate::mirror::plan::Outcome;
use crate::mirror::plan::three_way::Merged;
use crate::mirror::relay::draft::{Draft, commit, no_merge, snapshot_not_servable, stand_in};
use crate::mirror::relay::{NewObject, Session};

impl Init<'_> {
    /// Drafts the push that creates the mirror's branch.
    pub(super) fn draft(
        &self,
        session: &Session<'_>,
        tips: &Tips,
        merged: &Merged,
        config_json: ConfigFile,
    ) -> Result<Draft> {
        let tip = &tips.upstream;
        let mirror = &self.config.mirror;
        let history = self.history();
        if history == History::Snapshot && !session.upstream.can_want_any() {
            let no_merge = no_merge(&session.upstream, History::Merge);
            return Err(snapshot_not_servable(&self.upstream, no_merge));
        }
        let (root, mut objects) = first_objects(tips, merged, config_json)?;
        // Not before its parents: see `draft::new_commits`.
        let adopted = tips.adopted.as_ref();
        let seconds = adopted.map_or(self.started, |adopted| {
            adopted.commit.seconds.max(self.started)
        });
        let seconds = seconds.max(tip.commit.seconds);
        let (wanted, parent) = match history {
            History::Merge => (tip.id, tip.id),
            History::Snapshot => {
                let content = stand_in((tip.id, &tip.commit), &[], &mirror.author, seconds)?;
                let id = ObjectKind::Commit.id_of(&content);
                objects.push(commit(content));
                (tip.commit.tree, id)
            }
        };
        let parents: Vec<ObjectId> = adopted
            .map(|adopted| adopted.id)
            .into_iter()
            .chain([parent])
            .collect();
        let message = "Create the mirror".to_owned();
        let content = NewCommit {
            tree: root,
            parents: &parents,
            author: &mirror.author,
            seconds,
            authored_seconds: seconds,
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
                // The server refuses to create a branch that somebody else has created meanwhile, and to move one that moved.
                old: adopted.map_or(ObjectId::ZERO, |adopted| adopted.id),
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
}

/// Returns the first tree's id, and the objects that upstream's pack lacks: the `config.json` and the trees that contain it.
fn first_objects(
    tips: &Tips,
    merged: &Merged,
    config_json: ConfigFile,
) -> Result<(ObjectId, Vec<NewObject>)> {
    let mut made = Vec::new();
    let root = write_tree(&merged.root, &mut made)?;
    let mut objects = Vec::new();
    let tip = &tips.upstream;
    if root == tip.commit.tree {
        return Ok((root, objects));
    }
    // Upstream's pack may have the same file under another name, and strict servers reject an object that is sent
    // twice.
    if let ConfigFile::Made(content) = config_json {
        let blob = NewObject::whole(ObjectKind::Blob, content);
        let has_it = |entry: &TreeEntry| entry.id == blob.id();
        if !tip.root.values().any(has_it) {
            objects.push(blob);
        }
    }
    let trees = made.into_iter().map(|tree| tree.content);
    objects.extend(trees.map(|content| NewObject::whole(ObjectKind::Tree, content)));
    Ok((root, objects))
}
