//! Finds where the mirror stands: abreast of upstream, or behind it on a base.

use tracing::info;

use super::squash::previous_head;
use super::{Base, MirrorView, News, Session};
use crate::ObjectId;
use crate::config::History;
use crate::error::{Error, Kind, Result};
use crate::objects::Commit;

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
        if let Some(head) = previous_head(&Commit::parse(content)?.message)
            && view.others.contains(&head)
        {
            view.rest_on(head)?;
            return Ok((view, Some(news)));
        }
    }
    Err(unrelated(session))
}

pub(super) fn rewound(session: &Session<'_>, base: &Base) -> Error {
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

pub(super) fn unrelated(session: &Session<'_>) -> Error {
    let (upstream, mirror) = (session.upstream.remote(), session.mirror.remote());
    Error::new(Kind::Unrelated, format!("{mirror} and {upstream} have no history in common"))
        .advise("look at both URLs and branches; for a new mirror, run `crates-ferry init` on an empty repository")
}
