//! Which dumps are not imported: of another registry, such as no registry makes, or with much less than the one before.

use rusqlite::Transaction;

use super::import::ImportError;

/// What a crate may have of each, in number; crates.io takes five keywords and five categories.
const MOST: [(&str, &str, u32); 3] = [
    ("crates_keywords", "keywords", 100),
    ("crates_categories", "categories", 100),
    ("crate_owners", "owners", 1_000),
];

/// How much of what an import brought the next one may take away, in percent, from how many on: more is an accident, or the dump of
/// another registry.
const LOSS: u64 = 20;
const LEAST: u64 = 500;

/// What is counted for that, before the import and in the dump.
const KEPT: [(&str, &str, &str); 3] = [
    (
        "of the index's crates",
        "SELECT count(*) FROM main.crates WHERE downloads IS NOT NULL OR is_dumped",
        "SELECT count(*) FROM dump.known",
    ),
    (
        "of their versions",
        "SELECT count(*) FROM main.versions",
        "SELECT count(*) FROM dump.versions v JOIN dump.known k ON k.id = v.crate_id WHERE v.num IS NOT NULL",
    ),
    (
        "of their owners",
        "SELECT count(*) FROM main.owners",
        "SELECT count(*) FROM dump.crate_owners o JOIN dump.known k ON k.id = o.crate_id WHERE o.owner_kind IN (0, 1)",
    ),
];

/// Refuses a dump of another registry, and one that no registry makes.
pub(super) fn check(change: &Transaction<'_>) -> Result<(), ImportError> {
    let known: u64 = change.query_row("SELECT count(*) FROM dump.known", [], |row| row.get(0))?;
    if known == 0 {
        return Err(ImportError::Dump(
            "it has none of the index's crates".to_owned(),
        ));
    }
    for (what, before, after) in KEPT {
        let count = |query: &str| change.query_row(query, [], |row| row.get::<_, u64>(0));
        let (before, after) = (count(before)?, count(after)?);
        if before >= LEAST && after * 100 < before * (100 - LOSS) {
            let text = format!("it has {after} {what}, and what was imported before had {before}");
            return Err(ImportError::Loss(text));
        }
    }
    for (table, what, most) in MOST {
        let query = format!(
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM dump.{table} GROUP BY crate_id)"
        );
        let found: u64 = change.query_row(&query, [], |row| row.get(0))?;
        if found > most.into() {
            let text = format!("it has a crate with {found} {what}, and at most {most} are taken");
            return Err(ImportError::Dump(text));
        }
    }
    Ok(())
}
