//! Finds where the mirror stands: abreast of upstream, or behind it on a base.

use tracing::info;

use super::squash::{is_collapse, previous_head};
use super::{Base, MirrorView, News, Session};
use crate::config::History;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::FetchError;

/// How many generations of the mirror's commits are looked at, one after the other, until the base is in sight.
const DEPTHS: [u32; 4] = [8, 64, 512, 4096];

/// Where the mirror stands.
pub enum Stand {
    /// It holds upstream's tip already; its mode, where it had to be looked at.
    Abreast(Option<History>),
    /// It does not, and rests on a base.
    Behind(Box<Behind>),
}

/// A mirror that lacks upstream's tip.
pub struct Behind {
    pub(super) view: MirrorView,
    pub(super) base: Base,
    /// Upstream's news, where finding the base has told them.
    pub(super) told: Option<News>,
}

/// Finds the base: the newest upstream commit that the mirror holds.
///
/// # Errors
/// `unrelated` when there is none, `rewound` when upstream's tip is older than it or the end of a line that upstream had left,
/// otherwise as the conversations go.
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
    if view.is_behind_base(&tip)? || view.held_before_last_sync(&tip)? {
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
        let is_last = view.is_whole || depth == DEPTHS[DEPTHS.len() - 1];
        let found = match news.is_told {
            true => view.newest_of(&news.edges)?,
            false => newest_before_root(session, &view, is_last).await?,
        };
        if let Some(id) = found {
            view.rest_on(id)?;
            return Ok((view, Some(news).filter(|news| news.is_told)));
        }
        if is_last {
            break;
        }
        info!(
            "no upstream commit among the mirror's last {depth} generations, looking further back"
        );
    }
    Err(unrelated(session))
}

/// Finds the newest upstream commit of a mirror that upstream's history does not lead to, since it was collapsed.
///
/// That a server has one of the mirror's commits proves nothing: forks share their objects. So the root must name it, have
/// its tree, or name a head that leads to it. At last, of a mirror that is behind a collapse and whose past upstream no longer
/// shows, the newest commit in crates.io's own words is taken.
async fn newest_before_root(
    session: &mut Session<'_>,
    view: &MirrorView,
    is_last: bool,
) -> Result<Option<ObjectId>> {
    let upstream = &mut session.upstream;
    let news = News::fetch(upstream, session.upstream_tip, &view.offers(), true).await?;
    if let Some(fork) = view.newest_of(&news.edges)? {
        return Ok(Some(fork));
    }
    let mut is_collapsed = false;
    for (_, content) in &news.roots {
        let root = Commit::parse(content)?;
        is_collapsed |= is_collapse(&root.message);
        if let Some(head) = previous_head(&root.message) {
            if view.others.contains(&head) {
                return Ok(Some(head));
            }
            match News::fetch(upstream, head, &view.offers(), true).await {
                Ok(hidden) => {
                    if let Some(id) = view.newest_of(&hidden.edges)? {
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
    match is_last && is_collapsed {
        true => view.newest_in_upstream_s_words(),
        false => Ok(None),
    }
}

pub(super) fn rewound(session: &Session<'_>, base: &Base) -> Error {
    let remote = session.upstream.remote();
    let (tip, base) = (session.upstream_tip.short(), base.upstream.short());
    Error::new(
        Kind::Rewound,
        format!("{remote}: its tip {tip} lies before {base}, which the mirror holds"),
    )
    .advise(
        "nothing is taken back without a person: wait if upstream is being repaired, look at `upstream.url` and \
         `upstream.branch` otherwise",
    )
}

pub(super) fn unrelated(session: &Session<'_>) -> Error {
    let (upstream, mirror) = (session.upstream.remote(), session.mirror.remote());
    Error::new(Kind::Unrelated, format!("{mirror} and {upstream} have no history in common"))
        .advise("look at both URLs and branches; for a new mirror, run `crates-ferry init` on an empty repository")
}
