//! What the mirror holds: its branch, HEAD, `config.json`, how far behind it is, and how much history.

use std::time::Duration;

use indicatif::HumanDuration;

use super::Findings;
use crate::config::{Config, History};
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::transport::by_id::file_at_root;
use crate::git::transport::{Remote, UploadPack};
use crate::git::wire::Head;
use crate::git::wire::upload_pack::Fetch;
use crate::index::config_json::{CONFIG_JSON, ConfigJson, points_to};
use crate::mirror::Context;
use crate::mirror::relay::Lag;
use crate::mirror::relay::draft::mode;

/// From this many commits on a mirror that cargo reads by git is better off without history.
const MUCH_HISTORY: usize = 2_000;
/// The most commits that are counted.
const COUNTED: u32 = 20_000;

/// Probes the branch and what hangs on it.
pub(super) async fn probe(
    config: &Config,
    around: Context<'_>,
    mut mirror: UploadPack<'_>,
    remote: &Remote,
    upstream: Option<()>,
    findings: &mut Findings,
) {
    let reference = branch_ref(&config.mirror.branch);
    let Some(refs) = findings.take("branch", mirror.refs(&reference).await) else {
        return;
    };
    findings.pass("mirror", "reachable and readable");
    head(config, &refs.head, findings);
    let Some(tip) = refs.branches.get(&reference).copied() else {
        findings.fail_plainly(
            "branch",
            format!("the mirror has no {reference} yet"),
            "run `crates-ferry init` once, or set `mirror.branch`",
        );
        for name in ["base", "config.json", "history"] {
            findings.skip(name, "the branch is not there yet");
        }
        return;
    };
    findings.pass("branch", format!("{reference} is at {}", tip.short()));
    match upstream {
        Some(()) => base(config, around, remote, findings).await,
        None => findings.skip("base", "upstream could not be read"),
    }
    config_json(config, &mut mirror, tip, findings).await;
    history(config, &mut mirror, tip, findings).await;
}

/// cargo reads what HEAD stands for.
fn head(config: &Config, head: &Head, findings: &mut Findings) {
    let reference = branch_ref(&config.mirror.branch);
    match head {
        Head::Branch(branch) if *branch == reference => {
            findings.pass("head", format!("HEAD is {reference}"))
        }
        Head::Branch(branch) => findings.fail_plainly(
            "head",
            format!("HEAD is {branch}, and cargo reads HEAD, not {reference}"),
            "make the mirror's branch the default branch of its repository",
        ),
        Head::Detached | Head::Unknown => {
            findings.skip("head", "the server does not say what HEAD stands for")
        }
    }
}

async fn base(config: &Config, around: Context<'_>, mirror: &Remote, findings: &mut Findings) {
    let looked = look_at_base(config, around, mirror).await;
    if let Some(text) = findings.take("base", looked) {
        findings.pass("base", text);
    }
}

async fn look_at_base(config: &Config, around: Context<'_>, mirror: &Remote) -> Result<String> {
    let upstream = config.upstream_remote()?;
    match Lag::measure(config, &upstream, mirror).await? {
        Lag::None(found) => {
            mode(config.mirror.history, found.unwrap_or(History::Merge))?;
            Ok("the mirror has all that upstream has".to_owned())
        }
        Lag::Behind {
            base,
            seconds,
            commits: count,
            relation,
            history,
        } => {
            mode(config.mirror.history, history)?;
            let age = u64::try_from(around.now() - seconds).unwrap_or_default();
            let age = HumanDuration(Duration::from_secs(age));
            let age = match history {
                History::Merge => format!("the commit is {age} old"),
                // A stand-in has the date of the sync that made it.
                History::Snapshot => format!("carried {age} ago"),
            };
            let (base, count) = (base.short(), commits(count));
            Ok(format!(
                "{base}, {count} behind upstream ({relation}); {age}"
            ))
        }
    }
}

fn commits(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} commit{plural}")
}

async fn config_json(
    config: &Config,
    mirror: &mut UploadPack<'_>,
    tip: ObjectId,
    findings: &mut Findings,
) {
    if !mirror.can_want_any() {
        findings.skip("config.json", "the server serves no files by their id");
        return;
    }
    let read = read_config_json(mirror, tip).await;
    let Some(found) = findings.take("config.json", read) else {
        return;
    };
    let differs = |wanted: &Option<String>, found: Option<&str>| {
        wanted.is_some() && wanted.as_deref() != found
    };
    let wanted = &config.mirror;
    let says = format!(
        "dl is {}, api is {}",
        found.dl,
        found.api.as_deref().unwrap_or("not set")
    );
    if differs(&wanted.dl, Some(&found.dl)) || differs(&wanted.api, found.api.as_deref()) {
        findings.fail_plainly(
            "config.json",
            format!("the mirror's {says}; the configuration says otherwise"),
            "commit the right config.json to the mirror (a sync never changes it), or mend `mirror.dl` and `mirror.api`",
        );
    } else {
        findings.pass("config.json", says);
    }
}

async fn read_config_json(mirror: &mut UploadPack<'_>, tip: ObjectId) -> Result<ConfigJson> {
    let missing = || {
        Error::new(Kind::Config, "the mirror has no config.json")
            .advise("Commit one: `{\"dl\": …, \"api\": …}`; cargo needs it.")
    };
    points_to(
        &file_at_root(mirror, tip, CONFIG_JSON)
            .await?
            .ok_or_else(missing)?,
    )
}

/// Counts the mirror's commits, up to a bound.
async fn history(
    config: &Config,
    mirror: &mut UploadPack<'_>,
    tip: ObjectId,
    findings: &mut Findings,
) {
    if !mirror.can_filter() {
        findings.skip("history", "the server cannot list commits alone");
        return;
    }
    let fetch = Fetch::commits(tip, COUNTED);
    let mut count = 0;
    let look = |_: &_| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    };
    let scanned = mirror.scan(&fetch, look).await;
    let Some(scan) = findings.take("history", scanned.map_err(Error::from)) else {
        return;
    };
    let at_least = if scan.answer.shallow.is_empty() {
        ""
    } else {
        "at least "
    };
    let text = format!("the mirror carries {at_least}{}", commits(count));
    if count > MUCH_HISTORY && config.mirror.history != Some(History::Snapshot) {
        findings.pass_with_advice(
            "history",
            text,
            "cargo clones all of a git index: if it reads this one by git, `mirror.history: snapshot` keeps further \
             history out",
        );
    } else {
        findings.pass("history", text);
    }
}
