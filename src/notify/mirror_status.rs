//! Reads the state of the mirror after a failure, as far as it can be reached.

use std::time::Duration;

use tokio::time::timeout;

use super::notice::{Behind, MirrorStatus, Observed};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::git::branch_ref;
use crate::git::transport::UploadPack;
use crate::mirror::relay::{Lag, MirrorView};

/// How long each of the two questions may take: a mail that arrives soon is worth more than a complete one.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks the mirror alone when it last moved, and both repositories how far the mirror is behind.
///
/// Two questions on connections of their own, so that an unreachable upstream does not hide what the mirror can tell.
pub(super) async fn read(config: &Config) -> MirrorStatus {
    let last_moved = async { observed(timeout(LIMIT, last_moved(config)).await) };
    let behind = async { observed(timeout(LIMIT, behind(config)).await) };
    // Not `try_join!`: each answer is worth having without the other.
    let (last_moved, behind) = tokio::join!(last_moved, behind);
    MirrorStatus { last_moved, behind }
}

fn observed<T>(answer: Result<Result<T>, tokio::time::error::Elapsed>) -> Observed<T> {
    match answer {
        Ok(Ok(found)) => Observed::Known(found),
        // The message alone: the mail is about another failure, whose causes it lists.
        Ok(Err(error)) => Observed::Unknown(error.to_string()),
        Err(_) => {
            let limit = humantime::format_duration(LIMIT);
            Observed::Unknown(format!("timed out after {limit}"))
        }
    }
}

/// Returns the mirror's tip and its date.
async fn last_moved(config: &Config) -> Result<(String, i64)> {
    let mirror = config.mirror_remote()?;
    let reference = branch_ref(&config.mirror.branch);
    let (mut mirror, refs) = UploadPack::open_and_list(&mirror, &reference).await?;
    let tip = refs.branches.get(&reference).copied();
    let tip =
        tip.ok_or_else(|| Error::new(Kind::EmptyMirror, format!("the mirror has no {reference}")))?;
    // One generation: the date of the tip is all that is needed.
    let view = MirrorView::fetch(&mut mirror, tip, 1).await?;
    Ok((tip.short(), view.commit.seconds))
}

/// Returns how far the mirror is behind upstream.
async fn behind(config: &Config) -> Result<Option<Behind>> {
    let (upstream, mirror) = (config.upstream_remote()?, config.mirror_remote()?);
    Ok(match Lag::measure(config, &upstream, &mirror).await? {
        Lag::None(_) => None,
        Lag::Behind {
            commits,
            seconds,
            relation,
            ..
        } => Some(Behind {
            commits,
            since: seconds,
            relation,
        }),
    })
}
