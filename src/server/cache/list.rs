//! The reports of `ls` and `stat`.

use std::fmt;

use indicatif::HumanBytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::config::{ServeConfig, StoreUrl};
use crate::count::{counted, is_or_are};
use crate::index::stored_at;
use crate::server::catalog::files::CatalogEntry;

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedFile {
    /// The crate.
    #[serde(rename = "crate")]
    pub name: String,
    /// The version.
    pub version: String,
    /// Its size, in bytes.
    pub size: u64,
    /// When it was last used.
    pub used: Timestamp,
    /// Whether it is pinned: never evicted.
    pub pinned: bool,
}

impl ListedFile {
    pub(super) fn of(entry: &CatalogEntry) -> Self {
        let names = stored_at(&entry.path);
        let (name, version) = names
            .map(|(name, version)| (name.to_string(), version.to_string()))
            // Only paths of crate files are recorded; should another one be, it says most as it is.
            .unwrap_or_else(|| (entry.path.clone(), String::new()));
        // A row with an impossible time must not hide the others: it is listed with the last time there is.
        let used = i64::try_from(entry.used).unwrap_or(i64::MAX);
        Self {
            name,
            version,
            size: entry.size,
            used: Timestamp::from_second(used).unwrap_or(Timestamp::MAX),
            pinned: entry.is_pinned,
        }
    }
}

impl fmt::Display for ListedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, used) = (HumanBytes(self.size).to_string(), self.used);
        let pinned = if self.pinned { "  pinned" } else { "" };
        write!(
            f,
            "{size:>12}  {used}  {} {}{pinned}",
            self.name, self.version
        )
    }
}

/// The stored files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// In the order of their paths.
    pub files: Vec<ListedFile>,
    /// Pinned files that are not stored.
    pub pinned_missing: Vec<String>,
}

impl Listing {
    pub(super) fn new(entries: &[CatalogEntry], pinned_missing: &[CatalogEntry]) -> Self {
        let named = |entry: &CatalogEntry| {
            let file = ListedFile::of(entry);
            format!("{} {}", file.name, file.version)
        };
        Self {
            files: entries.iter().map(ListedFile::of).collect(),
            pinned_missing: pinned_missing.iter().map(named).collect(),
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files.iter().map(ListedFile::to_string);
        let missing = self.pinned_missing.iter();
        let missing = missing.map(|file| format!("{file}: pinned, but not stored"));
        let lines: Vec<String> = files.chain(missing).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The totals of the stored files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// The store.
    pub store: String,
    /// The number of files.
    pub files: usize,
    /// The size of all files together, in bytes.
    pub bytes: u64,
    /// How many of them are pinned.
    pub pinned: usize,
    /// How many more are pinned, but not stored.
    pub pinned_missing: usize,
    /// When the least recently used one was last used.
    pub oldest_use: Option<Timestamp>,
    /// `serve.max_size`.
    pub max_size: Option<u64>,
    /// `serve.max_idle`, in seconds.
    pub max_idle: Option<u64>,
}

impl Statistics {
    pub(super) fn of(
        entries: &[CatalogEntry],
        pinned_missing: usize,
        config: &ServeConfig,
    ) -> Self {
        Self {
            store: match config.store() {
                StoreUrl::Folder(path) => path.display().to_string(),
                StoreUrl::Bucket { bucket, prefix } => format!("s3://{bucket}/{prefix}"),
            },
            files: entries.len(),
            bytes: entries.iter().map(|entry| entry.size).sum(),
            pinned: entries.iter().filter(|entry| entry.is_pinned).count(),
            pinned_missing,
            oldest_use: entries.iter().map(|entry| ListedFile::of(entry).used).min(),
            max_size: config.serve.max_size,
            max_idle: config.serve.max_idle.map(|idle| idle.as_secs()),
        }
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self
            .max_size
            .map(|size| format!(" of at most {}", HumanBytes(size)));
        let limit = limit.unwrap_or_default();
        writeln!(f, "store:       {}", self.store)?;
        writeln!(
            f,
            "crate files: {}, {} of them pinned",
            self.files, self.pinned
        )?;
        write!(f, "size:        {}{limit}", HumanBytes(self.bytes))?;
        if let Some(oldest) = self.oldest_use {
            write!(f, "\noldest use:  {oldest}")?;
        }
        if self.pinned_missing > 0 {
            let (missing, are) = (self.pinned_missing, is_or_are(self.pinned_missing));
            let missing = counted(missing, "pinned crate file");
            write!(
                f,
                "\nmissing:     {missing} {are} not stored; see `cache ls`"
            )?;
        }
        Ok(())
    }
}
