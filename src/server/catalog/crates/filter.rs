//! Which crates a list is about: all of them, or those that pass a filter.

use rusqlite::{Connection, ToSql};

use super::labels::LabelKind;
use super::names::Names;
use super::owners::OwnerKind;
use super::rank_set::RankSet;

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

    /// Finds the crates that pass; `None` where all do.
    pub(super) fn passing(
        &self,
        names: &Names,
        database: &Connection,
    ) -> rusqlite::Result<Option<RankSet>> {
        let mut passing = Passing(None);
        let ids = |query: &str, parameters: &[&dyn ToSql]| -> rusqlite::Result<RankSet> {
            let mut query = database.prepare_cached(query)?;
            let ids = query.query_map(parameters, |row| row.get(0))?;
            Ok(names.ranks_of(ids.collect::<rusqlite::Result<Vec<_>>>()?))
        };
        for keyword in &self.keywords {
            let query = "SELECT crate FROM crate_labels WHERE kind = ?1 AND label = lower(?2)";
            let kind = LabelKind::Keyword.number();
            passing.narrow(ids(query, &[&kind, keyword])?);
        }
        if let Some(category) = &self.category {
            // `;` follows `:`, so that what lies between is below the category.
            let query = "SELECT crate FROM crate_labels WHERE kind = ?1 AND
                (label = lower(?2) OR (label >= lower(?2) || '::' AND label < lower(?2) || ':;'))";
            let kind = LabelKind::Category.number();
            passing.narrow(ids(query, &[&kind, category])?);
        }
        for (kind, owner) in &self.owners {
            let query = "SELECT crate FROM owners WHERE kind = ?1 AND account = ?2";
            // No account has a number that SQLite cannot hold.
            let owner = i64::try_from(*owner).unwrap_or(-1);
            passing.narrow(ids(query, &[&kind.number(), &owner])?);
        }
        if self.without_yanked {
            let query = "SELECT id FROM crates WHERE NOT is_yanked";
            passing.narrow(ids(query, &[])?);
        }
        if let Some(letter) = self.letter {
            let start: String = letter.to_lowercase().collect();
            passing.narrow(names.ranks_at(names.prefixed(&start)));
        }
        if !self.names.is_empty() {
            let lower = self.names.iter().map(|name| name.to_ascii_lowercase());
            let named = lower.flat_map(|name| names.exact(&name));
            passing.narrow(names.ranks_at(named));
        }
        Ok(passing.0)
    }
}

/// The crates that pass so far; all of them where nothing was asked.
struct Passing(Option<RankSet>);

impl Passing {
    fn narrow(&mut self, ranks: RankSet) {
        match &mut self.0 {
            Some(before) => before.keep(&ranks),
            all @ None => *all = Some(ranks),
        }
    }
}
