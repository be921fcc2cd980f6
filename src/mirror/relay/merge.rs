//! Merges the root trees: fetches the trees that the planner needs, level by level, until it is done.

use std::collections::HashSet;

use tokio::try_join;

use super::observe::mirror_fallbacks;
use super::{Observation, Session};
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::transport::by_id::{add_from_other, find_trees};
use crate::mirror::plan::three_way::{Merge, Merged, Rules, Side, Sides, Step};

/// A complete merge.
pub struct MergedTrees {
    /// The result.
    pub merged: Merged,
    /// The trees that were read: the mirror has them, or upstream's pack contains them.
    pub known: HashSet<ObjectId>,
}

/// Plans the mirror's new tree and fetches the trees that this needs.
///
/// # Errors
/// As [`fetch_trees`](crate::git::transport::by_id::fetch_trees).
pub async fn merge_trees(
    session: &mut Session<'_>,
    seen: &Observation,
    rules: Rules,
) -> Result<MergedTrees> {
    let roots = Sides {
        ours: Some(seen.view.commit.tree),
        base: Some(seen.base.tree),
        theirs: Some(seen.upstream_commit.tree),
    };
    let mut merge = Merge::new(roots, rules);
    let mut known = HashSet::new();
    for (id, tree) in &seen.trees {
        known.insert(*id);
        merge.supply(*id, tree.clone());
    }
    loop {
        let needs = match merge.step() {
            Step::Done(merged) => return Ok(MergedTrees { merged, known }),
            Step::Needs(needs) => needs,
        };
        // The base's trees are asked of the mirror, which has them; upstream may have dropped them after a squash.
        let (theirs, ours): (Vec<_>, Vec<_>) =
            needs.iter().partition(|need| need.side == Side::Theirs);
        let ids = |needs: Vec<&crate::mirror::plan::three_way::Need>| {
            needs.iter().map(|need| need.id).collect::<Vec<_>>()
        };
        let (theirs, ours) = (ids(theirs), ids(ours));
        let mirror_fallbacks = mirror_fallbacks(&seen.view, &seen.base);
        let upstream_fallbacks = seen.upstream_fallbacks();
        let (mut from_upstream, mut from_mirror) = try_join!(
            find_trees(&mut session.upstream, &theirs, &upstream_fallbacks),
            find_trees(&mut session.mirror, &ours, &mirror_fallbacks)
        )?;
        // Afterwards, and one after the other: usually nothing is missing, and each connection takes one request at a
        // time.
        let Session {
            upstream, mirror, ..
        } = &mut *session;
        add_from_other(
            &mut from_mirror,
            &ours,
            mirror,
            upstream,
            &upstream_fallbacks,
        )
        .await?;
        add_from_other(
            &mut from_upstream,
            &theirs,
            upstream,
            mirror,
            &mirror_fallbacks,
        )
        .await?;
        for (id, tree) in from_upstream.into_iter().chain(from_mirror) {
            known.insert(id);
            merge.supply(id, tree);
        }
    }
}
