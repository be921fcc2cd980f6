//! Looks where the mirror stands after a failure, as far as the failure lets.

use std::time::Duration;

use tokio::time::timeout;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::git::branch_ref;
use crate::git::transport::UploadPack;
use crate::mirror::relay::{Lag, MirrorView};
use crate::notify::notice::{Seen, Standing};

/// How long a look may take: a mail that comes is worth more than one that knows all.
const LIMIT: Duration = Duration::from_secs(30);

/// Looks at the mirror alone for when it moved, and at both sides for how far it is behind.
pub(super) async fn look(config: &Config) -> Standing {
    let moved = async { seen(timeout(LIMIT, moved(config)).await) };
    let behind = async { seen(timeout(LIMIT, behind(config)).await) };
    let (moved, behind) = tokio::join!(moved, behind);
    Standing { moved, behind }
}

fn seen<T>(looked: Result<Result<T>, tokio::time::error::Elapsed>) -> Seen<T> {
    match looked {
        Ok(Ok(found)) => Seen::Known(found),
        Ok(Err(error)) => Seen::Unknown(error.to_string()),
        Err(_) => Seen::Unknown(format!(
            "no answer within {}",
            humantime::format_duration(LIMIT)
        )),
    }
}

/// Returns the mirror's tip and its date.
async fn moved(config: &Config) -> Result<(String, i64)> {
    let mirror = config.mirror_remote()?;
    let mut mirror = UploadPack::open(&mirror).await?;
    let reference = branch_ref(&config.mirror.branch);
    let refs = mirror.refs(&reference).await?;
    let tip = refs.branches.get(&reference).copied();
    let tip =
        tip.ok_or_else(|| Error::new(Kind::EmptyMirror, format!("the mirror has no {reference}")))?;
    let view = MirrorView::look(&mut mirror, tip, 1).await?;
    Ok((tip.short(), view.commit.seconds))
}

async fn behind(config: &Config) -> Result<String> {
    let (upstream, mirror) = (config.upstream_remote()?, config.mirror_remote()?);
    Ok(match Lag::measure(config, &upstream, &mirror).await? {
        Lag::None(_) => "nothing: it has all that upstream has".to_owned(),
        Lag::Behind {
            commits, relation, ..
        } => {
            let plural = if commits == 1 { "" } else { "s" };
            format!("{commits} commit{plural} ({relation})")
        }
    })
}
