//! What a probe did, in one line, and what keeps cargo from using what it takes.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// What a probe did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// All is well.
    Nothing,
    /// The preferred side is down, and cargo takes the other one already.
    StillDown,
    /// The preferred side failed, but not often enough in a row.
    WaitsToLeave { so_far: u32, of: u32 },
    /// The preferred side is back, but not for long enough.
    WaitsToReturn { so_far: u32, of: u32 },
    /// cargo takes the other side now.
    Left { after: u32 },
    /// cargo takes the preferred side again.
    Returned,
    /// cargo takes the mirror, since nothing says that it may take crates.io.
    Closed,
}

impl Did {
    fn outcome(self) -> &'static str {
        match self {
            Self::Nothing | Self::StillDown => "nothing",
            Self::WaitsToLeave { .. } | Self::WaitsToReturn { .. } => "waiting",
            Self::Left { .. } => "switched",
            Self::Returned | Self::Closed => "switched-back",
        }
    }
}

/// What a probe saw and did.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeReport {
    /// `nothing`, `waiting`, `switched` or `switched-back`.
    outcome: &'static str,
    /// What cargo takes now: `crates-io` or `mirror`; in a dry run, would take.
    takes: &'static str,
    /// Why one of the two is down.
    reason: Option<String>,
    /// The file that is there while cargo takes the mirror.
    file: PathBuf,
    /// Nothing was changed.
    dry_run: bool,
    /// How many probes in a row spoke for a switch.
    in_a_row: u32,
    /// What keeps cargo from using what it takes.
    warnings: Vec<String>,
    #[serde(skip)]
    did: Did,
    /// The preferred side and the other one, in words.
    #[serde(skip)]
    sides: (String, String),
    /// The mirror that cargo takes where nothing was changed, if it is another one than was looked at.
    #[serde(skip)]
    other_mirror: Option<String>,
}

impl ProbeReport {
    pub(super) fn new(
        did: Did,
        takes_mirror: bool,
        sides: (String, String),
        reason: Option<String>,
        file: PathBuf,
        dry_run: bool,
    ) -> Self {
        Self {
            outcome: did.outcome(),
            takes: if takes_mirror { "mirror" } else { "crates-io" },
            reason,
            file,
            dry_run,
            in_a_row: match did {
                Did::WaitsToLeave { so_far, .. } | Did::WaitsToReturn { so_far, .. } => so_far,
                Did::Left { after } => after,
                _ => 0,
            },
            warnings: Vec::new(),
            did,
            sides,
            other_mirror: None,
        }
    }

    /// Names the mirror that cargo takes, where that is another one than was looked at.
    pub(super) fn taking(self, other_mirror: Option<String>) -> Self {
        Self {
            other_mirror,
            ..self
        }
    }

    /// Adds a warning, if there is one.
    pub(super) fn warn(mut self, warning: Option<String>) -> Self {
        self.warnings.extend(warning);
        self
    }
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (preferred, other) = &self.sides;
        let takes = if self.dry_run {
            "would take"
        } else {
            "now takes"
        };
        // The first where the preferred side is the mirror, the second where it is the other one.
        let still = self.other_mirror.as_deref();
        let (it, replacing) = (still.unwrap_or("it"), still.unwrap_or(other));
        match self.did {
            Did::Nothing => match still {
                None => write!(f, "{preferred} answers; nothing to do")?,
                Some(still) => write!(f, "{preferred} answers; cargo takes {still}")?,
            },
            Did::StillDown => write!(f, "{preferred} is still down; cargo takes {replacing}")?,
            Did::WaitsToLeave { so_far, of } => write!(
                f,
                "{preferred} is down for the {} time in a row, of {of}; cargo still takes {it}",
                ordinal(so_far)
            )?,
            Did::WaitsToReturn { so_far, of } => write!(
                f,
                "{preferred} answers for the {} time in a row, of {of}; cargo still takes {replacing}",
                ordinal(so_far)
            )?,
            Did::Left { after: 1 } => write!(f, "{preferred} is down: cargo {takes} {other}")?,
            Did::Left { after } => write!(
                f,
                "{preferred} is down for the {} time in a row: cargo {takes} {other}",
                ordinal(after)
            )?,
            Did::Returned => match self.reason {
                None => write!(f, "{preferred} is back: cargo {takes} it")?,
                Some(_) => write!(
                    f,
                    "{preferred} is back, and {other} is down: cargo {takes} {preferred}"
                )?,
            },
            Did::Closed => write!(
                f,
                "cargo {takes} {preferred}: it has not said that {other} may replace it"
            )?,
        }
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  warning   {warning}")?;
        }
        Ok(())
    }
}

/// Writes a number as English orders: 1st, 2nd, 3rd, 4th, 11th.
fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_as_in_english() {
        let written = [1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 101, 111].map(ordinal);
        let wanted = [
            "1st", "2nd", "3rd", "4th", "10th", "11th", "12th", "13th", "21st", "22nd", "101st",
            "111th",
        ];
        assert_eq!(written, wanted);
    }
}
