//! Reads what is new upstream, how it relates to the base, and the three root trees. Requests to both sides run concurrently
//! where neither depends on the other.

use std::collections::{BTreeSet, HashMap};

use tokio::try_join;

use super::divergence::taken_back;
use super::squash::{self, Proof, Squash};
use super::sync_state::{Behind, rewound, unrelated};
use super::{Base, EarlyPack, MirrorView, NewCommits, Session};
use crate::config::History;
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::objects::{Commit, NewTree, parse_tree, write_tree};
use crate::git::transport::by_id::{add_from_other, fetch_trees, find_trees};
use crate::git::transport::{FetchError, UploadPack};
use crate::git::tree::{MergedTree, Tree};
use crate::git::wire::upload_pack::Fetch;
use crate::index::config_json::CONFIG_JSON;
use crate::mirror::plan::Relation;

/// Both sides of a mirror that is behind.
pub struct Observation {
    /// Upstream's tip.
    pub upstream_tip: ObjectId,
    /// Upstream's tip's commit.
    pub upstream_commit: Commit,
    /// The mirror's last commits.
    pub view: MirrorView,
    /// The base.
    pub base: Base,
    /// How upstream's new history relates to the base.
    pub relation: Relation,
    /// Upstream's new commits.
    pub new_commits: NewCommits,
    /// Whether upstream is a shallow clone, and its new commits lead to some that neither it nor the mirror has. Then the relation
    /// is what shows of it.
    pub is_cut_off: bool,
    /// The root entries that a divergence takes back; `None` for every other relation, and where it cannot be told.
    pub taken_back: Option<BTreeSet<Vec<u8>>>,
    /// The squash, if upstream's history was squashed.
    pub squash: Option<Squash>,
    /// The root trees of the mirror's tip, the base and upstream's tip, by their ids.
    pub trees: HashMap<ObjectId, Tree>,
    /// The fetch of the pack, where it was asked for before the new commits were known.
    foreseen: Option<Fetch>,
}

/// What an observation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A report of what there is.
    Report,
    /// A push, with the requested history mode.
    Push(Option<History>),
}

impl Purpose {
    /// Says whether upstream's history is pushed to a mirror of this mode.
    fn carries_history(self, found: History) -> bool {
        match self {
            Self::Report => false,
            Self::Push(asked) => [found, asked.unwrap_or(found)] == [History::Merge; 2],
        }
    }
}

/// Reads upstream's new commits, how they relate to the base, and the three root trees.
///
/// For a push upstream's pack is asked for at once where it can be foreseen, else as soon as it is known which: upstream's new
/// commits and its root tree are read from it.
///
/// # Errors
/// `rewound` and `unrelated` where that shows only now; otherwise as [`UploadPack::scan`].
pub async fn observe(
    session: &mut Session<'_>,
    behind: Behind,
    purpose: Purpose,
) -> Result<Observation> {
    let Behind {
        view,
        mut base,
        new_commits: known,
    } = behind;
    let tip = session.upstream_tip;
    let Session {
        upstream, mirror, ..
    } = session;
    let ((mut new_commits, early_pack), mut trees) = try_join!(
        new_commits_since(upstream, tip, &view, &base, known, purpose),
        mirror_roots(mirror, &view, &base)
    )?;
    // Nothing is new although the tips differ: the mirror has upstream's tip further back than the commits that were
    // fetched.
    let Some(upstream_commit) = new_commits.tip.clone() else {
        return Err(rewound(session, &base));
    };
    // A person may have merged upstream by hand since the last sync, which only upstream's new commits show.
    if let Some(newer) = view.newer_base(&base, &new_commits)? {
        base = newer;
        trees.extend(mirror_roots(&mut session.mirror, &view, &base).await?);
    }
    let roots = [view.commit.tree, base.tree];
    let Session {
        upstream, mirror, ..
    } = &mut *session;
    add_from_other(&mut trees, &roots, mirror, upstream, &[]).await?;
    let relation = relation(&base, &new_commits);
    // Of a line that leaves from before the base, another one is needed.
    session.early_pack = early_pack.filter(|_| relation == Relation::Advanced);
    let squash = match relation {
        Relation::Squashed => {
            Some(squash::examine(&mut session.upstream, tip, &view, &base, &mut new_commits).await?)
        }
        _ => None,
    };
    let is_cut_off = lacks_any(&mut session.mirror, &view, &new_commits.cut_off).await?;
    let mut seen = Observation {
        upstream_tip: tip,
        upstream_commit,
        view,
        base,
        relation,
        new_commits,
        is_cut_off,
        taken_back: None,
        squash,
        trees,
        foreseen: session.early_pack.as_ref().map(EarlyPack::fetch),
    };
    // Asked only where it is in doubt, since it costs another fetch.
    if seen.may_be_rewound() && seen.is_rewound(session).await? {
        return Err(rewound(session, &seen.base));
    }
    if let Purpose::Push(asked) = purpose {
        seen.ask_for_pack(session, asked.unwrap_or(seen.view.history))
            .await?;
    }
    seen.fetch_upstream_root(session).await?;
    if seen.is_unrelated() {
        return Err(unrelated(session));
    }
    seen.examine_divergence(&mut session.upstream).await?;
    Ok(seen)
}

/// Returns upstream's new commits: those that are known, or else from the pack where it can be foreseen, which then comes with
/// them.
async fn new_commits_since<'r>(
    upstream: &mut UploadPack<'r>,
    tip: ObjectId,
    view: &MirrorView,
    base: &Base,
    known: Option<NewCommits>,
    purpose: Purpose,
) -> Result<(NewCommits, Option<EarlyPack<'r>>)> {
    if let Some(new_commits) = known {
        return Ok((new_commits, None));
    }
    if purpose.carries_history(view.history)
        && let Some((pack, new)) = EarlyPack::with_commits(upstream, tip, view, base).await?
    {
        return Ok((new, Some(pack)));
    }
    let new_commits = NewCommits::fetch(upstream, tip, &view.haves(), true).await?;
    Ok((new_commits, None))
}

/// Returns the relation that the new commits show.
fn relation(base: &Base, new_commits: &NewCommits) -> Relation {
    if new_commits.edges.contains(&base.upstream) {
        Relation::Advanced
    } else if new_commits.roots.is_empty() {
        Relation::Diverged
    } else {
        Relation::Squashed
    }
}

async fn mirror_roots(
    mirror: &mut UploadPack<'_>,
    view: &MirrorView,
    base: &Base,
) -> Result<HashMap<ObjectId, Tree>> {
    let mut known = HashMap::new();
    if let Some(object) = view.root_tree()? {
        let tree = parse_tree(&object.content).map_err(|error| error.on(mirror.remote()))?;
        known.insert(object.id, tree);
    }
    let mut ids = vec![view.commit.tree, base.tree];
    // Two ids, which are equal in a copy without paths of its own.
    ids.dedup();
    ids.retain(|id| !known.contains_key(id));
    known.extend(find_trees(mirror, &ids, &mirror_fallbacks(view, base)).await?);
    Ok(known)
}

/// Returns the fetches of the mirror's branch whose packs contain its trees, for a server that serves no objects by id: one
/// with what the last sync pushed, one with all of the mirror's own paths.
pub(super) fn mirror_fallbacks(view: &MirrorView, base: &Base) -> [Fetch; 2] {
    let last_sync = Fetch {
        wants: vec![view.tip],
        haves: base
            .parents
            .iter()
            .copied()
            .chain(view.before_last_sync)
            .collect(),
        done: true,
        ..Fetch::default()
    };
    let own_paths = Fetch {
        wants: vec![view.tip],
        // Without `deepen`: it would make the base no parent of the commits in the pack, and the server would send whole trees.
        haves: vec![base.held],
        done: true,
        ..Fetch::default()
    };
    [last_sync, own_paths]
}

/// Says whether a history contains a commit, to a server that does not serve the commit itself: offers it as a `have`. What the
/// server then sends ends at the commit, if the history contains it.
async fn leads_to(mirror: &mut UploadPack<'_>, from: ObjectId, to: ObjectId) -> Result<bool> {
    // Without `done`, so that a server which does not know the commit does not send its whole history.
    let asked = NewCommits::fetch(mirror, from, &[to], false).await?;
    if !asked.has_pack && !asked.acknowledged.contains(&to) {
        return Ok(false);
    }
    // That the server has it proves nothing yet, because forks share their objects.
    let newer = match asked.has_pack {
        true => Ok(asked),
        false => NewCommits::fetch(mirror, from, &[to], true).await,
    };
    match newer {
        Ok(newer) => Ok(newer.edges.contains(&to)),
        // More commits than can be read lie in between, if any do. Nothing is taken back without knowing.
        Err(FetchError::TooLarge(_)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Says whether the mirror's history contains not all of these commits.
async fn lacks_any(
    mirror: &mut UploadPack<'_>,
    view: &MirrorView,
    ids: &BTreeSet<ObjectId>,
) -> Result<bool> {
    for id in ids {
        if view.get(id)?.is_none() && !leads_to(mirror, view.tip, *id).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Observation {
    /// Returns the commits at the boundary of what a mirror of this mode lacks: it has the tree of each and, in `merge`, the
    /// history.
    pub fn boundary(&self, history: History) -> Vec<ObjectId> {
        let mut boundary = Vec::new();
        if let Some(squash) = &self.squash {
            boundary.extend(squash.held_roots.iter().map(|(id, _)| *id));
            boundary.extend(&squash.held_trees);
        }
        match history {
            History::Merge => boundary.extend(&self.new_commits.edges),
            History::Snapshot => boundary.extend(&self.view.carried),
        }
        // Never without any: the server would send the whole repository.
        if boundary.is_empty()
            || history == History::Snapshot && !boundary.contains(&self.base.upstream)
        {
            boundary.push(self.base.upstream);
        }
        boundary
    }

    /// Returns the fetch of upstream's branch whose pack contains its new trees, for a server that serves no objects by id.
    pub(super) fn upstream_fallbacks(&self) -> [Fetch; 1] {
        [Fetch {
            wants: vec![self.upstream_tip],
            haves: self.boundary(self.view.history),
            done: true,
            ..Fetch::default()
        }]
    }

    /// Returns the fetch of the pack that a mirror of this mode lacks.
    pub(super) fn pack(&self, history: History) -> Fetch {
        if let (History::Merge, Some(foreseen)) = (history, &self.foreseen) {
            return foreseen.clone();
        }
        let boundary = self.boundary(history);
        Fetch {
            wants: vec![match history {
                History::Merge => self.upstream_tip,
                // Not the commit: with `receive.fsckObjects`, as at GitLab, a server refuses commits whose parents it
                // lacks.
                History::Snapshot => self.upstream_commit.tree,
            }],
            haves: boundary.clone(),
            // Makes the server use the trees at the boundary as bases for deltas. With `have` alone, one without bitmaps
            // sent 21 MB instead of 31 KB across a squash, and 41 KB instead of 14 KB for 20 commits.
            shallow: boundary,
            thin: true,
            // Nothing is left to negotiate: the commits that were read say what both sides have.
            done: true,
            ..Fetch::default()
        }
    }

    /// Returns a root tree that was read as an object, if writing it gives the same id: some old trees are not in git's own order.
    pub(super) fn root(&self, id: &ObjectId) -> Result<Option<NewTree>> {
        let Some(root) = self.trees.get(id) else {
            return Ok(None);
        };
        let entries = root
            .iter()
            .map(|(name, entry)| (name.clone(), (*entry).into()));
        let mut made = Vec::new();
        write_tree(&MergedTree::New(entries.collect()), &mut made)?;
        Ok(made.pop().filter(|tree| tree.id == *id))
    }

    async fn fetch_upstream_root(&mut self, session: &mut Session<'_>) -> Result<()> {
        let id = self.upstream_commit.tree;
        let remote = session.upstream.remote();
        if let Some(object) = &self.new_commits.root_tree {
            let tree = parse_tree(&object.content).map_err(|error| error.on(remote))?;
            self.trees.insert(id, tree);
        }
        if let Some(pack) = &mut session.early_pack
            && !self.trees.contains_key(&id)
        {
            self.trees.extend(pack.find(&[id]).await?);
        }
        if !self.trees.contains_key(&id) {
            let fallbacks = self.upstream_fallbacks();
            let fetched = fetch_trees(&mut session.upstream, &[id], &fallbacks).await?;
            self.trees.extend(fetched);
        }
        Ok(())
    }

    /// Says whether upstream's new commits leave its tree as the mirror has it, so that there is nothing to carry. The base stays
    /// what it is.
    ///
    /// Only on a line that leaves from before the base: a tip that leads to it becomes the new base.
    pub fn changes_nothing(&self) -> bool {
        self.relation == Relation::Diverged && self.upstream_commit.tree == self.base.tree
    }

    async fn examine_divergence(&mut self, upstream: &mut UploadPack<'_>) -> Result<()> {
        let is_asked =
            self.relation == Relation::Diverged && !self.is_cut_off && !self.changes_nothing();
        let (base, theirs) = (
            self.trees.get(&self.base.tree),
            self.trees.get(&self.upstream_commit.tree),
        );
        if let (true, Some(base), Some(theirs)) = (is_asked, base, theirs) {
            self.taken_back = taken_back(upstream, &self.new_commits, base, theirs).await?;
        }
        Ok(())
    }

    /// Says whether upstream's history neither leads to the base nor is proven to follow from it.
    fn may_be_rewound(&self) -> bool {
        match &self.squash {
            Some(squash) => !matches!(squash.proof, Proof::Proven(_)),
            None => self.relation == Relation::Diverged,
        }
    }

    /// Asks the mirror whether its history contains upstream's tip: an upstream that is behind and lacks the base, such as a stale
    /// replica, looks as if it had been rewritten.
    ///
    /// A mirror without upstream's history cannot tell. There, an upstream that lacks the base and whose tip is no newer counts
    /// as behind.
    async fn is_rewound(&self, session: &mut Session<'_>) -> Result<bool> {
        let tip = self.upstream_tip;
        if self.view.history == History::Snapshot {
            if self.upstream_commit.seconds > self.base.upstream_seconds {
                return Ok(false);
            }
            // A shallow clone keeps the objects of what it left, and acknowledges them.
            if self.is_cut_off && self.upstream_commit.seconds < self.base.upstream_seconds {
                return Ok(true);
            }
            let offer = [self.base.upstream];
            let asked = NewCommits::fetch(&mut session.upstream, tip, &offer, false).await?;
            return Ok(!asked.acknowledged.contains(&self.base.upstream));
        }
        match NewCommits::fetch(&mut session.mirror, tip, &[self.view.tip], true).await {
            Ok(missing) => Ok(missing.count == 0),
            // The mirror lacks the commit or, as by default in v0, does not serve it by id.
            Err(FetchError::Missing(_)) => leads_to(&mut session.mirror, self.view.tip, tip).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Says whether nothing suggests a common past: a new root that is no collapse, and not one root entry in common.
    fn is_unrelated(&self) -> bool {
        let Some(squash) = &self.squash else {
            return false;
        };
        if squash.is_related || matches!(squash.proof, Proof::Proven(_)) {
            return false;
        }
        let (base, theirs) = (
            self.trees.get(&self.base.tree),
            self.trees.get(&self.upstream_commit.tree),
        );
        let (Some(base), Some(theirs)) = (base, theirs) else {
            return false;
        };
        // Without config.json, which every index has: indexes behind the same server may well have the same one.
        !base.iter().any(|(name, entry)| {
            name.as_slice() != CONFIG_JSON.as_bytes() && theirs.get(name) == Some(entry)
        })
    }
}
