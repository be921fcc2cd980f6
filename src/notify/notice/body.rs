//! The body: sections of rows, written once as plain text and once as HTML.
//!
//! The reader may be on a phone at night: first what happened, then what to do, then where to look.

use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use indicatif::HumanDuration;
use url::Url;

use super::subject::short_url;
use super::{Advised, Behind, Event, Failure, Job, Notice, Observed, RemoteBranch, Withdrawn};
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::shown;

/// A heading and the rows below it.
struct Section {
    title: &'static str,
    rows: Vec<Row>,
}

/// One line: a label, a text, and the page that the text links to.
struct Row {
    label: String,
    text: String,
    link: Option<String>,
    /// Whether the text is to be copied: it stands alone, as it is.
    is_verbatim: bool,
}

#[derive(Template)]
#[template(path = "notify/notice/body.txt")]
struct Text<'a> {
    headline: &'a str,
    sections: &'a [Section],
    version: &'a str,
}

#[derive(Template)]
#[template(path = "notify/notice/body.html")]
struct Html<'a> {
    headline: &'a str,
    sections: &'a [Section],
    version: &'a str,
}

impl Notice {
    /// Returns the body as plain text and as HTML, with all texts masked by `scrub`.
    pub fn bodies(&self, scrub: impl Fn(&str) -> String) -> Result<(String, String)> {
        let mut sections = self.sections();
        // Before anything is rendered: a secret with `&` or `<` is not found in HTML.
        let rows = sections.iter_mut().flat_map(|section| &mut section.rows);
        rows.for_each(|row| row.mask(&scrub));
        let (headline, sections) = (&scrub(&self.headline()), &sections);
        let version = env!("CARGO_PKG_VERSION");
        let text = Text {
            headline,
            sections,
            version,
        };
        let html = Html {
            headline,
            sections,
            version,
        };
        let cannot_write =
            |e: askama::Error| Error::new(Kind::Server, "cannot write the mail").because(e);
        Ok((
            text.render().map_err(cannot_write)?,
            html.render().map_err(cannot_write)?,
        ))
    }

    fn headline(&self) -> String {
        match &self.event {
            Event::Failed(_) => {
                let failed = "The sync failed. What the mirror has is not affected, but new crates do not reach it.";
                match self.state_of_the_mirror() {
                    Some(state) => format!("{state} {failed}"),
                    None => failed.to_owned(),
                }
            }
            Event::Warned(_) => {
                "The sync succeeded, but something needs your attention.".to_owned()
            }
            Event::Recovered { since, failures } => {
                let syncs = match failures {
                    1 => "one sync".to_owned(),
                    count => format!("{count} syncs"),
                };
                format!(
                    "The sync works again. Since {}, {syncs} failed.",
                    time(*since)
                )
            }
            Event::Alarm { .. } => "The trigger helper needs your attention.".to_owned(),
            Event::Resolved { since } => format!(
                "The mirror works again, and all alarms are resolved. The first one was mailed at {}.",
                time(*since)
            ),
            Event::Withdrawn(versions) => match versions.as_slice() {
                [_] => "Upstream took back a version that was fetched here.".to_owned(),
                several => format!(
                    "Upstream took back {} that were fetched here.",
                    counted(several.len(), "version")
                ),
            },
            Event::Advised(advisories) => match advisories.as_slice() {
                [_] => "A security advisory is about what was fetched here.".to_owned(),
                several => format!(
                    "{} security advisories are about what was fetched here.",
                    several.len()
                ),
            },
            Event::HeldBack(_) => "The server holds an index back: very many versions vanished from it at once. What it serves is \
                 not affected, but new crates do not reach it."
                .to_owned(),
            Event::Test => {
                "This is a test mail. Failures of this mirror will be mailed like this one."
                    .to_owned()
            }
        }
    }

    /// Says how far the mirror is behind, or at least when it last moved: that decides how urgent the rest is.
    fn state_of_the_mirror(&self) -> Option<String> {
        let mirror = short_url(&self.mirror.url, usize::MAX);
        let status = &self.mirror_status;
        if let Observed::Known(Some(Behind { commits, since, .. })) = &status.behind {
            let (commits, age) = (counted(*commits, "commit"), self.age(*since));
            return Some(format!("{mirror} is {commits} and {age} behind."));
        }
        match &status.last_moved {
            Observed::Known((_, at)) => Some(format!("{mirror} last moved {} ago.", self.age(*at))),
            _ => None,
        }
    }

    /// Returns how long ago a time was, in seconds since 1970.
    fn age(&self, at: i64) -> HumanDuration {
        // A commit may be dated by a clock that is ahead of ours: it is then 0 seconds old. Whoever made it chose any date.
        let age = u64::try_from(self.now.saturating_sub(at)).unwrap_or_default();
        HumanDuration(Duration::from_secs(age))
    }

    fn sections(&self) -> Vec<Section> {
        let mut sections = self.about_the_event();
        sections.push(about_the_job(&self.job));
        sections.push(self.about_the_mirror());
        if !self.dry_run.is_empty() {
            sections.push(Section {
                title: "Try it by hand",
                rows: vec![Row::verbatim(&self.dry_run)],
            });
        }
        sections.retain(|section| !section.rows.is_empty());
        sections
    }

    fn about_the_event(&self) -> Vec<Section> {
        match &self.event {
            Event::Failed(failure) | Event::Alarm { failure, .. } => vec![
                Section {
                    title: "What failed",
                    rows: self.what_failed(failure),
                },
                Section {
                    title: "What to do",
                    rows: self.what_to_do(failure),
                },
            ],
            Event::Warned(warnings) => vec![Section {
                title: "What to look at",
                rows: warnings.iter().map(|warning| Row::plain(warning)).collect(),
            }],
            Event::Withdrawn(versions) => vec![
                Section {
                    title: "What was withdrawn",
                    rows: versions
                        .iter()
                        .map(|it| Row::plain(&self.withdrawn(it)))
                        .collect(),
                },
                Section {
                    title: "What to do",
                    rows: what_to_do_about(versions),
                },
            ],
            Event::Advised(advisories) => vec![
                Section {
                    title: "Advisories",
                    rows: advisories
                        .iter()
                        .map(|it| Row::plain(&self.advised(it)))
                        .collect(),
                },
                Section {
                    title: "What to do",
                    rows: what_to_do_about_advisories(advisories),
                },
            ],
            Event::HeldBack(failure) => vec![
                Section {
                    title: "What happened",
                    rows: vec![Row::plain(&failure.message)],
                },
                Section {
                    title: "What to do",
                    rows: self.what_to_do(failure),
                },
            ],
            Event::Recovered { .. } | Event::Resolved { .. } | Event::Test => Vec::new(),
        }
    }

    fn what_failed(&self, failure: &Failure) -> Vec<Row> {
        let causes = failure.causes.iter();
        let causes = causes.map(|cause| Row::labelled("caused by", cause.clone()));
        let mut rows = vec![Row::plain(&failure.message)];
        rows.extend(causes);
        // An alarm comes from the trigger helper, which goes on: there is no exit code.
        if matches!(self.event, Event::Failed(_)) {
            let code = failure.kind.exit_code();
            rows.push(Row::labelled(
                "kind",
                format!("{} (exit code {code})", failure.kind),
            ));
        }
        rows
    }

    fn what_to_do(&self, failure: &Failure) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(advice) = &failure.advice {
            // The line to copy must not run into the sentence before it, as it would in HTML.
            let (sentences, line) = match advice.split_once(":\n") {
                Some((sentences, line)) => (format!("{sentences}:"), Some(line)),
                None => (advice.clone(), None),
            };
            rows.push(Row::plain(&sentences));
            rows.extend(line.map(Row::verbatim));
        }
        let is_alarm = matches!(self.event, Event::Alarm { .. });
        if matches!(self.event, Event::HeldBack(_)) {
            let pause = self.repeat_after.unwrap_or_default();
            let pause = humantime::format_duration(pause);
            rows.push(Row::plain(&format!(
                "While this lasts, you get a mail at most every {pause}."
            )));
            return rows;
        }
        if !is_alarm {
            rows.push(Row::plain(match failure.is_transient {
                true => {
                    "This may go away by itself: the next sync starts from what the mirror has."
                }
                false => "This does not go away by itself: every sync fails until somebody acts.",
            }));
        }
        if let Some(pause) = self.repeat_after {
            let pause = humantime::format_duration(pause);
            let end = match is_alarm {
                true => "when everything works again",
                false => "when a sync succeeds again",
            };
            rows.push(Row::plain(&format!(
                "While this lasts, you get a mail at most every {pause}, and one more {end}."
            )));
        }
        rows
    }

    /// Says when a version was withdrawn, and who has it.
    fn withdrawn(&self, version: &Withdrawn) -> String {
        let Withdrawn {
            name,
            version: number,
            ..
        } = version;
        let at = self.clock(version.at);
        let what = match version.is_replaced {
            true => "the index lists other bytes under that version",
            false => "its line is gone from the index",
        };
        let text = format!("{name} {number} was withdrawn upstream at {at} UTC: {what}.");
        let who = self.who(version.fetched.as_deref());
        shown::one_line(&(text + &who)).into_owned()
    }

    /// Says what an advisory is about, what becomes of it, and who has it.
    fn advised(&self, advisory: &Advised) -> String {
        let Advised {
            id,
            title,
            class,
            name,
            versions,
            ..
        } = advisory;
        let told = versions.iter().take(TOLD);
        let told = told.map(|(version, what)| format!("{name} {version} is {what}"));
        let mut told: Vec<_> = told.collect();
        if let Some(others) = versions
            .len()
            .checked_sub(TOLD)
            .filter(|others| *others > 0)
        {
            told.push(format!("so are {others} more"));
        }
        let told = in_a_row(&told);
        let who = self.who(advisory.fetched.as_deref());
        let url = advisory.url.iter().map(|url| format!(" See {url}"));
        let url: String = url.collect();
        shown::one_line(&format!("{id} ({class}): {title}. {told}.{who}{url}")).into_owned()
    }

    /// Says who fetched something, and when.
    fn who(&self, fetched: Option<&[(i64, String)]>) -> String {
        let Some(fetched) = fetched else {
            return " It is stored here; who fetched it is not recorded (serve.audit is off)."
                .to_owned();
        };
        let told = fetched.iter().take(TOLD);
        let told = told.map(|(at, who)| format!("at {} by {who}", self.clock(*at)));
        let mut told: Vec<_> = told.collect();
        if let Some(others) = fetched.len().checked_sub(TOLD).filter(|others| *others > 0) {
            told.push(format!("{others} more times"));
        }
        format!(" Fetched here {}.", in_a_row(&told))
    }

    /// Writes a time of this day as `08:41`, and another one with its date.
    fn clock(&self, at: i64) -> String {
        let (at, now) = (time(at), time(self.now));
        let (day, clock) = at.split_once(' ').unwrap_or((&at, ""));
        let clock = clock.get(..5).unwrap_or(clock);
        match now.starts_with(day) {
            true => clock.to_owned(),
            false => format!("{clock} on {day}"),
        }
    }

    fn about_the_mirror(&self) -> Section {
        // A server may serve upstream itself.
        let is_of_a_server = matches!(
            self.event,
            Event::Withdrawn(_) | Event::Advised(_) | Event::HeldBack(_)
        );
        let (title, label) = match is_of_a_server {
            true => ("The index", "index"),
            false => ("The mirror", "mirror"),
        };
        let remote = |label, remote: &RemoteBranch| {
            Row::labelled(label, format!("{} ({})", remote.url, remote.branch))
        };
        let mut rows = vec![remote(label, &self.mirror)];
        rows.extend(self.upstream.iter().map(|it| remote("upstream", it)));
        let ago = |at: i64| format!("{}, {} ago", time(at), self.age(at));
        let last_moved = match &self.mirror_status.last_moved {
            Observed::Known((tip, at)) => Some(format!("{}, to {tip}", ago(*at))),
            Observed::Unknown(reason) => Some(format!("unknown: {reason}")),
            Observed::NotAsked => None,
        };
        let behind = match &self.mirror_status.behind {
            Observed::Known(None) => Some("up to date".to_owned()),
            Observed::Known(Some(lag)) => {
                let commits = counted(lag.commits, "commit");
                Some(format!("{commits} ({})", lag.relation))
            }
            Observed::Unknown(reason) => Some(format!("unknown: {reason}")),
            Observed::NotAsked => None,
        };
        rows.extend(last_moved.map(|text| Row::labelled("last moved", text)));
        rows.extend(behind.map(|text| Row::labelled("behind", text)));
        if let Some(at) = self.last_success {
            rows.push(Row::labelled("last success", ago(at)));
        }
        Section { title, rows }
    }
}

/// How many fetches a mail tells of a version.
const TOLD: usize = 20;

/// Says what to do about versions that upstream took back.
fn what_to_do_about(versions: &[Withdrawn]) -> Vec<Row> {
    let mut rows = vec![Row::plain(
        "The server refuses it from now on. Upstream mostly takes back what is malicious: look at what those who fetched it built \
             since, and at the secrets that their builds could read. This lists all fetches that are recorded:",
    )];
    let of = |command: &str| {
        let versions = versions.iter().take(TOLD);
        let lines = versions.map(|it| format!("crates-ferry {command} {}@{}", it.name, it.version));
        lines.map(|line| Row::verbatim(&line)).collect::<Vec<_>>()
    };
    rows.extend(of("audit"));
    rows.push(Row::plain(
        "If you know that it does no harm, and a project depends on it, release it:",
    ));
    rows.extend(of("policy allow"));
    rows
}

/// Says what to do about advisories.
fn what_to_do_about_advisories(advisories: &[Advised]) -> Vec<Row> {
    let mut rows = vec![Row::plain(
        "Update what uses these versions. After a malicious one look at what those who fetched it built since, and at the secrets \
         that their builds could read. All fetches that are recorded, and what is decided:",
    )];
    let mut crates: Vec<_> = advisories.iter().map(|it| it.name.as_str()).collect();
    crates.dedup();
    let told = crates.iter().take(TOLD).flat_map(|name| {
        let commands = ["audit", "policy explain"];
        commands.map(|command| Row::verbatim(&format!("crates-ferry {command} {name}")))
    });
    rows.extend(told);
    rows.push(Row::plain("To let one pass that does not concern you:"));
    let allow = advisories.iter().take(TOLD);
    rows.extend(allow.map(|it| Row::verbatim(&format!("crates-ferry policy allow {}", it.id))));
    rows
}

/// Writes a list in a sentence: `a, b and c`.
fn in_a_row(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn about_the_job(job: &Job) -> Section {
    let linked = |label, text: &Option<String>, link: &Option<Url>| {
        let text = text
            .clone()
            .or_else(|| link.as_ref().map(ToString::to_string))?;
        Some(Row {
            link: link.as_ref().map(ToString::to_string),
            ..Row::labelled(label, text)
        })
    };
    let rows = [
        linked("job", &job.name, &job.log),
        linked("pipeline", &None, &job.pipeline),
        linked("project", &job.project_path, &job.project),
        linked("branch", &job.reference, &None),
        linked("started by", &job.source, &None),
        linked("user", &job.user, &None),
        linked("runner", &job.runner, &None),
    ];
    Section {
        title: "The job",
        rows: rows.into_iter().flatten().collect(),
    }
}

impl Row {
    fn plain(text: &str) -> Self {
        Self {
            label: String::new(),
            text: text.to_owned(),
            link: None,
            is_verbatim: false,
        }
    }

    /// Makes a row of one line, since its text may be what others chose, such as the name of a branch.
    fn labelled(label: &str, text: String) -> Self {
        Self {
            label: label.to_owned(),
            text: shown::one_line(&text).into_owned(),
            link: None,
            is_verbatim: false,
        }
    }

    fn verbatim(text: &str) -> Self {
        Self {
            is_verbatim: true,
            ..Self::plain(text)
        }
    }

    fn mask(&mut self, scrub: impl Fn(&str) -> String) {
        self.text = scrub(&self.text);
        self.link = self.link.as_deref().map(scrub);
    }

    /// Returns the link unless the text is that link already.
    fn hidden_link(&self) -> Option<&str> {
        let link = self.link.as_deref()?;
        (link != self.text).then_some(link)
    }
}

/// Writes a time as `2026-11-24 03:10:07 UTC`.
fn time(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    // RFC 3339 ends with the year 9999, and `humantime` panics beyond it.
    let since = since.min(Duration::from_secs(253_402_300_799));
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}
