//! The rows of the tables: how they are written, and how they are read.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::labels;
use super::name_table::CrateId;
use super::names::{Facts, Names, NamesReader};
use crate::git::ObjectId;
use crate::index::release::CrateSummary;
use crate::server::crate_archive::Manifest;

/// A crate, as the catalog knows it. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrateRow {
    /// Its number in the catalog.
    pub id: CrateId,
    /// Its name as its author wrote it.
    pub name: String,
    /// How many versions it has.
    pub versions: u64,
    /// The version that is taken where none is asked for.
    pub default_version: String,
    /// The version that was published last.
    pub newest_version: String,
    /// The highest version that is not yanked.
    pub max_version: Option<String>,
    /// The highest version that is neither yanked nor a pre-release.
    pub max_stable_version: Option<String>,
    /// Whether all versions are yanked.
    pub is_yanked: bool,
    /// The oldest Rust that the default version builds with.
    pub rust_version: Option<String>,
    /// When the first version was published.
    pub created: Option<i64>,
    /// When the last version was published.
    pub updated: Option<i64>,
    /// How many crates need it.
    pub dependents: u64,
    /// How often it was downloaded from the registry.
    pub downloads: Option<u64>,
    /// How often it was in the last 90 days.
    pub recent_downloads: Option<u64>,
    /// What it is, in a sentence.
    pub description: Option<String>,
    /// Its keywords.
    pub keywords: Vec<String>,
    /// Its categories, by their slugs.
    pub categories: Vec<String>,
    /// Its licence, an SPDX expression.
    pub license: Option<String>,
    /// The address of its page.
    pub homepage: Option<String>,
    /// The address of its documentation.
    pub documentation: Option<String>,
    /// The address of its sources.
    pub repository: Option<String>,
    /// The version whose crate file said so, where one did.
    pub described: Option<String>,
    /// Whether the registry's dump said so.
    pub is_dumped: bool,
}

/// What decides between crates that match equally well: downloads where they are known, else dependents.
const WEIGHT: &str = "coalesce(downloads, dependents)";

const COLUMNS: &str = "id, name, versions, default_version, newest_version, max_version, max_stable_version, is_yanked,
    rust_version, created, updated, dependents, downloads, recent_downloads, description, keywords, categories, license,
    homepage, documentation, repository, described, is_dumped";

impl CrateRow {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            versions: row.get(2)?,
            default_version: row.get(3)?,
            newest_version: row.get(4)?,
            max_version: row.get(5)?,
            max_stable_version: row.get(6)?,
            is_yanked: row.get(7)?,
            rust_version: row.get(8)?,
            created: row.get(9)?,
            updated: row.get(10)?,
            dependents: row.get(11)?,
            downloads: row.get(12)?,
            recent_downloads: row.get(13)?,
            description: row.get(14)?,
            keywords: row.get(15).map(words)?,
            categories: row.get(16).map(words)?,
            license: row.get(17)?,
            homepage: row.get(18)?,
            documentation: row.get(19)?,
            repository: row.get(20)?,
            described: row.get(21)?,
            is_dumped: row.get(22)?,
        })
    }
}

/// Reads the crates with these ids, in their order, as far as they are there.
pub(super) fn crate_rows(
    database: &Connection,
    ids: &[CrateId],
) -> rusqlite::Result<Vec<CrateRow>> {
    let query = format!("SELECT {COLUMNS} FROM crates WHERE id = ?1");
    let mut query = database.prepare_cached(&query)?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(query.query_row([id], CrateRow::of).optional()?);
    }
    Ok(found)
}

/// Reads the crate with this id.
pub(super) fn crate_row(database: &Connection, id: CrateId) -> rusqlite::Result<Option<CrateRow>> {
    Ok(crate_rows(database, &[id])?.pop())
}

/// Returns the query for what is kept in memory of a crate.
fn facts_where(condition: &str) -> String {
    format!(
        "SELECT name, id, {WEIGHT}, coalesce(recent_downloads, 0), coalesce(created, 0), coalesce(updated, 0), entry
         FROM crates {condition}"
    )
}

impl Facts {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(1)?,
            weight: row.get(2)?,
            recent_downloads: row.get(3)?,
            created: row.get(4)?,
            updated: row.get(5)?,
            blob: ObjectId::from_bytes(row.get(6)?),
        })
    }
}

/// Reads what is kept in memory of each crate; those that were known `before` share its names if they still have them.
pub(super) fn names(database: &Connection, before: Option<&Names>) -> rusqlite::Result<Names> {
    let mut query = database.prepare_cached(&facts_where(""))?;
    let mut reader = NamesReader::with_capacity(before.map_or(0, Names::len));
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        reader.push(row.get_ref(0)?.as_str()?, Facts::of(row)?);
    }
    Ok(reader.finish(before))
}

/// Reads what is kept in memory of a crate; `None` if there is none with this id.
pub(super) fn facts_of(
    database: &Connection,
    id: CrateId,
) -> rusqlite::Result<Option<(String, Facts)>> {
    let mut query = database.prepare_cached(&facts_where("WHERE id = ?1"))?;
    let read = query.query_row([id], |row| Ok((row.get(0)?, Facts::of(row)?)));
    read.optional()
}

/// Returns the id of the crate with this name, in any case.
pub(super) fn id_of(database: &Connection, name: &str) -> rusqlite::Result<Option<CrateId>> {
    let mut query =
        database.prepare_cached("SELECT id FROM crates WHERE name = ?1 COLLATE NOCASE")?;
    query.query_row([name], |row| row.get(0)).optional()
}

/// Returns an id that no crate has yet.
pub(super) fn next_id(database: &Connection) -> rusqlite::Result<CrateId> {
    let mut query = database.prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM crates")?;
    query.query_row([], |row| row.get(0))
}

/// Writes what the index says of a crate; what else is known of it stays.
pub(super) fn put(
    database: &Connection,
    id: CrateId,
    blob: ObjectId,
    name: &str,
    summary: &CrateSummary,
) -> rusqlite::Result<()> {
    let text = |version: &Option<semver::Version>| version.as_ref().map(ToString::to_string);
    let mut put = database.prepare_cached(
        "INSERT INTO crates (id, name, entry, versions, default_version, newest_version, max_version,
            max_stable_version, is_yanked, rust_version, created, updated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET
            name = excluded.name, entry = excluded.entry, versions = excluded.versions,
            default_version = excluded.default_version, newest_version = excluded.newest_version,
            max_version = excluded.max_version, max_stable_version = excluded.max_stable_version,
            is_yanked = excluded.is_yanked, rust_version = excluded.rust_version,
            created = coalesce(excluded.created, created), updated = coalesce(excluded.updated, updated)",
    )?;
    put.execute(params![
        id,
        name,
        blob.as_bytes(),
        summary.versions,
        summary.default.version.to_string(),
        summary.newest.to_string(),
        text(&summary.max),
        text(&summary.max_stable),
        summary.is_yanked,
        summary.default.rust_version,
        summary.created.map(jiff::Timestamp::as_second),
        summary.updated.map(jiff::Timestamp::as_second),
    ])?;
    Ok(())
}

/// Writes what a crate needs.
pub(super) fn depend(
    database: &Connection,
    id: CrateId,
    dependencies: impl IntoIterator<Item = CrateId>,
) -> rusqlite::Result<()> {
    let mut put = database.prepare_cached(
        "INSERT OR IGNORE INTO dependencies (dependency, dependent) VALUES (?1, ?2)",
    )?;
    for dependency in dependencies {
        put.execute([dependency, id])?;
    }
    Ok(())
}

/// Replaces what a crate needs, and counts the dependents of what it needs no more or anew; returns those.
pub(super) fn replace_dependencies(
    database: &Connection,
    id: CrateId,
    dependencies: &[CrateId],
) -> rusqlite::Result<Vec<CrateId>> {
    let before: BTreeSet<_> = needed_by(database, id)?.into_iter().collect();
    let after: BTreeSet<_> = dependencies.iter().copied().collect();
    let removed: Vec<_> = before.difference(&after).copied().collect();
    let added: Vec<_> = after.difference(&before).copied().collect();
    let mut remove = database
        .prepare_cached("DELETE FROM dependencies WHERE dependency = ?1 AND dependent = ?2")?;
    for dependency in &removed {
        remove.execute([*dependency, id])?;
    }
    depend(database, id, added.iter().copied())?;
    let mut count =
        database.prepare_cached("UPDATE crates SET dependents = dependents + ?2 WHERE id = ?1")?;
    for (dependencies, change) in [(&removed, -1), (&added, 1)] {
        for dependency in dependencies {
            count.execute(params![dependency, change])?;
        }
    }
    Ok([removed, added].concat())
}

fn needed_by(database: &Connection, id: CrateId) -> rusqlite::Result<Vec<CrateId>> {
    let mut query =
        database.prepare_cached("SELECT dependency FROM dependencies WHERE dependent = ?1")?;
    query.query_map([id], |row| row.get(0))?.collect()
}

/// Counts the dependents of all crates.
pub(super) fn count_dependents(database: &Connection) -> rusqlite::Result<()> {
    database.execute_batch(
        "UPDATE crates SET dependents =
            (SELECT count(*) FROM dependencies WHERE dependency = crates.id)",
    )
}

/// Removes a crate; returns it and what it needed.
pub(super) fn remove(database: &Connection, id: CrateId) -> rusqlite::Result<Vec<CrateId>> {
    let mut touched = replace_dependencies(database, id, &[])?;
    touched.push(id);
    for table in [
        "DELETE FROM dependencies WHERE dependency = ?1",
        "DELETE FROM words WHERE rowid = ?1",
        "DELETE FROM versions WHERE crate = ?1",
        "DELETE FROM crate_labels WHERE crate = ?1",
        "DELETE FROM owners WHERE crate = ?1",
        "DELETE FROM crates WHERE id = ?1",
    ] {
        database.prepare_cached(table)?.execute([id])?;
    }
    Ok(touched)
}

/// Makes the words of a crate findable.
pub(super) fn index_words(database: &Connection, id: CrateId) -> rusqlite::Result<()> {
    for change in [
        "DELETE FROM words WHERE rowid = ?1",
        "INSERT INTO words (rowid, name, keywords, description)
         SELECT id, name, keywords, coalesce(description, '') FROM crates WHERE id = ?1",
    ] {
        database.prepare_cached(change)?.execute([id])?;
    }
    Ok(())
}

/// Writes what the manifest of a version says of the crate.
pub(super) fn describe(
    database: &Connection,
    id: CrateId,
    version: &str,
    manifest: &Manifest,
) -> rusqlite::Result<()> {
    let mut put = database.prepare_cached(
        "UPDATE crates SET description = ?2, keywords = ?3, categories = ?4, license = ?5, homepage = ?6,
            documentation = ?7, repository = ?8, described = ?9, is_dumped = 0
         WHERE id = ?1",
    )?;
    put.execute(params![
        id,
        manifest.description,
        manifest.keywords.join(" "),
        manifest.categories.join(" "),
        manifest.license,
        manifest.homepage,
        manifest.documentation,
        manifest.repository,
        version,
    ])?;
    labels::replace(database, id, &manifest.keywords, &manifest.categories)?;
    index_words(database, id)
}

/// Returns the default versions whose manifests were not read, of those that are wanted: each with its crate's name.
pub(super) fn undescribed(
    database: &Connection,
    is_wanted: impl Fn(&str, &str) -> bool,
) -> rusqlite::Result<Vec<(String, String)>> {
    let mut query = database.prepare_cached(
        "SELECT name, default_version FROM crates WHERE described IS NOT default_version",
    )?;
    let mut rows = query.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, version) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
        if is_wanted(name, version) {
            found.push((name.to_owned(), version.to_owned()));
        }
    }
    Ok(found)
}

/// Gives all crates ids in the order of their weight, the heaviest first, and makes their words findable.
pub(super) fn order_by_weight(database: &Connection) -> rusqlite::Result<()> {
    // An id is negated on the way: it must not be that of a crate that is yet to move.
    database.execute_batch(&format!(
        "CREATE TEMP TABLE places (old INTEGER PRIMARY KEY, new INTEGER NOT NULL);
        INSERT INTO places SELECT id, row_number() OVER (ORDER BY {WEIGHT} DESC, name) FROM crates;
        UPDATE crates SET id = -(SELECT new FROM places WHERE old = id);
        UPDATE crates SET id = -id;
        CREATE TEMP TABLE moved AS
            SELECT one.new AS dependency, other.new AS dependent FROM dependencies
            JOIN places one ON one.old = dependency JOIN places other ON other.old = dependent;
        DELETE FROM dependencies;
        INSERT INTO dependencies SELECT dependency, dependent FROM moved ORDER BY 1, 2;
        DROP TABLE moved;
        DROP TABLE places;
        INSERT INTO words (words) VALUES ('delete-all');
        INSERT INTO words (rowid, name, keywords, description)
            SELECT id, name, keywords, coalesce(description, '') FROM crates ORDER BY id;
        INSERT INTO words (words) VALUES ('optimize')"
    ))
}

/// Returns the crates that need this one.
pub(super) fn dependents(database: &Connection, id: CrateId) -> rusqlite::Result<Vec<CrateId>> {
    let mut query =
        database.prepare_cached("SELECT dependent FROM dependencies WHERE dependency = ?1")?;
    query.query_map([id], |row| row.get(0))?.collect()
}
