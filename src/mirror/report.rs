//! The report of `init` and `sync`: what was done or, in a dry run, would be. Text for people, one JSON object for programs.

mod warning;

pub use warning::{Topic, Warning};

use std::fmt;

use serde::Serialize;

use crate::count::counted;
use crate::git::ObjectId;
use crate::mirror::plan::{Outcome, Relation};

/// The report of one `init` or `sync`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What became of the mirror's branch.
    pub outcome: Outcome,
    /// Whether nothing was pushed.
    pub dry_run: bool,
    /// How upstream's history relates to the mirror's; `None` for a mirror that was empty.
    pub relation: Option<Relation>,
    /// The newest upstream commit that the mirror had before.
    pub base: Option<ObjectId>,
    /// Upstream's tip.
    pub upstream: ObjectId,
    /// The mirror's tip before.
    pub before: Option<ObjectId>,
    /// The mirror's tip now; `None` in a dry run that would move it.
    pub after: Option<ObjectId>,
    /// The number of upstream commits that were mirrored; `None` for `init`, which does not count them.
    pub commits: Option<usize>,
    /// The crates that those commits name, sorted.
    pub crates: Vec<String>,
    /// The paths on which mirror and upstream differ; a directory's ends in `/`.
    pub overlay: Vec<String>,
    /// Whether the overlay is too long, so that some directories stand for the paths in them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overlay_cut: bool,
    /// The bytes received from both sides.
    pub received_bytes: u64,
    /// The bytes sent to both sides.
    pub sent_bytes: u64,
    /// The duration in seconds, retries included.
    pub seconds: f64,
    /// What a person should look at.
    pub warnings: Vec<Warning>,
    /// How a squash of upstream's history was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

impl Report {
    /// How many crates, paths or warnings the text lists; the JSON has them all.
    const SHOWN: usize = 12;

    /// Makes an empty report for upstream's tip.
    pub fn about(upstream: ObjectId) -> Self {
        Self {
            outcome: Outcome::UpToDate,
            dry_run: false,
            relation: None,
            base: None,
            upstream,
            before: None,
            after: None,
            commits: None,
            crates: Vec::new(),
            overlay: Vec::new(),
            overlay_cut: false,
            received_bytes: 0,
            sent_bytes: 0,
            seconds: 0.0,
            warnings: Vec::new(),
            proof: None,
        }
    }

    fn headline(&self) -> String {
        let what = match (self.outcome, self.commits) {
            (Outcome::UpToDate, _) => "the mirror has all of upstream".to_owned(),
            (Outcome::Created, _) if self.after.is_none_or(|after| after == self.upstream) => {
                "the mirror's branch, at upstream's tip".to_owned()
            }
            (Outcome::Created, _) => "the mirror's first commit".to_owned(),
            (_, Some(count)) => counted(count, "commit"),
            (_, None) => "the mirror's branch, to upstream's tip".to_owned(),
        };
        match (self.dry_run, self.outcome) {
            (true, Outcome::UpToDate) | (false, _) => format!("{}: {what}", self.outcome),
            (true, _) => format!("{} (dry run, nothing was pushed): {what}", self.outcome),
        }
    }

    fn moved(&self) -> String {
        match (self.before, self.after) {
            (before, after) if before == after => short(after),
            (None, after) => short(after),
            (before, None) => format!("{}, would move", short(before)),
            (before, after) => format!("{} → {}", short(before), short(after)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        // The others show in the outcome.
        let relation = match self.relation {
            Some(Relation::Diverged) => " (diverged)",
            _ => "",
        };
        match self.base.filter(|base| *base != self.upstream) {
            Some(base) => writeln!(
                f,
                "  upstream  {} → {}{relation}",
                base.short(),
                self.upstream.short()
            )?,
            None => writeln!(f, "  upstream  {}", self.upstream.short())?,
        }
        writeln!(f, "  mirror    {}", self.moved())?;
        if let Some(proof) = &self.proof {
            writeln!(f, "  squash    proven: {proof}")?;
        }
        if !self.crates.is_empty() {
            writeln!(f, "  crates    {}", listed(&self.crates))?;
        }
        if !self.overlay.is_empty() {
            writeln!(f, "  overlay   {}", listed(&self.overlay))?;
        }
        for warning in self.warnings.iter().take(Self::SHOWN) {
            writeln!(f, "  warning   {warning}")?;
        }
        if self.warnings.len() > Self::SHOWN {
            let more = self.warnings.len() - Self::SHOWN;
            writeln!(f, "  warning   and {more} more")?;
        }
        let (received, sent) = (size(self.received_bytes), size(self.sent_bytes));
        write!(
            f,
            "  received {received}, sent {sent}, {:.2} s",
            self.seconds
        )
    }
}

fn short(id: Option<ObjectId>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.short())
}

fn listed(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(Report::SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(Report::SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_text_shows_twelve_warnings_and_the_json_all() {
        let with = |count: usize| Report {
            warnings: (0..count)
                .map(|number| format!("w{number}").into())
                .collect(),
            ..Report::about(ObjectId::from_bytes([1; 20]))
        };
        let text = with(15).to_string();
        assert_eq!(text.matches("  warning   w").count(), 12, "{text}");
        assert!(text.contains("  warning   and 3 more\n"), "{text}");
        assert!(!with(12).to_string().contains("more"));
        let json = serde_json::to_value(with(15)).unwrap();
        assert_eq!(json["warnings"].as_array().unwrap().len(), 15);
        assert_eq!(json.get("overlay_cut"), None);
    }
}
