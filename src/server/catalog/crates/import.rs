//! Takes what a dump says into the catalog, in one transaction.
//!
//! What a crate file said of the default version stays: the author's own words, and no older than the dump's. Everything else
//! becomes what the dump says, also nothing. Ids stay: a server beside this process knows them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::import_guard::check;
use super::{CatalogDatabase, CrateCatalog, lock, rows, schema};
use crate::config::DumpSource;
use crate::error::{Error, Kind, Result};
use crate::server::dump::Staged;

/// Which dump was imported last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Import {
    /// Where it came from.
    pub source: String,
    /// The address's `ETag`, or the file's size and time.
    pub tag: Option<String>,
    /// The address's `Last-Modified`.
    pub modified: Option<String>,
    /// When the dump was made, in seconds since 1970.
    pub made: Option<i64>,
    /// When it was imported, or found unchanged.
    pub imported: i64,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// How many crates of the index the dump has.
    pub crates: u64,
    /// How many crates of the dump the index does not have.
    pub unknown: u64,
    /// Of how many it says what they are. Those that crate files described are not counted.
    pub described: u64,
    /// Of how many versions it says something.
    pub versions: u64,
    /// How many crates have owners.
    pub owned: u64,
}

/// What makes a dump unusable that can be read.
#[derive(Debug)]
pub(super) enum ImportError {
    /// A clause such as `it has none of the index's crates`.
    Dump(String),
    /// A clause such as `it says something of 3 crates, and the one before of 200,000`.
    Loss(String),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// What is made of the dump before anything changes. `known` says which of its crates is which of ours; a crate whose default
/// version was described by its crate file is not in `taken`.
const PREPARE: &str = "
    CREATE TABLE dump.known (id INTEGER PRIMARY KEY, crate INTEGER NOT NULL);
    INSERT INTO dump.known
        SELECT d.id, c.id FROM dump.crates d JOIN main.crates c ON c.name = d.name COLLATE NOCASE;
    CREATE UNIQUE INDEX dump.known_by_crate ON known (crate);
    INSERT INTO dump.crate_downloads
        SELECT crate_id, CAST(total(downloads) AS INTEGER) FROM dump.versions
        WHERE NOT EXISTS (SELECT 1 FROM dump.crate_downloads)
        GROUP BY crate_id HAVING count(downloads) > 0;
    CREATE TABLE dump.recent_of (id INTEGER PRIMARY KEY, downloads INTEGER NOT NULL);
    INSERT INTO dump.recent_of
        SELECT v.crate_id, sum(r.downloads) FROM dump.recent r JOIN dump.versions v ON v.id = r.version_id
        GROUP BY v.crate_id;
    CREATE TABLE dump.numbers (
        crate INTEGER PRIMARY KEY, downloads INTEGER, recent INTEGER, first INTEGER, latest INTEGER
    );
    INSERT INTO dump.numbers
        SELECT k.crate, n.downloads,
            coalesce(r.downloads, CASE WHEN EXISTS (SELECT 1 FROM dump.recent) THEN 0 END),
            d.created_at, d.updated_at
        FROM dump.known k JOIN dump.crates d ON d.id = k.id
        LEFT JOIN dump.crate_downloads n ON n.crate_id = k.id LEFT JOIN dump.recent_of r ON r.id = k.id;
";

/// Replaces the tables that are the dump's alone.
const REPLACE: &str = "
    DELETE FROM main.versions;
    INSERT OR IGNORE INTO main.versions
        SELECT k.crate, v.num, v.created_at, v.downloads, v.crate_size, v.license
        FROM dump.versions v JOIN dump.known k ON k.id = v.crate_id WHERE v.num IS NOT NULL
        ORDER BY k.crate, v.num;
    DELETE FROM main.owners;
    INSERT INTO main.owners
        SELECT k.crate, o.owner_kind, o.owner_id FROM dump.crate_owners o JOIN dump.known k ON k.id = o.crate_id
        WHERE o.owner_kind IN (0, 1);
    DELETE FROM main.accounts;
    INSERT INTO main.accounts
        SELECT 0, id, gh_login, name, gh_avatar FROM dump.users
        WHERE gh_login IS NOT NULL AND EXISTS (SELECT 1 FROM main.owners WHERE kind = 0 AND account = users.id);
    INSERT INTO main.accounts
        SELECT 1, id, login, name, avatar FROM dump.teams
        WHERE login IS NOT NULL AND EXISTS (SELECT 1 FROM main.owners WHERE kind = 1 AND account = teams.id);
";

/// Writes what the dump says of each crate. Words and labels are written anew only where they change: from one day to the next
/// that is a hundredth.
const DESCRIBE: &str = "
    UPDATE main.crates SET downloads = NULL, recent_downloads = NULL
        WHERE downloads IS NOT NULL AND id NOT IN (SELECT crate FROM dump.numbers);
    UPDATE main.crates SET downloads = n.downloads, recent_downloads = n.recent,
            created = coalesce(created, n.first), updated = coalesce(updated, n.latest)
        FROM dump.numbers n WHERE n.crate = crates.id;
    CREATE TABLE dump.taken (
        crate INTEGER PRIMARY KEY, is_dumped INTEGER NOT NULL, description TEXT, homepage TEXT, documentation TEXT,
        repository TEXT, license TEXT, keywords TEXT NOT NULL, categories TEXT NOT NULL
    );
    INSERT INTO dump.taken
        SELECT c.id, k.id IS NOT NULL, d.description, d.homepage, d.documentation, d.repository,
            coalesce(
                (SELECT license FROM main.versions WHERE crate = c.id AND num = c.default_version),
                (SELECT v.license FROM dump.default_versions f JOIN dump.versions v ON v.id = f.version_id
                    WHERE f.crate_id = k.id)
            ),
            coalesce((SELECT group_concat(w.keyword, ' ' ORDER BY w.keyword) FROM dump.crates_keywords l
                JOIN dump.keywords w ON w.id = l.keyword_id WHERE l.crate_id = k.id), ''),
            coalesce((SELECT group_concat(w.slug, ' ' ORDER BY w.slug) FROM dump.crates_categories l
                JOIN dump.categories w ON w.id = l.category_id WHERE l.crate_id = k.id), '')
        FROM main.crates c LEFT JOIN dump.known k ON k.crate = c.id LEFT JOIN dump.crates d ON d.id = k.id
        WHERE c.described IS NOT c.default_version AND (k.id IS NOT NULL OR c.is_dumped);
    CREATE TABLE dump.reworded (crate INTEGER PRIMARY KEY);
    INSERT INTO dump.reworded
        SELECT t.crate FROM dump.taken t JOIN main.crates c ON c.id = t.crate
        WHERE c.description IS NOT t.description OR c.keywords IS NOT t.keywords;
    CREATE TABLE dump.relabelled (crate INTEGER PRIMARY KEY);
    INSERT INTO dump.relabelled
        SELECT t.crate FROM dump.taken t JOIN main.crates c ON c.id = t.crate
        WHERE c.keywords IS NOT t.keywords OR c.categories IS NOT t.categories;
    UPDATE main.crates SET is_dumped = t.is_dumped, described = NULL, description = t.description, homepage = t.homepage,
            documentation = t.documentation, repository = t.repository, license = t.license,
            keywords = t.keywords, categories = t.categories
        FROM dump.taken t WHERE t.crate = crates.id;
    DELETE FROM main.words WHERE rowid IN (SELECT crate FROM dump.reworded);
    INSERT INTO main.words (rowid, name, keywords, description)
        SELECT c.id, c.name, c.keywords, coalesce(c.description, '')
        FROM dump.reworded r JOIN main.crates c ON c.id = r.crate;
";

/// Writes which crates have which keywords and categories, and what those are.
const LABEL: &str = "
    DELETE FROM main.crate_labels WHERE crate IN (SELECT crate FROM dump.relabelled);
    INSERT OR IGNORE INTO main.crate_labels
        SELECT 0, lower(w.keyword), k.crate FROM dump.relabelled r JOIN dump.known k ON k.crate = r.crate
        JOIN dump.crates_keywords l ON l.crate_id = k.id JOIN dump.keywords w ON w.id = l.keyword_id
        WHERE w.keyword IS NOT NULL;
    INSERT OR IGNORE INTO main.crate_labels
        SELECT 1, lower(w.slug), k.crate FROM dump.relabelled r JOIN dump.known k ON k.crate = r.crate
        JOIN dump.crates_categories l ON l.crate_id = k.id JOIN dump.categories w ON w.id = l.category_id
        WHERE w.slug IS NOT NULL;
    UPDATE main.labels SET name = NULL, description = NULL, created = NULL;
    INSERT INTO main.labels (kind, label, name, created)
        SELECT 0, lower(keyword), keyword, created_at FROM dump.keywords WHERE keyword IS NOT NULL
        ON CONFLICT (kind, label) DO UPDATE SET name = excluded.name, created = excluded.created;
    INSERT INTO main.labels (kind, label, name, description, created)
        SELECT 1, lower(slug), category, description, created_at FROM dump.categories WHERE slug IS NOT NULL
        ON CONFLICT (kind, label) DO UPDATE SET
            name = excluded.name, description = excluded.description, created = excluded.created;
    DELETE FROM main.labels WHERE crates = 0 AND (kind = 0 OR name IS NULL);
";

/// Takes a dump whose tables are in this database. A dry run only counts.
pub(super) fn import(
    database: &mut Connection,
    dump: &Path,
    about: &Import,
    is_dry: bool,
) -> Result<Imported, ImportError> {
    database.execute("ATTACH ?1 AS dump", [dump.to_string_lossy()])?;
    // Read again where it is lost.
    database.pragma_update(Some("dump"), "journal_mode", "MEMORY")?;
    let change = database.transaction_with_behavior(match is_dry {
        true => TransactionBehavior::Deferred,
        false => TransactionBehavior::Immediate,
    })?;
    change.execute_batch(PREPARE)?;
    check(&change)?;
    if is_dry {
        let would = counted_before(&change);
        change.rollback()?;
        return Ok(would?);
    }
    change.execute_batch(REPLACE)?;
    change.execute_batch(DESCRIBE)?;
    change.execute_batch(LABEL)?;
    remember(&change, about, false)?;
    let done = counted(&change)?;
    change.commit()?;
    // What was written lies twice on the disk until then; a reader that is busy delays it.
    let _ = database.query_row("PRAGMA main.wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    Ok(done)
}

fn counted(change: &Transaction<'_>) -> rusqlite::Result<Imported> {
    let count = |query: &str| change.query_row(query, [], |row| row.get(0));
    Ok(Imported {
        crates: count("SELECT count(*) FROM dump.known")?,
        unknown: count(
            "SELECT (SELECT count(*) FROM dump.crates) - (SELECT count(*) FROM dump.known)",
        )?,
        described: count("SELECT count(description) FROM main.crates WHERE is_dumped")?,
        versions: count("SELECT count(*) FROM main.versions")?,
        owned: count("SELECT count(DISTINCT crate) FROM main.owners")?,
    })
}

/// Counts the same of a dump that is not taken.
fn counted_before(change: &Transaction<'_>) -> rusqlite::Result<Imported> {
    let count = |query: &str| change.query_row(query, [], |row| row.get(0));
    Ok(Imported {
        crates: count("SELECT count(*) FROM dump.known")?,
        unknown: count("SELECT (SELECT count(*) FROM dump.crates) - (SELECT count(*) FROM dump.known)")?,
        described: count(
            "SELECT count(d.description) FROM dump.known k JOIN dump.crates d ON d.id = k.id
             JOIN main.crates c ON c.id = k.crate WHERE c.described IS NOT c.default_version",
        )?,
        versions: count(
            "SELECT count(*) FROM dump.versions v JOIN dump.known k ON k.id = v.crate_id WHERE v.num IS NOT NULL",
        )?,
        owned: count(
            "SELECT count(DISTINCT o.crate_id) FROM dump.crate_owners o JOIN dump.known k ON k.id = o.crate_id
             WHERE o.owner_kind IN (0, 1)",
        )?,
    })
}

/// Writes down which dump was imported, or left: an import makes one that was left before it a thing of the past.
fn remember(database: &Connection, about: &Import, is_left: bool) -> rusqlite::Result<()> {
    database.execute("DELETE FROM imports WHERE is_left OR NOT ?1", [is_left])?;
    database.execute(
        "INSERT INTO imports (source, tag, modified, made, imported, is_left) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            about.source,
            about.tag,
            about.modified,
            about.made,
            about.imported,
            is_left
        ],
    )?;
    Ok(())
}

/// Reads which dump was imported last, or which one was left since.
pub(super) fn last(database: &Connection, is_left: bool) -> rusqlite::Result<Option<Import>> {
    let mut query = database.prepare_cached(
        "SELECT source, tag, modified, made, imported FROM imports WHERE is_left = ?1",
    )?;
    let read = query.query_row([is_left], |row| {
        Ok(Import {
            source: row.get(0)?,
            tag: row.get(1)?,
            modified: row.get(2)?,
            made: row.get(3)?,
            imported: row.get(4)?,
        })
    });
    read.optional()
}

impl CatalogDatabase {
    /// Takes what a dump says of the crates of the index, in one transaction. It takes some ten seconds, during which everything can be
    /// read; [`CrateCatalog::take_in_changes`] then orders searches by its downloads. A dry run only counts.
    ///
    /// # Errors
    /// `guard` if the dump has much less than the one before; `server` if it has none of the index's crates or is not what a registry
    /// makes, or if the database cannot be read or written; the catalog then stays as it was.
    pub fn import(&self, dump: &Staged, about: &Import, is_dry: bool) -> Result<Imported> {
        // Held to the end: other changes of this process wait, and not for SQLite's lock, which gives up.
        let _writer = lock(&self.writer);
        let imported = schema::importer(&self.path)
            .map_err(ImportError::from)
            .and_then(|mut database| import(&mut database, &dump.path(), about, is_dry));
        imported.map_err(|error| match error {
            ImportError::Database(error) => self.failed(error),
            ImportError::Loss(what) => {
                let text = format!("the dump of {} is not imported: {what}", about.source);
                Error::new(Kind::Guard, text).advise(
                    "Nothing was changed. If it is the right one, stop the server and run `crates-ferry catalog rebuild`: a new catalog takes \
                     any dump.",
                )
            }
            ImportError::Dump(what) => {
                let text = format!("the dump of {} cannot be used: {what}", about.source);
                Error::new(Kind::Server, text).advise(
                    "Nothing was changed. Import the dump of the registry whose index this server has.",
                )
            }
        })
    }

    /// Writes down that the last dump is still the current one.
    ///
    /// # Errors
    /// `server` if the database cannot be written.
    pub fn imported_again(&self, about: &Import) -> Result<()> {
        self.write(|database| remember(database, about, false))
    }

    /// Writes down which dump a source has that is not imported.
    ///
    /// # Errors
    /// `server` if the database cannot be written.
    pub fn left(&self, about: &Import) -> Result<()> {
        self.write(|database| remember(database, about, true))
    }

    /// Returns what is known of the dump that this source had when it was last asked: whether it was imported or left.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn last_of(&self, source: &DumpSource) -> Result<Option<Import>> {
        let both = self.read(|database| Ok([last(database, true)?, last(database, false)?]))?;
        // What was left is newer than what was imported.
        let mut both = both.into_iter().flatten();
        Ok(both.find(|dump| dump.source == source.to_string()))
    }

    /// Returns which dump was imported last.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn last_import(&self) -> Result<Option<Import>> {
        self.read(|database| last(database, false))
    }
}

impl CrateCatalog {
    /// Returns which dump was imported last.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn last_import(&self) -> Result<Option<Import>> {
        self.database.last_import()
    }

    /// Returns what is known of the dump that this source had when it was last asked.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn last_of(&self, source: &DumpSource) -> Result<Option<Import>> {
        self.database.last_of(source)
    }

    /// Takes in what an import wrote, of this process or another one; says whether there was anything.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn take_in_changes(&self) -> Result<bool> {
        let writer = lock(&self.database.writer);
        let version = data_version(&writer).map_err(|error| self.failed(error))?;
        if version == self.data_version.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let names = rows::names(&writer, Some(&self.names.load()));
        let names = names.map_err(|error| self.failed(error))?;
        self.data_version.store(version, Ordering::Relaxed);
        self.names.store(Arc::new(names));
        Ok(true)
    }
}

/// Returns a number that changes when another connection changes the database.
pub(super) fn data_version(database: &Connection) -> rusqlite::Result<i64> {
    database.pragma_query_value(None, "data_version", |row| row.get(0))
}
