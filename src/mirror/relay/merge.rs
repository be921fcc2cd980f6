//! Merges the root trees: fetches the trees that the planner needs, level by level, until it is done.

use std::collections::{HashMap, HashSet};

use tokio::try_join;

use super::observe::mirror_fallbacks;
use super::{EarlyPack, Observation, Session};
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::transport::by_id::{add_from_other, find_trees};
use crate::git::transport::{FetchError, UploadPack};
use crate::git::tree::Tree;
use crate::git::wire::upload_pack::Fetch;
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
            upstream_trees(
                &mut session.upstream,
                &mut session.early_pack,
                &theirs,
                &upstream_fallbacks
            ),
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

/// Reads upstream's trees from the pack that is on its way, if there is one, and asks for the others.
async fn upstream_trees(
    upstream: &mut UploadPack<'_>,
    early_pack: &mut Option<EarlyPack<'_>>,
    ids: &[ObjectId],
    fallbacks: &[Fetch],
) -> Result<HashMap<ObjectId, Tree>, FetchError> {
    let mut found = match early_pack {
        Some(pack) if !ids.is_empty() => pack.find(ids).await?,
        _ => HashMap::new(),
    };
    let missing = ids.iter().filter(|id| !found.contains_key(*id));
    let missing: Vec<ObjectId> = missing.copied().collect();
    found.extend(find_trees(upstream, &missing, fallbacks).await?);
    Ok(found)
}
