//! What people write for some crates, or for some of their versions: `acme-*`, `serde@1.0.219`, `time@<0.2.23`.

use std::fmt;
use std::str::FromStr;

use semver::{Prerelease, Version, VersionReq};

use super::NamePattern;

/// Some crates, or some of their versions. In names case does not matter, and `-` and `_` are alike, as on crates.io.
#[derive(Debug, Clone)]
pub struct CratePattern {
    text: String,
    name: NamePattern,
    versions: Versions,
}

#[derive(Debug, Clone)]
enum Versions {
    All,
    One(Version),
    Meeting(VersionReq),
}

impl CratePattern {
    /// Says whether it means any version of the crate with this name, which is [`folded`](super::folded).
    pub fn means_crate(&self, folded: &str) -> bool {
        self.name.means(folded)
    }

    /// Returns the crate and the version, where it means a single one.
    pub fn one_version(&self) -> Option<(&str, &Version)> {
        let (name, _) = self.text.split_once('@')?;
        match &self.versions {
            Versions::One(version) if !name.contains('*') => Some((name.trim(), version)),
            _ => None,
        }
    }

    /// Says whether it may mean a version that another one means: may say yes where none is, never no where one is.
    pub fn overlaps(&self, other: &Self) -> bool {
        let names = match (self.name.is_one(), other.name.is_one()) {
            (_, true) => self.name.means(other.name.beginning()),
            (true, false) => other.name.means(self.name.beginning()),
            (false, false) => {
                let (ours, theirs) = (self.name.beginning(), other.name.beginning());
                ours.starts_with(theirs) || theirs.starts_with(ours)
            }
        };
        names
            && match (&self.versions, &other.versions) {
                (_, Versions::One(one)) => self.versions.mean(one),
                (Versions::One(one), _) => other.versions.mean(one),
                _ => true,
            }
    }

    /// Says whether it means this version of the crates that it means.
    ///
    /// A requirement means a pre-release where it means the release that follows: `<0.2.23` means `0.2.0-rc.1`, too, which
    /// cargo would not take for it.
    pub fn means_version(&self, version: &Version) -> bool {
        self.versions.mean(version)
    }
}

impl FromStr for CratePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, versions) = match text.split_once('@') {
            Some((name, versions)) => (name, Versions::read(versions.trim())?),
            None => (text, Versions::All),
        };
        Ok(Self {
            text: text.to_owned(),
            name: name.trim().parse()?,
            versions,
        })
    }
}

impl Versions {
    /// Reads a version, which means itself alone, or a requirement, which begins with an operator.
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "nothing follows the `@`: leave it out, or write a version or a requirement"
                    .to_owned(),
            );
        }
        let shown = text.escape_debug();
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            // Without an operator semver would read `^`, and whoever allows one version would allow all that follow.
            let one = Version::parse(text).map(Self::One);
            return one.map_err(|error| {
                format!(
                    "`{shown}` is no whole version ({error}); a requirement begins with an operator, as `^{shown}`"
                )
            });
        }
        let requirement = VersionReq::parse(text).map_err(|error| {
            format!("`{shown}` is neither a version nor a requirement: {error}")
        })?;
        let meeting = Self::Meeting(requirement.clone());
        match lowest(&requirement).any(|version| meeting.mean(&version)) {
            true => Ok(meeting),
            false => Err(format!("no version matches `{shown}`")),
        }
    }

    fn mean(&self, version: &Version) -> bool {
        match self {
            Self::All => true,
            // Build metadata does not count, as for cargo.
            Self::One(one) => one.cmp_precedence(version).is_eq(),
            Self::Meeting(requirement) => {
                let release = Version::new(version.major, version.minor, version.patch);
                requirement.matches(version) || requirement.matches(&release)
            }
        }
    }
}

/// Returns the versions of which the lowest one must be that meets a requirement, if any does: each comparator has one, and all
/// that have none begin at the first version.
fn lowest(requirement: &VersionReq) -> impl Iterator<Item = Version> {
    let of_each = requirement.comparators.iter().flat_map(|comparator| {
        let (major, minor, patch) = (comparator.major, comparator.minor, comparator.patch);
        let at = Version {
            pre: comparator.pre.clone(),
            ..Version::new(major, minor.unwrap_or(0), patch.unwrap_or(0))
        };
        let next = match (minor, patch) {
            (None, _) => Version::new(major.saturating_add(1), 0, 0),
            (Some(minor), None) => Version::new(major, minor.saturating_add(1), 0),
            (Some(minor), Some(patch)) => Version::new(major, minor, patch.saturating_add(1)),
        };
        // After a pre-release the next one comes first.
        let pre = Prerelease::new(&format!("{}.0", at.pre)).unwrap_or_default();
        let after = Version { pre, ..at.clone() };
        [at, after, next]
    });
    of_each.chain([Version::new(0, 0, 0)])
}

impl fmt::Display for CratePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for CratePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CratePattern {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::folded;
    use super::*;

    fn means(pattern: &str, name: &str, version: &str) -> bool {
        let pattern: CratePattern = pattern.parse().unwrap();
        pattern.means_crate(&folded(name))
            && pattern.means_version(&Version::parse(version).unwrap())
    }

    #[test]
    fn a_name_means_every_version_in_any_spelling() {
        for name in ["serde-json", "Serde_JSON", "serde_json"] {
            assert!(means("serde_json", name, "1.0.0"), "{name}");
            assert!(means("Serde-Json", name, "2.0.0-rc.1"), "{name}");
        }
        assert!(!means("serde", "serde-json", "1.0.0"));
        assert!(means("acme-*", "ACME_core", "1.0.0"));
        assert!(means("*", "anything", "1.0.0"));
        assert!(!means("acme-*", "acme", "1.0.0") && !means("acme-*", "my-acme-x", "1.0.0"));
    }

    #[test]
    fn a_bare_version_is_exact_and_a_requirement_has_an_operator() {
        for (pattern, version, is_meant) in [
            ("serde@1.0.219", "1.0.219", true),
            ("serde@1.0.219", "1.0.219+build", true),
            ("serde@1.0.219", "1.0.220", false),
            ("serde@1.0.219", "1.0.219-rc.1", false),
            ("serde@=1.0.219", "1.0.219", true),
            ("serde@^1.0", "1.9.0", true),
            ("serde@<0.2.23", "0.2.22", true),
            ("serde@<0.2.23", "0.2.23", false),
            ("serde@<0.2.23", "0.2.0-rc.1", true),
            ("serde@<0.2.23", "0.2.23-rc.1", false),
            ("serde@>=1, <1.5", "1.4.9", true),
            ("serde@>=1, <1.5", "1.5.0", false),
            ("serde@*", "1.5.0-rc.1", true),
            ("serde@>1, <2.1", "2.0.0", true),
            ("serde@>1.2, <1.4", "1.3.5", true),
            ("serde@>1.2.3, <1.2.5", "1.2.4", true),
            ("serde@>1.0.0-alpha, <1.0.0", "1.0.0-beta", true),
            ("serde@=1.0.0-alpha", "1.0.0-alpha", true),
        ] {
            assert_eq!(
                means(pattern, "serde", version),
                is_meant,
                "{pattern} {version}"
            );
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "neither a crate name nor a pattern"),
            ("@1.0.0", "neither a crate name nor a pattern"),
            ("a b", "neither a crate name nor a pattern"),
            ("acme-?", "neither a crate name nor a pattern"),
            ("serde@1.0", "begins with an operator, as `^1.0`"),
            ("serde@", "nothing follows the `@`"),
            ("serde@~~1", "neither a version nor a requirement"),
            ("serde@>2, <1", "no version matches `>2, <1`"),
            ("serde@<0.0.0", "no version matches"),
            ("serde@=1.0.0, =1.0.1", "no version matches"),
        ] {
            let refused = text.parse::<CratePattern>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_makes_the_reader_panic(text in prop_oneof!["\\PC*", "[a-z*_-]{0,4}@?[<>=^~0-9., *]{0,9}"]) {
            let _ = text.parse::<CratePattern>();
        }
    }
}
