//! Merges the root trees: the planner says which trees it needs, they are fetched, and so on down.

use std::collections::HashSet;

use tokio::try_join;

use super::observe::mirror_detours;
use super::{Observation, Session};
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::transport::by_id::{add_from_other, find_trees};
use crate::mirror::plan::three_way::{Merge, Merged, Rules, Side, Sides, Step};

/// A merge that was planned to its end.
pub struct MergedTrees {
    /// The result.
    pub merged: Merged,
    /// The trees that were looked at: the mirror has them or upstream's pack brings them.
    pub known: HashSet<ObjectId>,
}

/// Plans the mirror's new tree, fetching what it takes.
///
/// # Errors
/// As the conversations go.
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
        let (theirs, ours): (Vec<_>, Vec<_>) =
            needs.iter().partition(|need| need.side == Side::Theirs);
        let ids = |needs: Vec<&crate::mirror::plan::three_way::Need>| {
            needs.iter().map(|need| need.id).collect::<Vec<_>>()
        };
        let (theirs, ours) = (ids(theirs), ids(ours));
        let mirror_detours = mirror_detours(&seen.view, &seen.base);
        let upstream_detours = seen.upstream_detours();
        let (mut from_upstream, mut from_mirror) = try_join!(
            find_trees(&mut session.upstream, &theirs, &upstream_detours),
            find_trees(&mut session.mirror, &ours, &mirror_detours)
        )?;
        let Session {
            upstream, mirror, ..
        } = &mut *session;
        add_from_other(&mut from_mirror, &ours, mirror, upstream, &upstream_detours).await?;
        add_from_other(
            &mut from_upstream,
            &theirs,
            upstream,
            mirror,
            &mirror_detours,
        )
        .await?;
        for (id, tree) in from_upstream.into_iter().chain(from_mirror) {
            known.insert(id);
            merge.supply(id, tree);
        }
    }
}
