//! Tells what a divergence takes back: whether upstream's new line lacks something that the commits which it leaves had brought.
//!
//! An upstream that is itself a mirror may make its own commit, such as that of its `config.json`, anew on top of every new state
//! of the index. Its history then diverges each time, and nothing is lost.

use std::collections::BTreeSet;

use super::NewCommits;
use crate::error::Result;
use crate::git::transport::UploadPack;
use crate::git::transport::by_id::{fetch_commit, fetch_trees};
use crate::git::tree::Tree;

/// Returns the root entries that the commits from the fork to the base had changed and that upstream's new tip has otherwise;
/// `None` where that cannot be told.
///
/// # Errors
/// As [`fetch_trees`].
pub(super) async fn taken_back(
    upstream: &mut UploadPack<'_>,
    new_commits: &NewCommits,
    base: &Tree,
    theirs: &Tree,
) -> Result<Option<BTreeSet<Vec<u8>>>> {
    let mut forks = new_commits.edges.iter();
    let (Some(fork), None) = (forks.next(), forks.next()) else {
        return Ok(None);
    };
    // The mirror may lack the fork, and a server that serves no objects by id would have to send everything.
    if !upstream.can_want_any() {
        return Ok(None);
    }
    let tree = fetch_commit(upstream, *fork).await?.tree;
    let fork = fetch_trees(upstream, &[tree], &[])
        .await?
        .remove(&tree)
        .unwrap_or_default();
    let names = base.keys().chain(fork.keys());
    let is_taken_back = |name: &&Vec<u8>| {
        let [before, had, has] = [&fork, base, theirs].map(|tree| tree.get(*name));
        had != before && has != had
    };
    Ok(Some(names.filter(is_taken_back).cloned().collect()))
}
