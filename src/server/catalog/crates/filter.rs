//! Which crates a list is about: all of them, or those that pass a filter.

use std::collections::HashSet;

use rusqlite::{Connection, ToSql};

use super::labels::LabelKind;
use super::names::{CrateId, Entry, Names};
use super::owners::OwnerKind;

/// What a crate must have to be listed. All that is given counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// All these keywords.
    pub keywords: Vec<String>,
    /// This category, or one below it, by its slug.
    pub category: Option<String>,
    /// A name that begins with this letter.
    pub letter: Option<char>,
    /// One of these names, where there are any.
    pub names: Vec<String>,
    /// All these owners, by the registry's numbers.
    pub owners: Vec<(OwnerKind, u64)>,
    /// Leaves out crates whose versions are all yanked.
    pub without_yanked: bool,
}

impl Filter {
    /// Says whether all crates pass.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Finds the crates that pass.
    pub(super) fn passing(
        &self,
        names: &Names,
        database: &Connection,
    ) -> rusqlite::Result<Passing> {
        let mut passing = Passing::default();
        for keyword in &self.keywords {
            let query = "SELECT crate FROM crate_labels WHERE kind = ?1 AND label = lower(?2)";
            let kind = LabelKind::Keyword.number();
            passing.narrow(&ids(database, query, &[&kind, keyword])?);
        }
        if let Some(category) = &self.category {
            // `;` follows `:`, so that what lies between is below the category.
            let query = "SELECT crate FROM crate_labels WHERE kind = ?1 AND
                (label = lower(?2) OR (label >= lower(?2) || '::' AND label < lower(?2) || ':;'))";
            let kind = LabelKind::Category.number();
            passing.narrow(&ids(database, query, &[&kind, category])?);
        }
        for (kind, owner) in &self.owners {
            let query = "SELECT crate FROM owners WHERE kind = ?1 AND account = ?2";
            // No account has a number that SQLite cannot hold.
            let owner = i64::try_from(*owner).unwrap_or(-1);
            passing.narrow(&ids(database, query, &[&kind.number(), &owner])?);
        }
        if self.without_yanked {
            let query = "SELECT id FROM crates WHERE NOT is_yanked";
            passing.narrow(&ids(database, query, &[])?);
        }
        if let Some(letter) = self.letter {
            let start: String = letter.to_lowercase().collect();
            passing.narrow(&ids_of(&names.all()[names.prefixed(&start)]));
        }
        if !self.names.is_empty() {
            let named = self.names.iter().flat_map(|name| {
                let name = name.to_ascii_lowercase();
                &names.all()[names.exact(&name)]
            });
            passing.narrow(&ids_of(named));
        }
        Ok(passing)
    }
}

fn ids(
    database: &Connection,
    query: &str,
    parameters: &[&dyn ToSql],
) -> rusqlite::Result<HashSet<CrateId>> {
    let mut query = database.prepare_cached(query)?;
    query.query_map(parameters, |row| row.get(0))?.collect()
}

fn ids_of<'n>(entries: impl IntoIterator<Item = &'n Entry>) -> HashSet<CrateId> {
    entries.into_iter().map(|entry| entry.facts.id).collect()
}

/// The crates that pass a filter; all of them where there is none.
#[derive(Debug, Default)]
pub(super) struct Passing(Option<HashSet<CrateId>>);

impl Passing {
    fn narrow(&mut self, ids: &HashSet<CrateId>) {
        self.0 = Some(match self.0.take() {
            Some(before) => before.intersection(ids).copied().collect(),
            None => ids.clone(),
        });
    }

    /// Leaves out the results that do not pass.
    pub(super) fn of<'p, 'n: 'p, M: 'p>(
        &'p self,
        results: impl Iterator<Item = (M, &'n Entry)> + 'p,
    ) -> impl Iterator<Item = (M, &'n Entry)> + 'p {
        results.filter(|(_, entry)| {
            let ids = self.0.as_ref();
            ids.is_none_or(|ids| ids.contains(&entry.facts.id))
        })
    }
}
