//! Observes both sides: reads only, a few requests each, what does not depend on each other at the same time.

use std::collections::HashMap;

use tokio::try_join;
use tracing::info;

use super::squash::{self, Proof, Squash};
use super::trees::{add_from_other, fetch_trees, find_trees};
use super::{Base, MirrorView, News};
use crate::ObjectId;
use crate::config::{Config, History};
use crate::error::{Error, Kind, Result};
use crate::objects::{Commit, parse_tree};
use crate::plan::Relation;
use crate::plan::tree::Tree;
use crate::transport::{Remote, UploadPack};
use crate::wire::upload_pack::Fetch;
use crate::wire::{Head, Refs};

/// How many generations of the mirror's commits are looked at, one after the other, until the base is in sight.
const DEPTHS: [u32; 4] = [8, 64, 512, 4096];

/// Conversations with both sides.
pub struct Session<'r> {
    /// With upstream.
    pub upstream: UploadPack<'r>,
    /// With the mirror.
    pub mirror: UploadPack<'r>,
    /// Upstream's branch.
    pub upstream_tip: ObjectId,
    /// The mirror's branch, if it is there.
    pub mirror_tip: Option<ObjectId>,
    /// The mirror's HEAD.
    pub mirror_head: Head,
}

impl<'r> Session<'r> {
    /// Opens both sides and learns where their branches are.
    ///
    /// # Errors
    /// As the conversations go; `config` when upstream has no such branch.
    pub async fn open(config: &Config, upstream: &'r Remote, mirror: &'r Remote) -> Result<Self> {
        let upstream_branch = branch_ref(&config.upstream.branch);
        let mirror_branch = branch_ref(&config.mirror.branch);
        let ((upstream, upstream_refs), (mirror, mirror_refs)) = try_join!(
            open_and_list(upstream, &upstream_branch),
            open_and_list(mirror, &mirror_branch)
        )?;
        let upstream_tip = upstream_refs.branches.get(&upstream_branch).copied();
        Ok(Self {
            upstream_tip: upstream_tip
                .ok_or_else(|| no_branch(upstream.remote(), &config.upstream.branch))?,
            mirror_tip: mirror_refs.branches.get(&mirror_branch).copied(),
            mirror_head: mirror_refs.head,
            upstream,
            mirror,
        })
    }
}

async fn open_and_list<'r>(remote: &'r Remote, reference: &str) -> Result<(UploadPack<'r>, Refs)> {
    let mut server = UploadPack::open(remote).await?;
    let refs = server.refs(reference).await?;
    Ok((server, refs))
}

/// Returns a branch's full name.
pub fn branch_ref(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

fn no_branch(remote: &Remote, branch: &str) -> Error {
    Error::new(Kind::Config, format!("{remote}: it has no branch {branch}"))
        .advise("set `upstream.branch` to the branch that holds the index")
}

/// Where the mirror stands.
pub enum Stand {
    /// It holds upstream's tip already; its mode, where it had to be looked at.
    Abreast(Option<History>),
    /// It does not, and rests on a base.
    Behind(Box<Behind>),
}

/// A mirror that lacks upstream's tip.
pub struct Behind {
    view: MirrorView,
    base: Base,
    /// Upstream's news, where finding the base has told them.
    told: Option<News>,
}

/// Both sides, where there is something to carry.
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
    pub news: News,
    /// How the squash looks, where there is one.
    pub squash: Option<Squash>,
    /// The root trees of the mirror's tip, the base and upstream's tip, by their ids.
    pub trees: HashMap<ObjectId, Tree>,
}

/// Finds the base: the newest upstream commit that the mirror holds.
///
/// # Errors
/// `unrelated` when there is none, `rewound` when upstream's tip is older than it, otherwise as the conversations go.
pub async fn find_stand(session: &mut Session<'_>, mirror_tip: ObjectId) -> Result<Stand> {
    let tip = session.upstream_tip;
    if tip == mirror_tip {
        return Ok(Stand::Abreast(None));
    }
    let (view, told) = find_base(session, mirror_tip).await?;
    let Some(base) = view.base.clone() else {
        return Ok(Stand::Abreast(None));
    };
    if base.upstream == tip {
        return Ok(Stand::Abreast(Some(view.history)));
    }
    if view.is_behind_base(&tip)? {
        return Err(rewound(session, &base));
    }
    if view.others.contains(&tip) {
        return Ok(Stand::Abreast(Some(view.history)));
    }
    Ok(Stand::Behind(Box::new(Behind { view, base, told })))
}

/// Looks at more and more of the mirror's history until the base is in sight, in the relay's words or in upstream's.
///
/// Returns the news as well where asking upstream for the base has told them. No base means that upstream's tip is in sight.
async fn find_base(
    session: &mut Session<'_>,
    mirror_tip: ObjectId,
) -> Result<(MirrorView, Option<News>)> {
    let tip = session.upstream_tip;
    for depth in DEPTHS {
        let mut view = MirrorView::look(&mut session.mirror, mirror_tip, depth).await?;
        if view.base.is_some() || view.others.contains(&tip) {
            return Ok((view, None));
        }
        let news = News::fetch(&mut session.upstream, tip, &view.offers(), false).await?;
        let is_common = |id: &&ObjectId| news.acknowledged.contains(id);
        if let Some(id) = view.others.iter().find(is_common).copied() {
            view.rest_on(id)?;
            return Ok((view, Some(news).filter(|news| news.is_told)));
        }
        if view.is_whole || depth == DEPTHS[DEPTHS.len() - 1] {
            return rest_on_named_head(session, view).await;
        }
        info!(
            "no upstream commit among the mirror's last {depth} generations, looking further back"
        );
    }
    Err(unrelated(session))
}

/// Looks for a squash whose root names a commit of the mirror that upstream itself no longer has.
async fn rest_on_named_head(
    session: &mut Session<'_>,
    mut view: MirrorView,
) -> Result<(MirrorView, Option<News>)> {
    let news = News::fetch(&mut session.upstream, session.upstream_tip, &[], true).await?;
    for (_, content) in &news.roots {
        if let Some(head) = squash::previous_head(&Commit::parse(content)?.message)
            && view.others.contains(&head)
        {
            view.rest_on(head)?;
            return Ok((view, Some(news)));
        }
    }
    Err(unrelated(session))
}

/// Reads upstream's new commits, how they relate to the base, and the three root trees.
///
/// # Errors
/// `rewound` and `unrelated` where that shows only now, otherwise as the conversations go.
pub async fn observe(session: &mut Session<'_>, behind: Behind) -> Result<Observation> {
    let Behind {
        view,
        mut base,
        told,
    } = behind;
    let tip = session.upstream_tip;
    let Session {
        upstream, mirror, ..
    } = session;
    let (mut news, mut trees) = try_join!(
        news_since(upstream, tip, &view, told),
        mirror_roots(mirror, &view, &base)
    )?;
    let Some(upstream_commit) = news.tip.clone() else {
        return Err(rewound(session, &base));
    };
    if let Some(newer) = view.newer_base(&base, &news)? {
        base = newer;
        trees.extend(mirror_roots(&mut session.mirror, &view, &base).await?);
    }
    let roots = [view.commit.tree, base.tree];
    let Session {
        upstream, mirror, ..
    } = &mut *session;
    add_from_other(&mut trees, &roots, mirror, upstream, &[]).await?;
    let relation = relation(&base, &news);
    let squash = match relation {
        Relation::Squashed => {
            Some(squash::examine(&mut session.upstream, tip, &view, &base, &mut news).await?)
        }
        _ => None,
    };
    let mut seen = Observation {
        upstream_tip: tip,
        upstream_commit,
        view,
        base,
        relation,
        news,
        squash,
        trees,
    };
    seen.fetch_upstream_root(&mut session.upstream).await?;
    if seen.is_unrelated() {
        return Err(unrelated(session));
    }
    Ok(seen)
}

async fn news_since(
    upstream: &mut UploadPack<'_>,
    tip: ObjectId,
    view: &MirrorView,
    told: Option<News>,
) -> Result<News> {
    match told {
        Some(news) => Ok(news),
        None => News::fetch(upstream, tip, &view.offers(), true).await,
    }
}

/// Reads the relation off the new commits.
fn relation(base: &Base, news: &News) -> Relation {
    if news.edges.contains(&base.upstream) {
        Relation::Advanced
    } else if news.roots.is_empty() {
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
    if let Some(object) = view.root_tree() {
        known.insert(object.id, parse_tree(&object.content)?);
    }
    let mut ids = vec![view.commit.tree, base.tree];
    ids.dedup();
    ids.retain(|id| !known.contains_key(id));
    known.extend(find_trees(mirror, &ids, &mirror_detours(view, base)).await?);
    Ok(known)
}

/// Returns the fetches of the mirror's branch whose packs hold its trees, for a server that serves no objects by id: one
/// with what the last sync brought, one with all of the mirror's own paths.
pub(super) fn mirror_detours(view: &MirrorView, base: &Base) -> [Fetch; 2] {
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
        // Without `deepen`: a server that cuts history off there sends the whole tree, since the base is then no parent of
        // what it sends.
        haves: vec![base.held],
        done: true,
        ..Fetch::default()
    };
    [last_sync, own_paths]
}

impl Observation {
    /// Returns the commits that bound what a mirror of this mode lacks: it has each one's tree and, in `merge`, its history.
    pub fn boundary(&self, history: History) -> Vec<ObjectId> {
        let mut boundary = Vec::new();
        if let Some(squash) = &self.squash {
            boundary.extend(squash.held_roots.iter().map(|(id, _)| *id));
            boundary.extend(&squash.held_trees);
        }
        match history {
            History::Merge => boundary.extend(&self.news.edges),
            History::Snapshot => boundary.extend(&self.view.carried),
        }
        if boundary.is_empty()
            || history == History::Snapshot && !boundary.contains(&self.base.upstream)
        {
            boundary.push(self.base.upstream);
        }
        boundary
    }

    /// Returns the fetch of upstream's branch whose pack holds its new trees, for a server that serves no objects by id.
    pub(super) fn upstream_detours(&self) -> [Fetch; 1] {
        [Fetch {
            wants: vec![self.upstream_tip],
            haves: self.boundary(self.view.history),
            done: true,
            ..Fetch::default()
        }]
    }

    async fn fetch_upstream_root(&mut self, upstream: &mut UploadPack<'_>) -> Result<()> {
        let id = self.upstream_commit.tree;
        if let Some(object) = &self.news.root_tree {
            self.trees.insert(id, parse_tree(&object.content)?);
        }
        if !self.trees.contains_key(&id) {
            let fetched = fetch_trees(upstream, &[id], &self.upstream_detours()).await?;
            self.trees.extend(fetched);
        }
        Ok(())
    }

    /// Says whether nothing speaks for a common past: a new root that is no collapse, and not one entry in common.
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
        !base
            .iter()
            .any(|(name, entry)| name != b"config.json" && theirs.get(name) == Some(entry))
    }
}

fn rewound(session: &Session<'_>, base: &Base) -> Error {
    let remote = session.upstream.remote();
    let (tip, base) = (session.upstream_tip.short(), base.upstream.short());
    Error::new(
        Kind::Rewound,
        format!("{remote}: its tip {tip} is older than {base}, which the mirror holds"),
    )
    .advise(
        "nothing is taken back without a person: wait if upstream is being repaired, look at `upstream.url` and \
         `upstream.branch` otherwise",
    )
}

fn unrelated(session: &Session<'_>) -> Error {
    let (upstream, mirror) = (session.upstream.remote(), session.mirror.remote());
    Error::new(Kind::Unrelated, format!("{mirror} and {upstream} have no history in common"))
        .advise("look at both URLs and branches; for a new mirror, run `crates-ferry init` on an empty repository")
}
