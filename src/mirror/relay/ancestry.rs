//! Which of the mirror's last commits comes after which, as far as can be seen.
//!
//! Dates say nothing of that: commits of one second have no order, and clocks differ.

use std::collections::BTreeSet;

use super::MirrorView;
use super::squash::is_collapse;
use crate::error::Result;
use crate::git::ObjectId;
use crate::index::commit_subject::crate_in;

impl MirrorView {
    /// Says whether `id` is `from` or one of its ancestors, as far as can be seen.
    pub(super) fn reaches(&self, from: ObjectId, id: &ObjectId) -> Result<bool> {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(commit) = next.pop() {
            if commit == *id {
                return Ok(true);
            }
            if seen.insert(commit) {
                let parents = self.get(&commit)?.map(|commit| commit.parents);
                next.extend(parents.unwrap_or_default());
            }
        }
        Ok(false)
    }

    /// Returns the newest of these commits that is in sight and not the relay's: none of the others leads to it.
    ///
    /// # Errors
    /// `server` for a commit that cannot be read.
    pub fn newest_of(&self, ids: &BTreeSet<ObjectId>) -> Result<Option<ObjectId>> {
        let mut newest: Option<ObjectId> = None;
        for id in self.others.iter().filter(|id| ids.contains(id)) {
            match newest {
                Some(known) if !self.reaches(*id, &known)? => {}
                _ => newest = Some(*id),
            }
        }
        Ok(newest)
    }

    /// Returns the newest commit in sight that is not the relay's and has this tree.
    ///
    /// # Errors
    /// `server` for a commit that cannot be read.
    pub fn newest_with_tree(&self, tree: &ObjectId) -> Result<Option<ObjectId>> {
        let mut alike = BTreeSet::new();
        for id in &self.others {
            if self.get(id)?.is_some_and(|commit| commit.tree == *tree) {
                alike.insert(*id);
            }
        }
        self.newest_of(&alike)
    }

    /// Returns the first of the first parents whose subject is one of crates.io's.
    ///
    /// # Errors
    /// `server` for a commit that cannot be read.
    pub fn newest_in_upstream_s_words(&self) -> Result<Option<ObjectId>> {
        let mut next = Some(self.tip);
        while let Some(id) = next
            && let Some(commit) = self.get(&id)?
        {
            if crate_in(commit.subject()).is_some() || is_collapse(&commit.message) {
                return Ok(Some(id));
            }
            next = commit.parents.first().copied();
        }
        Ok(None)
    }
}
