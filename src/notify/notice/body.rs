//! The body: sections of rows, written once as plain text and once as HTML.

use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use indicatif::HumanDuration;
use url::Url;

use super::{Event, Failure, Job, Notice, Seen};
use crate::error::{Error, Kind, Result};

/// A heading and what stands below it.
struct Section {
    title: &'static str,
    rows: Vec<Row>,
}

/// One line: a label, a text, and what the text leads to.
struct Row {
    label: String,
    text: String,
    link: Option<Url>,
    is_command: bool,
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
    /// Returns the body as plain text and as HTML.
    pub fn bodies(&self) -> Result<(String, String)> {
        let (headline, sections) = (&self.headline(), &self.sections());
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
        let unwritten =
            |e: askama::Error| Error::new(Kind::Server, "the mail cannot be written").because(e);
        Ok((
            text.render().map_err(unwritten)?,
            html.render().map_err(unwritten)?,
        ))
    }

    fn headline(&self) -> String {
        match &self.event {
            Event::Failed(_) => "The mirror could not be brought up to date.".to_owned(),
            Event::Warned(_) => {
                "The sync succeeded, and met something that a person should look at.".to_owned()
            }
            Event::Recovered { since, failures } => {
                let runs = match failures {
                    1 => "one sync".to_owned(),
                    count => format!("{count} syncs"),
                };
                format!(
                    "The mirror is in order again. Since {} {runs} failed.",
                    time(*since)
                )
            }
            Event::Alarm(_) => "The trigger helper needs a person.".to_owned(),
            Event::AllClear { since } => format!(
                "The mirror is in order again. The first call for help was at {}.",
                time(*since)
            ),
            Event::Test => {
                "This is a test mail: failures of this mirror will reach you as this mail did."
                    .to_owned()
            }
        }
    }

    fn sections(&self) -> Vec<Section> {
        let mut sections = self.about_the_event();
        sections.push(self.about_the_mirror());
        if !self.by_hand.is_empty() {
            sections.push(Section {
                title: "Try it by hand",
                rows: vec![Row {
                    is_command: true,
                    ..Row::plain(&self.by_hand)
                }],
            });
        }
        sections.push(about_the_job(&self.job));
        sections.retain(|section| !section.rows.is_empty());
        sections
    }

    fn about_the_event(&self) -> Vec<Section> {
        match &self.event {
            Event::Failed(failure) | Event::Alarm(failure) => vec![
                Section {
                    title: "What failed",
                    rows: what_failed(failure),
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
            Event::Recovered { .. } | Event::AllClear { .. } | Event::Test => Vec::new(),
        }
    }

    fn what_to_do(&self, failure: &Failure) -> Vec<Row> {
        let advice = failure.advice.iter();
        let mut rows: Vec<Row> = advice.map(|text| Row::plain(&sentence(text))).collect();
        if matches!(self.event, Event::Alarm(_)) {
            rows.push(Row::plain(
                "The helper goes on watching. When it is mended, ask it for a pipeline: POST /trigger.",
            ));
        } else if failure.kind.is_transient() {
            rows.push(Row::plain(
                "Failures of this kind may pass: the next run starts from what the mirror holds.",
            ));
        } else {
            rows.push(Row::plain(
                "It will not pass by itself: every run fails until a person has seen to it.",
            ));
        }
        if let Some(pause) = self.repeat_after {
            let pause = humantime::format_duration(pause);
            let text = match self.event {
                Event::Alarm(_) => {
                    format!("It is mailed again after {pause} while it lasts, and its end once.")
                }
                _ => format!(
                    "The same kind of failure is mailed again after {pause}, and the first success after it once."
                ),
            };
            rows.push(Row::plain(&text));
        }
        rows
    }

    fn about_the_mirror(&self) -> Section {
        let place = |label, place: &super::Place| {
            Row::labelled(label, format!("{} ({})", place.url, place.branch))
        };
        let mut rows = vec![place("mirror", &self.mirror)];
        rows.extend(self.upstream.iter().map(|it| place("upstream", it)));
        let ago = |at: i64| {
            let age = Duration::from_secs(u64::try_from(self.now - at).unwrap_or_default());
            format!("{}, {} ago", time(at), HumanDuration(age))
        };
        match &self.standing.moved {
            Seen::Known((tip, at)) => {
                rows.push(Row::labelled(
                    "last moved",
                    format!("{}, to {tip}", ago(*at)),
                ));
            }
            Seen::Unknown(reason) => {
                rows.push(Row::labelled("last moved", format!("unknown: {reason}")));
            }
            Seen::NotLooked => {}
        }
        match &self.standing.behind {
            Seen::Known(text) => rows.push(Row::labelled("behind", text.clone())),
            Seen::Unknown(reason) => {
                rows.push(Row::labelled("behind", format!("unknown: {reason}")));
            }
            Seen::NotLooked => {}
        }
        if let Some(at) = self.last_success {
            rows.push(Row::labelled("last success", ago(at)));
        }
        Section {
            title: "The mirror",
            rows,
        }
    }
}

fn what_failed(failure: &Failure) -> Vec<Row> {
    let kind = Row::labelled(
        "kind",
        format!("{} (exit code {})", failure.kind, failure.kind.exit_code()),
    );
    let causes = failure.causes.iter();
    let causes = causes.map(|cause| Row::labelled("caused by", cause.clone()));
    [Row::plain(&failure.message)]
        .into_iter()
        .chain(causes)
        .chain([kind])
        .collect()
}

fn about_the_job(job: &Job) -> Section {
    let linked = |label, text: &Option<String>, link: &Option<Url>| {
        let text = text
            .clone()
            .or_else(|| link.as_ref().map(ToString::to_string))?;
        Some(Row {
            link: link.clone(),
            ..Row::labelled(label, text)
        })
    };
    let rows = [
        linked("job", &job.name, &job.log),
        linked("pipeline", &None, &job.pipeline),
        linked("project", &job.project_path, &job.project),
        linked("branch", &job.reference, &None),
        linked("started by", &job.source, &None),
        linked("for", &job.user, &None),
        linked("runner", &job.runner, &None),
    ];
    Section {
        title: "The job",
        rows: rows.into_iter().flatten().collect(),
    }
}

impl Row {
    fn plain(text: &str) -> Self {
        Self::labelled("", text.to_owned())
    }

    fn labelled(label: &str, text: String) -> Self {
        Self {
            label: label.to_owned(),
            text,
            link: None,
            is_command: false,
        }
    }

    /// Returns the link where the text does not show it.
    fn unseen_link(&self) -> Option<&str> {
        let link = self.link.as_ref()?.as_str();
        (link != self.text).then_some(link)
    }
}

/// Writes an advice as a sentence: on the command line it stands behind a colon.
fn sentence(advice: &str) -> String {
    let mut letters = advice.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let end = if advice.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    first.chain(letters).chain(end.chars()).collect()
}

/// Writes a time as `2026-11-24 03:10:07 UTC`.
fn time(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    // Times beyond the year 9999 have no such form.
    let since = since.min(Duration::from_secs(253_402_300_799));
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}
