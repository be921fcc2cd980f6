//! Keywords and categories: which there are, and which crates have them.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::CrateCatalog;
use super::name_table::CrateId;
use crate::error::Result;

/// What a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LabelKind {
    /// A keyword, in lower case.
    Keyword,
    /// A category, by its slug; `a::b` is one below `a`.
    Category,
}

/// A keyword or a category that crates have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The keyword, or the category's slug.
    pub label: String,
    /// What the registry's dump calls it.
    pub name: Option<String>,
    /// What a category is for, where the dump says so.
    pub description: Option<String>,
    /// Since when the registry has it, in seconds since 1970.
    pub created: Option<i64>,
    /// How many crates have it; of a category that was listed, also those below it.
    pub crates: u64,
}

impl LabelKind {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Keyword => 0,
            Self::Category => 1,
        }
    }
}

impl Label {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            label: row.get(0)?,
            name: row.get(1)?,
            description: row.get(2)?,
            created: row.get(3)?,
            crates: row.get(4)?,
        })
    }
}

const COLUMNS: &str = "label, name, description, created, crates";

/// Replaces what a crate is labelled with.
pub(super) fn replace(
    database: &Connection,
    id: CrateId,
    keywords: &[String],
    categories: &[String],
) -> rusqlite::Result<()> {
    database
        .prepare_cached("DELETE FROM crate_labels WHERE crate = ?1")?
        .execute([id])?;
    let mut put = database.prepare_cached(
        "INSERT OR IGNORE INTO crate_labels (kind, label, crate) VALUES (?1, lower(?2), ?3)",
    )?;
    for (kind, labels) in [
        (LabelKind::Keyword, keywords),
        (LabelKind::Category, categories),
    ] {
        for label in labels {
            put.execute((kind.number(), label, id))?;
        }
    }
    Ok(())
}

/// Reads one.
pub(super) fn find(
    database: &Connection,
    kind: LabelKind,
    label: &str,
) -> rusqlite::Result<Option<Label>> {
    let query = format!("SELECT {COLUMNS} FROM labels WHERE kind = ?1 AND label = lower(?2)");
    let mut query = database.prepare_cached(&query)?;
    query
        .query_row((kind.number(), label), Label::of)
        .optional()
}

/// Lists a part of the keywords, by name or the most used first, and counts them all.
pub(super) fn keywords(
    database: &Connection,
    by_crates: bool,
    offset: usize,
    limit: usize,
) -> rusqlite::Result<(Vec<Label>, usize)> {
    let order = if by_crates {
        "crates DESC, label"
    } else {
        "label"
    };
    let query = format!(
        "SELECT {COLUMNS} FROM labels WHERE kind = 0 AND crates > 0 ORDER BY {order} LIMIT ?2 OFFSET ?1"
    );
    let mut query = database.prepare_cached(&query)?;
    let found = query.query_map((offset, limit), Label::of)?;
    let found: rusqlite::Result<Vec<_>> = found.collect();
    let count = "SELECT count(*) FROM labels WHERE kind = 0 AND crates > 0";
    let total = database
        .prepare_cached(count)?
        .query_row([], |row| row.get(0))?;
    Ok((found?, total))
}

/// Lists all categories by their slugs, which are a few hundred at most on crates.io.
pub(super) fn categories(database: &Connection) -> rusqlite::Result<Vec<Label>> {
    let query = format!("SELECT {COLUMNS} FROM labels WHERE kind = 1 ORDER BY label LIMIT 10000");
    let mut query = database.prepare_cached(&query)?;
    query.query_map([], Label::of)?.collect()
}

impl CrateCatalog {
    /// Returns a keyword or a category, in any case.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn label(&self, kind: LabelKind, label: &str) -> Result<Option<Label>> {
        self.read(|database| find(database, kind, label))
    }

    /// Returns these of the keywords or categories that there are, in their order.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn labels(&self, kind: LabelKind, wanted: &[String]) -> Result<Vec<Label>> {
        self.read(|database| {
            let found = wanted.iter().map(|label| find(database, kind, label));
            let found: rusqlite::Result<Vec<_>> = found.collect();
            Ok(found?.into_iter().flatten().collect())
        })
    }

    /// Lists a part of the keywords, by name or the most used first, and says how many there are.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn keywords(
        &self,
        by_crates: bool,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Label>, usize)> {
        self.read(|database| keywords(database, by_crates, offset, limit))
    }

    /// Lists all categories, by their slugs.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn categories(&self) -> Result<Vec<Label>> {
        self.read(categories)
    }
}
