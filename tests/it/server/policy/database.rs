//! A repository of advisories.

use std::path::PathBuf;

use crate::support::server::Site;
use crate::support::upstream::{Commit, bare, commit_to};

/// A repository of advisories beside a site.
pub(super) struct Database(pub(super) PathBuf);

impl Database {
    /// Makes one with an advisory about another crate.
    pub(super) fn new(site: &Site) -> Self {
        Self::named(site, "advisory-db.git")
    }

    /// Makes one as [`Database::new`] does, under a name.
    pub(super) fn named(site: &Site, name: &str) -> Self {
        let database = Self(bare(site.folder.path(), name));
        database.add(
            "RUSTSEC-2020-0001",
            "other",
            "2020-01-01",
            "",
            "patched = []",
        );
        database
    }

    /// Returns its address.
    pub(super) fn address(&self) -> String {
        self.0.display().to_string()
    }

    /// Adds an advisory in the format of RustSec, or replaces it.
    pub(super) fn add(&self, id: &str, package: &str, date: &str, more: &str, versions: &str) {
        let text = format!(
            "```toml\n[advisory]\nid = \"{id}\"\npackage = \"{package}\"\ndate = \"{date}\"\naliases = [\"CVE-2026-1\"]\n{more}\n\n\
             [versions]\n{versions}\n```\n\n# `{package}` <does> what it should not\n\nIt does.\n"
        );
        self.write(id, package, &text);
    }

    /// Adds a file where an advisory is.
    pub(super) fn write(&self, id: &str, package: &str, text: &str) {
        let path = format!("crates/{package}/{id}.md");
        commit_to(
            &self.0,
            [Commit::new(format!("Add {id}")).file(&path, text)],
        );
    }

    /// Calls all versions of a crate malicious, of the second day.
    pub(super) fn harmful(&self, id: &str, package: &str) {
        let more = "categories = [\"malicious\"]";
        self.add(id, package, "2026-11-02", more, "patched = []");
    }

    /// Calls these versions of `foo` malicious.
    pub(super) fn malicious(&self, versions: &str) {
        self.add(
            "RUSTSEC-2026-0001",
            "foo",
            "2026-11-01",
            "categories = [\"malicious\"]",
            versions,
        );
    }

    /// Tells of a vulnerability of `foo`, of that day.
    pub(super) fn vulnerable(&self, date: &str, versions: &str) {
        self.add("RUSTSEC-2026-0001", "foo", date, "", versions);
    }
}
