//! Upstream's new commits: how many, where they leave from, which crates they name.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::{FetchError, UploadPack};
use crate::git::wire::pack::{Object, ObjectKind};
use crate::git::wire::upload_pack::Fetch;
use crate::index::CrateName;
use crate::index::commit_subject::crate_in;

/// The commits between what the mirror has and a commit of upstream's.
#[derive(Default)]
pub struct News {
    /// The commit that was asked for; `None` where there is nothing new.
    pub tip: Option<Commit>,
    /// How many commits are new.
    pub count: usize,
    /// The parents of new commits that are not new themselves: the mirror has each of them.
    pub edges: BTreeSet<ObjectId>,
    /// New commits without parents, with their content: where upstream's history was collapsed, or another one came in.
    pub roots: Vec<(ObjectId, Vec<u8>)>,
    /// The crates that the commits' subjects name.
    pub crates: BTreeSet<CrateName>,
    /// Those of the offered commits that upstream has, too; told only where it was asked without `done`.
    pub acknowledged: Vec<ObjectId>,
    /// Whether upstream sent commits at all: without `done` it does only when the tip leads to a commit that was offered.
    pub is_told: bool,
    /// The root tree of the tip, where the server sent it unasked.
    pub root_tree: Option<Object>,
    seen: HashSet<ObjectId>,
}

impl News {
    /// The index has one root since its last collapse; a merge of other histories brings a few more.
    const ROOTS_LIMIT: usize = 16;

    /// Fetches the commits that lead to `tip` and are not below any of `haves`.
    ///
    /// # Errors
    /// As [`UploadPack::scan`]; `TooLarge` also for more roots than the history of an index has.
    pub async fn fetch(
        upstream: &mut UploadPack<'_>,
        tip: ObjectId,
        haves: &[ObjectId],
        done: bool,
    ) -> Result<Self, FetchError> {
        let fetch = Fetch {
            wants: vec![tip],
            haves: haves.to_vec(),
            only_wanted_trees: true,
            done,
            ..Fetch::default()
        };
        let mut news = Self::default();
        let mut unreadable = None;
        let scan = upstream
            .scan(&fetch, |object| match news.take(object, &tip) {
                Ok(flow) => flow,
                Err(error) => {
                    unreadable = Some(error);
                    ControlFlow::Break(())
                }
            })
            .await?;
        if let Some(error) = unreadable {
            return Err(error.on(upstream.remote()).into());
        }
        if news.roots.len() > Self::ROOTS_LIMIT {
            let error = Error::new(
                Kind::Server,
                format!(
                    "{}: more than {} commits without parents are new",
                    upstream.remote(),
                    Self::ROOTS_LIMIT
                ),
            );
            return Err(FetchError::TooLarge(
                error.advise("Look at upstream: this is not the history of an index."),
            ));
        }
        news.is_told = scan.answer.pack_follows;
        news.acknowledged = scan.answer.acknowledged;
        news.seen = HashSet::new();
        if news.count > 0 && news.tip.is_none() {
            return Err(Error::new(
                Kind::Server,
                format!("{}: it did not send its tip {tip}", upstream.remote()),
            )
            .advise("try again")
            .into());
        }
        Ok(news)
    }

    /// Takes one object, in any order; commits come before trees, so that the tip's tree is the last thing of use.
    fn take(&mut self, object: &Object, tip: &ObjectId) -> Result<ControlFlow<()>> {
        match object.kind {
            ObjectKind::Commit => {
                self.take_commit(object, tip)?;
                if self.roots.len() > Self::ROOTS_LIMIT {
                    return Ok(ControlFlow::Break(()));
                }
            }
            ObjectKind::Tree
                if self
                    .tip
                    .as_ref()
                    .is_some_and(|commit| commit.tree == object.id) =>
            {
                self.root_tree = Some(object.clone());
                return Ok(ControlFlow::Break(()));
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take_commit(&mut self, object: &Object, tip: &ObjectId) -> Result<()> {
        if !self.seen.insert(object.id) {
            return Ok(());
        }
        let commit = Commit::parse(&object.content)?;
        self.count += 1;
        self.edges.remove(&object.id);
        for parent in &commit.parents {
            if !self.seen.contains(parent) {
                self.edges.insert(*parent);
            }
        }
        if commit.parents.is_empty() {
            self.roots.push((object.id, object.content.to_vec()));
        } else if let Some(name) = crate_in(commit.subject()) {
            self.crates.insert(name);
        }
        if object.id == *tip {
            self.tip = Some(commit);
        }
        Ok(())
    }

    /// Returns how many of the new commits carry something: all but the roots, which only collapse others.
    pub fn commits(&self) -> usize {
        self.count.saturating_sub(self.roots.len())
    }

    /// Adds the commits that lead up to a squash, so that the report counts what was really carried.
    pub(super) fn add_hidden(&mut self, hidden: News) {
        self.count += hidden.commits();
        self.crates.extend(hidden.crates);
    }
}
