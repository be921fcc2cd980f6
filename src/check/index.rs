//! What the mirror holds: its branch, HEAD, `config.json`, how far behind it is, and how much history.

use std::time::Duration;

use indicatif::HumanDuration;

use super::Findings;
use crate::config::{self, Config, History};
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::transport::UploadPack;
use crate::git::transport::by_id::file_at_root;
use crate::git::wire::upload_pack::Fetch;
use crate::git::wire::{Head, Refs};
use crate::index::config_json::{CONFIG_JSON, ConfigJson, points_to};
use crate::mirror::Context;
use crate::mirror::relay::Lag;
use crate::mirror::relay::draft::{mode, shallow_upstream};
use crate::mirror::sync::{self, SAME_REPOSITORY};

/// cargo clones all of a git index: from this many commits on, a mirror without history is faster for it.
const MUCH_HISTORY: usize = 2_000;
/// Bounds the commits that are counted, and so the bytes that a mirror with a long history sends.
const COUNTED: u32 = 20_000;

/// Probes the branch and everything that is read through it.
pub(super) async fn probe(
    config: &Config,
    around: Context<'_>,
    mut mirror: UploadPack<'_>,
    upstream: Option<()>,
    findings: &mut Findings,
) {
    let reference = branch_ref(&config.mirror.branch);
    let Some(refs) = findings.take("branch", mirror.refs(&reference).await) else {
        return;
    };
    findings.pass("mirror", "reachable and readable");
    head(config, &refs, findings);
    let Some(tip) = refs.branches.get(&reference).copied() else {
        findings.fail_plainly(
            "branch",
            format!("the mirror has no {reference} yet"),
            "Run `crates-ferry init` once, or set `mirror.branch`.",
        );
        for name in ["base", "plan", "config.json", "history"] {
            findings.skip(name, "the branch does not exist yet");
        }
        return;
    };
    findings.pass("branch", format!("{reference} is at {}", tip.short()));
    let found = match upstream {
        Some(()) => base(config, around, findings).await,
        None => {
            findings.skip("base", "upstream could not be read");
            None
        }
    };
    plan(config, around, findings).await;
    let is_begun = found.is_some() || upstream.is_none();
    config_json(config, &mut mirror, tip, is_begun, findings).await;
    history(config, found, &mut mirror, tip, findings).await;
}

/// Probes HEAD, because cargo reads HEAD and not a branch by its name.
fn head(config: &Config, refs: &Refs, findings: &mut Findings) {
    let reference = branch_ref(&config.mirror.branch);
    match &refs.head {
        Head::Branch(branch) if *branch == reference => {
            findings.pass("head", format!("HEAD is {reference}"))
        }
        Head::Branch(branch) => findings.fail_plainly(
            "head",
            format!("HEAD is {branch}, and cargo reads HEAD, not {reference}"),
            "Make the mirror's branch the default branch of its repository.",
        ),
        // cargo would read that commit for ever.
        Head::Detached(at) if refs.branches.get(&reference).is_some_and(|tip| tip != at) => {
            findings.fail_plainly(
                "head",
                format!("HEAD is at {}, not at {reference}", at.short()),
                "Make the mirror's branch the default branch of its repository: cargo reads HEAD.",
            )
        }
        Head::Detached(_) | Head::Unknown => {
            findings.skip("head", "the server does not say where HEAD points")
        }
    }
}

/// Probes how far behind the mirror is, and returns its history mode, if that shows.
async fn base(config: &Config, around: Context<'_>, findings: &mut Findings) -> Option<History> {
    if config.is_mirror_upstream() {
        findings.fail_plainly(
            "base",
            SAME_REPOSITORY.to_owned(),
            "Set `mirror.url` to a repository of your own.",
        );
        return None;
    }
    let lag = findings.take("base", measure_lag(config).await)?;
    let found = match &lag {
        // Without commits of ours on top, it is upstream's history.
        Lag::None(found) => found.unwrap_or(History::Merge),
        Lag::Behind { history, .. } => *history,
    };
    let goes_on = mode(config.mirror.history, found).and_then(|history| match (history, &lag) {
        (
            History::Merge,
            Lag::Behind {
                is_cut_off: true,
                serves_by_id,
                ..
            },
        ) => Err(shallow_upstream(&config.upstream_remote()?, *serves_by_id)),
        _ => Ok(()),
    });
    if findings.take("base", goes_on).is_some() {
        findings.pass("base", describe(lag, around.now()));
    }
    Some(found)
}

/// Plans what a sync would do, as `sync --dry-run` does: only a plan meets a conflict, or an upstream that lost much.
async fn plan(config: &Config, around: Context<'_>, findings: &mut Findings) {
    if !findings.has_passed("base") {
        return findings.skip("plan", "the base could not be used");
    }
    let options = sync::Options {
        dry_run: true,
        ..sync::Options::default()
    };
    if let Some(report) = findings.take("plan", sync::run(config, &options, around).await) {
        let outcome = report.outcome;
        findings.pass("plan", format!("a sync would end as {outcome}"));
    }
}

// Over connections of its own, as `access::push`: its services end before those of the other probes.
async fn measure_lag(config: &Config) -> Result<Lag> {
    let upstream = config.upstream_remote()?;
    let mirror = config.mirror_remote()?;
    Lag::measure(config, &upstream, &mirror).await
}

fn describe(lag: Lag, now: i64) -> String {
    match lag {
        Lag::None(_) => "the mirror has all that upstream has".to_owned(),
        Lag::Behind {
            base,
            seconds,
            commits: count,
            relation,
            history,
            ..
        } => {
            // A commit from a clock that is ahead of ours is 0 seconds old. Whoever made it chose any date.
            let age = u64::try_from(now.saturating_sub(seconds)).unwrap_or_default();
            let age = HumanDuration(Duration::from_secs(age));
            let age = match history {
                History::Merge => format!("the commit is {age} old"),
                // A stand-in has the date of the sync that made it.
                History::Snapshot => format!("carried {age} ago"),
            };
            let (base, count) = (base.short(), counted(count, "commit"));
            format!("{base}, {count} behind upstream ({relation}); {age}")
        }
    }
}

async fn config_json(
    config: &Config,
    mirror: &mut UploadPack<'_>,
    tip: ObjectId,
    is_begun: bool,
    findings: &mut Findings,
) {
    // Without wants by id, one file would cost a clone.
    if !mirror.can_want_any() {
        findings.skip("config.json", "the server does not serve files by id");
        return;
    }
    let read = read_config_json(mirror, tip, is_begun).await;
    let Some(found) = findings.take("config.json", read) else {
        return;
    };
    // What cargo would find out with the first crate.
    if let Err(why) = config::dl(&found.dl) {
        return findings.fail_plainly(
            "config.json",
            format!("the mirror's dl cannot be used: {why}"),
            "Commit a config.json whose `dl` is the address of the crate files to the mirror; a sync never changes it.",
        );
    }
    let differs = |wanted: &Option<String>, found: Option<&str>| {
        wanted.is_some() && wanted.as_deref() != found
    };
    let wanted = &config.mirror;
    let found_text = format!(
        "dl is {}, api is {}",
        found.dl,
        found.api.as_deref().unwrap_or("not set")
    );
    if differs(&wanted.dl, Some(&found.dl)) || differs(&wanted.api, found.api.as_deref()) {
        findings.fail_plainly(
            "config.json",
            format!("the mirror's {found_text}; `mirror.dl` and `mirror.api` differ"),
            "Commit the right config.json to the mirror, which a sync never changes, or correct `mirror.dl` and `mirror.api`.",
        );
    } else {
        findings.pass("config.json", found_text);
    }
}

async fn read_config_json(
    mirror: &mut UploadPack<'_>,
    tip: ObjectId,
    is_begun: bool,
) -> Result<ConfigJson> {
    let missing = || {
        Error::new(Kind::Config, "the mirror has no config.json").advise(match is_begun {
            true => "Commit one, which cargo needs: `{\"dl\": …, \"api\": …}`.",
            false => "Run `crates-ferry init --adopt` once: it adds upstream's config.json with your `mirror.dl` and `mirror.api` in it.",
        })
    };
    points_to(
        &file_at_root(mirror, tip, CONFIG_JSON)
            .await?
            .ok_or_else(missing)?,
    )
}

/// Counts the mirror's commits, up to a bound; `found` is its history mode, if that is known.
async fn history(
    config: &Config,
    found: Option<History>,
    mirror: &mut UploadPack<'_>,
    tip: ObjectId,
    findings: &mut Findings,
) {
    if !mirror.can_filter() {
        findings.skip(
            "history",
            "the server does not support filters, so its commits are not counted",
        );
        return;
    }
    let fetch = Fetch::commits(tip, COUNTED);
    let mut count = 0;
    // The filter leaves out all but commits, so each object is one.
    let count_one = |_: &_| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    };
    let scanned = mirror.scan(&fetch, count_one).await;
    let Some(scan) = findings.take("history", scanned.map_err(Error::from)) else {
        return;
    };
    let at_least = if scan.answer.shallow.is_empty() {
        ""
    } else {
        "at least "
    };
    let text = format!("the mirror carries {at_least}{}", counted(count, "commit"));
    let grows = found == Some(History::Merge) && config.mirror.history != Some(History::Snapshot);
    if count > MUCH_HISTORY && grows {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::plan::Relation;

    #[test]
    fn a_commit_from_the_end_of_time_is_as_old_as_can_be_told() {
        let behind = |seconds| Lag::Behind {
            base: ObjectId::ZERO,
            seconds,
            commits: 1,
            relation: Relation::Advanced,
            history: History::Merge,
            is_cut_off: false,
            serves_by_id: true,
        };
        let text = describe(behind(i64::MIN), 1_780_000_000);
        assert!(text.ends_with("years old"), "{text}");
        let text = describe(behind(i64::MAX), -1);
        assert!(text.ends_with("is 0 seconds old"), "{text}");
    }
}
