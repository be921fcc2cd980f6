//! Walks the three trees together and decides name by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::overlay::{EMPTY, Pair};
use super::{
    Conflict, ConflictKind, MAX_DEPTH, MergeWarning, Needs, Rules, Side, Sides, depth, file, join,
    shown_path,
};
use crate::git::ObjectId;
use crate::git::tree::{MergedEntry, MergedTree, Tree, TreeEntry};
use crate::index::config_json::CONFIG_JSON;

/// One pass over everything that the known trees show.
///
/// A missing tree is noted and counts as empty in this pass, so that one round of fetching covers a whole level. The other
/// findings of such a pass are discarded.
pub(super) struct Walk<'a> {
    trees: &'a HashMap<ObjectId, Tree>,
    rules: &'a Rules,
    found: Found<'a>,
}

/// What a pass found.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) needs: Needs,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) warnings: Vec<MergeWarning>,
    /// Where the merged tree differs from upstream's; directories are not entered yet.
    pub(super) differing: Vec<Pair>,
    /// The paths given as `--ours` that resolved a conflict.
    pub(super) settled: BTreeSet<&'a str>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(trees: &'a HashMap<ObjectId, Tree>, rules: &'a Rules) -> Self {
        Self {
            trees,
            rules,
            found: Found::default(),
        }
    }

    pub(super) fn finish(self) -> Found<'a> {
        self.found
    }

    /// Merges the roots. They are entered even if only upstream changed, since `config.json` is there.
    pub(super) fn root(&mut self, ids: Sides<Option<ObjectId>>) -> MergedTree {
        match ids.ours {
            Some(id)
                if ids.ours == ids.theirs
                    && ids.ours == ids.base
                    && self.rules.reserved.is_empty() =>
            {
                MergedTree::Existing(id)
            }
            _ => self
                .enter(&[], ids)
                .unwrap_or(MergedTree::New(BTreeMap::new())),
        }
    }

    /// Merges three directories entry by entry; returns `None` if the result is empty, which git does not store.
    fn enter(&mut self, path: &[u8], ids: Sides<Option<ObjectId>>) -> Option<MergedTree> {
        // All three before the first `?`, so that one round of fetches brings all that are missing.
        let ours = self.tree(Side::Ours, ids.ours);
        let base = self.tree(Side::Base, ids.base);
        let theirs = self.tree(Side::Theirs, ids.theirs);
        let trees = Sides {
            ours: ours?,
            base: base?,
            theirs: theirs?,
        };
        let mut merged = BTreeMap::new();
        let names: BTreeSet<_> = [trees.ours, trees.base, trees.theirs]
            .into_iter()
            .flat_map(Tree::keys)
            .collect();
        for name in names {
            let values = trees.map(|tree| tree.get(name).copied());
            if let Some(entry) = self.name(&join(path, name), values) {
                merged.insert(name.clone(), entry);
            }
        }
        // A tree that a side has must not be made anew: strict servers reject an object that is sent twice.
        let known = [
            (ids.theirs, trees.theirs),
            (ids.ours, trees.ours),
            (ids.base, trees.base),
        ];
        let same = known.into_iter().find(|(_, tree)| is_same(&merged, tree));
        match same {
            _ if merged.is_empty() => None,
            Some((Some(id), _)) => Some(MergedTree::Existing(id)),
            _ => Some(MergedTree::New(merged)),
        }
    }

    fn tree(&mut self, side: Side, id: Option<ObjectId>) -> Option<&'a Tree> {
        let Some(id) = id else { return Some(&EMPTY) };
        let tree = self.trees.get(&id);
        if tree.is_none() {
            self.found.needs.add(side, id);
        }
        tree
    }

    fn name(&mut self, path: &[u8], values: Sides<Option<TreeEntry>>) -> Option<MergedEntry> {
        let Sides { ours, base, theirs } = values;
        if path == CONFIG_JSON.as_bytes() {
            if theirs != base {
                self.found
                    .warnings
                    .push(MergeWarning::UpstreamConfigChanged);
            }
            // A mirror without one takes upstream's: cargo cannot read an index that has none.
            return self.take(path, ours.or(theirs), theirs);
        }
        if self.rules.reserved.covers(path) {
            return self.reserved(path, values);
        }
        let is_entered = ours.is_some_and(|entry| entry.mode.is_tree())
            && self.rules.reserved.may_be_below(path);
        if ours == theirs && !is_entered {
            return ours.map(MergedEntry::from);
        }
        // Whole, and before anything below is looked at: what is kept is never a conflict.
        if self.rules.keep.covers(path) {
            if theirs != base {
                let is_directory = theirs.or(base).is_some_and(|entry| entry.mode.is_tree());
                let path = shown_path(path, is_directory);
                self.found
                    .warnings
                    .push(MergeWarning::KeptPathChangedUpstream { path });
            }
            return self.take(path, ours, theirs);
        }
        self.parts(path, values)
    }

    /// Takes what the mirror has of its own: neither upstream's lines nor what an earlier sync took of them.
    fn reserved(
        &mut self,
        path: &[u8],
        Sides { ours, base, theirs }: Sides<Option<TreeEntry>>,
    ) -> Option<MergedEntry> {
        if theirs.is_some() {
            let path = shown_path(path, false);
            self.found.warnings.push(MergeWarning::Reserved { path });
        }
        let own = ours.filter(|_| ours != theirs && ours != base);
        self.take(path, own, theirs)
    }

    /// Takes a value unchanged, and notes whether it differs from upstream's.
    fn take(
        &mut self,
        path: &[u8],
        value: Option<TreeEntry>,
        theirs: Option<TreeEntry>,
    ) -> Option<MergedEntry> {
        self.found
            .differing
            .extend(Pair::compare(path, value, theirs));
        value.map(MergedEntry::from)
    }

    /// Merges the file and the directory of one name separately; only one of them may remain.
    fn parts(&mut self, path: &[u8], values: Sides<Option<TreeEntry>>) -> Option<MergedEntry> {
        let files = values.map(|entry| entry.filter(|entry| !entry.mode.is_tree()));
        let directories = values.map(|entry| entry.filter(|entry| entry.mode.is_tree()));
        let before = self.found.differing.len();
        let file = file::merge(files);
        let directory = self.directory(path, directories.map(|entry| entry.map(|entry| entry.id)));
        let kind = match file {
            Ok(file) if file.is_none() || directory.is_none() => {
                self.take(path, file, files.theirs);
                return directory
                    .map(MergedEntry::Directory)
                    .or(file.map(MergedEntry::from));
            }
            Ok(_) => ConflictKind::FileAndDirectory,
            Err(kind) => kind,
        };
        if !self.settles_with_ours(path) {
            // The conflict stands for the whole path, so what was found below it is not listed as well.
            self.found.differing.truncate(before);
            self.conflict(path, kind);
            return values.ours.map(MergedEntry::from);
        }
        if directories.ours.is_some() {
            self.take(path, None, files.theirs);
            return directory.map(MergedEntry::Directory);
        }
        self.found.differing.truncate(before);
        self.take(path, files.ours, values.theirs)
    }

    fn directory(&mut self, path: &[u8], ids: Sides<Option<ObjectId>>) -> Option<MergedTree> {
        let may_be_reserved = self.rules.reserved.may_be_below(path);
        if (ids.ours == ids.theirs || ids.theirs == ids.base) && !may_be_reserved {
            let [ours, theirs] = [ids.ours, ids.theirs].map(|id| id.map(TreeEntry::directory));
            self.take(path, ours, theirs);
            return ids.ours.map(MergedTree::Existing);
        }
        let is_entered = may_be_reserved || self.rules.keep.may_match_below(path);
        if ids.ours == ids.base && !is_entered {
            return ids.theirs.map(MergedTree::Existing);
        }
        if depth(path) >= MAX_DEPTH {
            if !self.settles_with_ours(path) {
                self.conflict(path, ConflictKind::TooDeep);
            }
            return ids.ours.map(MergedTree::Existing);
        }
        self.enter(path, ids)
    }

    fn settles_with_ours(&mut self, path: &[u8]) -> bool {
        let settling = self.rules.settling(path);
        let settles = !settling.is_empty();
        self.found.settled.extend(settling);
        settles
    }

    fn conflict(&mut self, path: &[u8], kind: ConflictKind) {
        let path = shown_path(path, false);
        self.found.conflicts.push(Conflict { path, kind });
    }
}

fn is_same(merged: &BTreeMap<Vec<u8>, MergedEntry>, tree: &Tree) -> bool {
    let entries = merged.iter().map(|(name, entry)| (name, entry.existing()));
    let others = tree.iter().map(|(name, entry)| (name, Some(*entry)));
    merged.len() == tree.len() && entries.eq(others)
}
