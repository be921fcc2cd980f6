//! Compares both tips: is the mirror up to date, or behind, and on which base?

use tracing::info;

use super::draft::shallow_upstream;
use super::{Base, MirrorView, NewCommits, Session};
use crate::config::History;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::FetchError;
use crate::index::commit_message::{is_squash, previous_head};

/// The depths to which the mirror's commits are fetched, one after the other, until the base is among them.
///
/// Eight generations suffice unless people commit to the mirror, too. Each step is eight times the one before, because
/// each takes a connection of its own: after `deepen`, a v2 server process keeps the history that it cut off.
const DEPTHS: [u32; 4] = [8, 64, 512, 4096];

/// Whether the mirror has upstream's tip.
pub enum SyncState {
    /// It has upstream's tip; with its history mode, if that had to be read.
    UpToDate(Option<History>),
    /// It lacks upstream's tip, and has a base.
    Behind(Box<Behind>),
}

/// A mirror that lacks upstream's tip.
pub struct Behind {
    pub(super) view: MirrorView,
    pub(super) base: Base,
    /// Upstream's new commits, if finding the base fetched them.
    pub(super) new_commits: Option<NewCommits>,
}

/// Compares both tips and finds the base: the newest upstream commit that the mirror has.
///
/// # Errors
/// `unrelated` when there is no base, `rewound` when upstream's tip is older than the base, or the end of a line that upstream
/// had left; otherwise as [`UploadPack::scan`](crate::git::transport::UploadPack::scan).
pub async fn compare_tips(session: &mut Session<'_>, mirror_tip: ObjectId) -> Result<SyncState> {
    let tip = session.upstream_tip;
    if tip == mirror_tip {
        return Ok(SyncState::UpToDate(None));
    }
    let (view, new_commits) = find_base(session, mirror_tip).await?;
    let Some(base) = view.base.clone() else {
        return Ok(SyncState::UpToDate(None));
    };
    if base.upstream == tip {
        return Ok(SyncState::UpToDate(Some(view.history)));
    }
    // Before the next question: the mirror still has the end of a line that upstream left, and an upstream that goes
    // back there is rewound, not mirrored.
    if view.is_behind_base(&tip)? || view.held_before_last_sync(&tip)? {
        return Err(rewound(session, &base));
    }
    if view.others.contains(&tip) {
        return Ok(SyncState::UpToDate(Some(view.history)));
    }
    Ok(SyncState::Behind(Box::new(Behind {
        view,
        base,
        new_commits,
    })))
}

/// Fetches more and more of the mirror's history until the base shows, named by a commit of the relay or found upstream.
///
/// Also returns upstream's new commits, if finding the base fetched them. No base means that the mirror has upstream's tip.
async fn find_base(
    session: &mut Session<'_>,
    mirror_tip: ObjectId,
) -> Result<(MirrorView, Option<NewCommits>)> {
    let tip = session.upstream_tip;
    let mut fetched = 0;
    let mut is_shallow = false;
    for depth in DEPTHS {
        let mut view = MirrorView::fetch(&mut session.mirror, mirror_tip, depth).await?;
        // A history that goes on and yet gives no more at a greater depth is cut off in the mirror itself.
        is_shallow = !view.is_complete && view.count() == fetched;
        fetched = view.count();
        if view.base.is_some() || view.others.contains(&tip) {
            return Ok((view, None));
        }
        let new_commits =
            NewCommits::fetch(&mut session.upstream, tip, &view.haves(), false).await?;
        let is_last = view.is_complete || is_shallow || depth == DEPTHS[DEPTHS.len() - 1];
        // Without `done`, a pack means that upstream's tip leads to a `have`: the newest one at its edge is the base.
        let found = match new_commits.has_pack {
            true => view.newest_among(&new_commits.edges)?,
            false => newest_before_root(session, &view, is_last).await?,
        };
        if let Some(id) = found {
            view.set_base(id)?;
            return Ok((
                view,
                Some(new_commits).filter(|new_commits| new_commits.has_pack),
            ));
        }
        if is_last {
            break;
        }
        info!("no upstream commit among the mirror's last {depth} generations; fetching more");
    }
    Err(match is_shallow {
        true => shallow(session),
        // Not even a mirror of snapshots could go on from here: nothing says what it has of upstream.
        false if !session.upstream.shallow().is_empty() => {
            shallow_upstream(session.upstream.remote(), true)
                .advise("Run `git fetch --unshallow` in that repository.")
        }
        false => not_a_mirror(session),
    })
}

/// Finds the newest upstream commit that the mirror has, where upstream's collapsed history leads to none.
///
/// That a server has one of the mirror's commits proves nothing, because forks share their objects. So the root must
/// name the commit, have its tree, or name a head that leads to it. If upstream no longer has that head, the last
/// resort is the mirror's newest commit with a subject of crates.io's.
async fn newest_before_root(
    session: &mut Session<'_>,
    view: &MirrorView,
    is_last: bool,
) -> Result<Option<ObjectId>> {
    let upstream = &mut session.upstream;
    // With `done` now: without it the server sends no pack, as the new history leads to none of the `have`s.
    let new_commits =
        NewCommits::fetch(upstream, session.upstream_tip, &view.haves(), true).await?;
    if let Some(fork) = view.newest_among(&new_commits.edges)? {
        return Ok(Some(fork));
    }
    let mut is_squashed = false;
    for (_, content) in &new_commits.roots {
        let root = Commit::parse(content)?;
        is_squashed |= is_squash(&root.message);
        if let Some(head) = previous_head(&root.message) {
            if view.others.contains(&head) {
                return Ok(Some(head));
            }
            match NewCommits::fetch(upstream, head, &view.haves(), true).await {
                Ok(hidden) => {
                    if let Some(id) = view.newest_among(&hidden.edges)? {
                        return Ok(Some(id));
                    }
                }
                Err(FetchError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(id) = view.newest_with_tree(&root.tree)? {
            return Ok(Some(id));
        }
    }
    match is_last && is_squashed {
        true => view.newest_with_index_subject(),
        false => Ok(None),
    }
}

pub(super) fn rewound(session: &Session<'_>, base: &Base) -> Error {
    let remote = session.upstream.remote();
    let (tip, base) = (session.upstream_tip.short(), base.upstream.short());
    Error::new(
        Kind::Rewound,
        format!("{remote}: its tip {tip} is older than {base}, which the mirror has"),
    )
    .advise(
        "Wait if upstream is being repaired. Otherwise check `upstream.url` and `upstream.branch`. A mirror is never moved \
         back automatically.",
    )
}

fn shallow(session: &Session<'_>) -> Error {
    let (upstream, mirror) = (session.upstream.remote(), session.mirror.remote());
    let message = format!(
        "{mirror} is a shallow clone, and what it has of its history has nothing in common with {upstream}"
    );
    Error::new(Kind::Unrelated, message).advise(
        "Run `git fetch --unshallow` in the mirror's repository, or make a new mirror: run `crates-ferry init` on an empty \
         repository.",
    )
}

/// Makes the error of a branch that nothing of upstream has ever come to.
fn not_a_mirror(session: &Session<'_>) -> Error {
    unrelated(session).advise(
        "Check both URLs and branches. If the mirror is a new project that has files already, such as a README, run \
         `crates-ferry init --adopt` once, which starts on top of them.",
    )
}

/// Makes the error of a mirror of something else.
pub(super) fn unrelated(session: &Session<'_>) -> Error {
    let (upstream, mirror) = (session.upstream.remote(), session.mirror.remote());
    Error::new(Kind::Unrelated, format!("{mirror} and {upstream} have no history in common"))
        .advise("Check both URLs and branches. For a new mirror, run `crates-ferry init` on an empty repository.")
}
