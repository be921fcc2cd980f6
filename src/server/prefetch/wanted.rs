//! Selects from the index what to fetch.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::lockfile::{Locked, Locks};
use super::report::Missing;
use super::{Options, Versions};
use crate::error::Result;
use crate::index::{CrateFile, CrateName, CrateSpec, ReservedNames, entry, folded};
use crate::policy::{Outcome, Policy, Seen};
use crate::server::index_copy::Snapshot;

/// The crate files to fetch, each once, and those that the index does not list.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) files: Vec<CrateFile>,
    pub(super) missing: Vec<Missing>,
    pub(super) other_sources: Vec<String>,
}

/// Where the index is read, and how.
pub(super) struct Source<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) policy: Option<Policy>,
    pub(super) seen: Seen,
    pub(super) now: Timestamp,
    /// The names of which the index shows no crate.
    pub(super) hidden: ReservedNames,
}

/// A crate's file in the index, as a server shows it.
struct Entry {
    content: Vec<u8>,
    outcome: Option<Outcome>,
}

impl Wanted {
    pub(super) fn collect(index: &Source<'_>, locks: Locks, options: &Options) -> Result<Self> {
        // By path: lockfiles and crates that name the same version ask for it once, and the order is that of the store.
        let mut found = BTreeMap::new();
        let mut wanted = Self {
            other_sources: locks.other_sources.into_iter().collect(),
            ..Self::default()
        };
        for locked in &locks.packages {
            let entry = index.entry(&locked.name)?;
            match find_locked(&entry.content, locked).and_then(|file| entry.permit(file)) {
                Ok(file) => drop(found.insert(file.path(), file)),
                Err(why) => wanted.missing.push(Missing {
                    file: format!("{} {}", locked.name, locked.version),
                    why: index.hidden_by(&locked.name).unwrap_or(why),
                }),
            }
        }
        let versions = options.versions.unwrap_or(Versions::Latest);
        for spec in &options.crates {
            let entry = index.entry(&spec.name)?;
            let files = find(&entry.content, spec, versions);
            if files.is_empty() {
                let why = index.hidden_by(&spec.name);
                let why = why.unwrap_or_else(|| entry.why_none().to_owned());
                let file = spec.to_string();
                wanted.missing.push(Missing { file, why });
            }
            for file in files {
                let named = file.to_string();
                match entry.permit(file) {
                    Ok(file) => drop(found.insert(file.path(), file)),
                    Err(why) => wanted.missing.push(Missing { file: named, why }),
                }
            }
        }
        // With crates named, `--all` and `--latest` only choose among their versions.
        if options.crates.is_empty() && options.versions.is_some() {
            for name in index.snapshot.crates()? {
                let version = None;
                let entry = index.entry(&name)?;
                let files = find(&entry.content, &CrateSpec { name, version }, versions);
                // Nobody asked for what is denied by its name, and so nothing is missing.
                let permitted = files.into_iter().filter_map(|file| entry.permit(file).ok());
                found.extend(permitted.map(|file| (file.path(), file)));
            }
        }
        wanted.files = found.into_values().collect();
        Ok(wanted)
    }
}

impl Source<'_> {
    /// Says that a crate is not shown since its name is reserved, if it is not.
    fn hidden_by(&self, name: &CrateName) -> Option<String> {
        let pattern = self.hidden.find(&folded(name.as_str()))?;
        Some(format!(
            "it is never taken from upstream (policy.reserved: {pattern})"
        ))
    }

    /// Reads a crate's file; one that is not there lists nothing.
    fn entry(&self, name: &CrateName) -> Result<Entry> {
        let content = match self.snapshot.file(&name.index_path())? {
            Some(id) => self.snapshot.content(id)?,
            None => Vec::new(),
        };
        Ok(match &self.policy {
            None => Entry {
                content,
                outcome: None,
            },
            Some(policy) => {
                let content = policy.with_released(name.as_str(), content, self.now);
                let outcome = policy.outcome(&content, &self.seen, self.now);
                Entry {
                    content: outcome.apply(&content),
                    outcome: Some(outcome),
                }
            }
        })
    }
}

impl Entry {
    /// Returns a file unless it is denied; otherwise why it is.
    fn permit(&self, file: CrateFile) -> Result<CrateFile, String> {
        let outcome = self.outcome.as_ref();
        match outcome.and_then(|outcome| outcome.refusal(file.version.as_str())) {
            Some(denied) => Err(denied.to_string()),
            None => Ok(file),
        }
    }

    /// Says why no version of it is found.
    fn why_none(&self) -> &'static str {
        match &self.outcome {
            Some(outcome) if !outcome.is_plain() => {
                "the index lists no version of it that is neither yanked, on hold nor denied; name one"
            }
            _ => "the index does not list it",
        }
    }
}

fn find_locked(content: &[u8], locked: &Locked) -> Result<CrateFile, String> {
    let file = entry::find(content, locked.version.as_str()).ok_or("the index does not list it")?;
    match locked.checksum {
        Some(checksum) if checksum != file.checksum => Err(format!(
            "its checksum is {checksum} in the lockfile, but {} in the index",
            file.checksum
        )),
        _ => Ok(file),
    }
}

fn find(content: &[u8], spec: &CrateSpec, versions: Versions) -> Vec<CrateFile> {
    if spec.version.is_none() && versions == Versions::Latest {
        return entry::latest(content).into_iter().collect();
    }
    entry::by_version(content)
        .into_values()
        .map(|version| version.file)
        .filter(|file| spec.means_file(file))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::index::{Checksum, CrateVersion};

    const CONTENT: &str = concat!(
        r#"{"name":"foo","vers":"1.0.0","deps":[],"cksum":"abababababababababababababababababababababababababababababababab","features":{},"yanked":false}"#,
        "\n",
        r#"{"name":"foo","vers":"1.1.0","deps":[],"cksum":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","features":{},"yanked":true}"#,
        "\n"
    );

    fn found(spec: &str, versions: Versions) -> Vec<String> {
        let files = find(CONTENT.as_bytes(), &spec.parse().unwrap(), versions);
        let mut versions: Vec<_> = files.iter().map(|file| file.version.to_string()).collect();
        versions.sort();
        versions
    }

    #[test]
    fn the_latest_or_all_versions_or_the_named_one_are_found() {
        assert_eq!(found("foo", Versions::Latest), ["1.0.0"]);
        assert_eq!(found("foo", Versions::All), ["1.0.0", "1.1.0"]);
        assert_eq!(found("foo@1.1.0", Versions::Latest), ["1.1.0"]);
        assert_eq!(found("foo@2.0.0", Versions::All), [""; 0]);
    }

    #[test]
    fn a_locked_version_must_have_the_checksum_of_the_index() {
        let locked = |version: &str, byte| Locked {
            name: CrateName::new("foo").unwrap(),
            version: CrateVersion::new(version).unwrap(),
            checksum: Some(Checksum::from_bytes([byte; 32])),
        };
        let find = |locked| find_locked(CONTENT.as_bytes(), &locked);
        assert!(find(locked("1.0.0", 0xab)).is_ok());
        assert!(
            find(locked("1.0.0", 0xcd))
                .unwrap_err()
                .contains("checksum")
        );
        assert!(
            find(locked("1.0.1", 0xab))
                .unwrap_err()
                .contains("not list")
        );
    }
}
