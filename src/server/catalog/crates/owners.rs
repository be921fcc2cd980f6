//! Who owns which crates, as the registry's dump says.

use rusqlite::{Connection, Row};

use super::CrateCatalog;
use super::name_table::CrateId;
use crate::error::Result;

/// What an owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    /// A person.
    User,
    /// A team of an organisation.
    Team,
}

/// An owner of a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// A user or a team.
    pub kind: OwnerKind,
    /// Its number on the registry.
    pub id: u64,
    /// Its login; that of a team is such as `github:ORGANISATION:TEAM`.
    pub login: String,
    /// Its name.
    pub name: Option<String>,
    /// The address of its picture.
    pub avatar: Option<String>,
}

impl OwnerKind {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::User => 0,
            Self::Team => 1,
        }
    }
}

impl Owner {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kind: u8 = row.get(0)?;
        Ok(Self {
            kind: match kind {
                0 => OwnerKind::User,
                _ => OwnerKind::Team,
            },
            id: row.get(1)?,
            login: row.get(2)?,
            name: row.get(3)?,
            avatar: row.get(4)?,
        })
    }
}

/// Reads the owners of a crate, users first.
pub(super) fn of(database: &Connection, id: CrateId) -> rusqlite::Result<Vec<Owner>> {
    let mut query = database.prepare_cached(
        "SELECT a.kind, a.id, a.login, a.name, a.avatar FROM owners o
         JOIN accounts a ON a.kind = o.kind AND a.id = o.account
         WHERE o.crate = ?1 ORDER BY a.kind, a.id",
    )?;
    query.query_map([id], Owner::of)?.collect()
}

impl CrateCatalog {
    /// Returns the owners of a crate, users first; none where no dump was imported.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn owners(&self, id: CrateId) -> Result<Vec<Owner>> {
        self.read(|database| of(database, id))
    }
}
