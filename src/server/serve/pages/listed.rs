//! Crates in lists: results of a search, dependents, near names.

use super::mark::{self, State as Marked};
use super::text::{Moment, Piece, clean, marked, number};
use crate::count::counted;
use crate::server::catalog::crates::CrateRow;
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

/// A crate in a list.
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) name: Vec<Piece>,
    /// Whether it is a private crate.
    pub(super) is_private: bool,
    pub(super) description: Vec<Piece>,
    pub(super) version: String,
    /// What there is to say of that version.
    pub(super) state: Option<Marked>,
    /// Whether the crate file of that version is stored, as far as that is known.
    pub(super) is_stored: bool,
    /// How many use it, with the noun.
    pub(super) usage: String,
    pub(super) updated: Option<Moment>,
}

impl Listed {
    /// Makes it of what is known of a crate of this registry, with these words marked.
    fn new(registry: Registry, row: &CrateRow, searched: &[String]) -> Self {
        let description = row.description.as_deref().unwrap_or_default();
        let noun = |number: u64, one: &'static str, many| if number == 1 { one } else { many };
        let usage = match row.downloads {
            _ if registry.is_private() => counted(row.versions, "version"),
            Some(count) => format!("{} {}", number(count), noun(count, "download", "downloads")),
            None => {
                let count = row.dependents;
                format!(
                    "{} {}",
                    number(count),
                    noun(count, "dependent", "dependents")
                )
            }
        };
        Self {
            path: registry.path(&row.name),
            name: marked(&row.name, searched),
            is_private: registry.is_private(),
            description: marked(&clean(description), searched),
            version: row.default_version.clone(),
            state: row.is_yanked.then_some(("bad", "yanked")),
            is_stored: false,
            usage,
            updated: row.updated.and_then(Moment::of_seconds),
        }
    }

    /// Makes all of a list of the mirror's crates, and marks those whose crate files are stored, and those that the policy holds or denies.
    pub(super) async fn marked(state: &State, rows: &[CrateRow], searched: &[String]) -> Vec<Self> {
        let versions = rows
            .iter()
            .map(|row| (row.name.as_str(), row.default_version.as_str()));
        let stored = state.crate_files.inventory().stored_among(versions).await;
        let rows = rows.iter().map(|row| {
            let listed = Self::new(Registry::Mirror, row, searched);
            let decided = state.decided(&row.name);
            Self {
                is_stored: stored.contains(&row.name),
                state: mark::state(decided.as_deref(), &row.default_version)
                    .or(listed.state)
                    .or(mark::advised(decided.as_deref(), &row.default_version)),
                ..listed
            }
        });
        rows.collect()
    }

    /// Makes all of a list.
    pub(super) fn all(registry: Registry, rows: &[CrateRow], searched: &[String]) -> Vec<Self> {
        let rows = rows.iter();
        rows.map(|row| Self::new(registry, row, searched)).collect()
    }
}

/// The pages of a list, as addresses; `None` at its ends.
pub(super) struct Pages {
    pub(super) number: usize,
    pub(super) last: usize,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

impl Pages {
    /// Makes them of how many rows there are; `address` makes the address of a page.
    pub(super) fn new(
        number: usize,
        rows: usize,
        per_page: usize,
        address: impl Fn(usize) -> String,
    ) -> Self {
        let last = rows.div_ceil(per_page).max(1);
        Self {
            number,
            last,
            before: (number > 1).then(|| address((number - 1).min(last))),
            after: (number < last).then(|| address(number + 1)),
        }
    }
}
