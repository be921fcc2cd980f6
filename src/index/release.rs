//! What an index line says of a version beside its crate file, for those who show it or search in it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use semver::Version;
use serde::Deserialize;

use super::entry::{is_beyond_cargo, lines};

/// A version of a crate.
///
/// A line that is not what cargo writes, or whose version is no semantic version, is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The name of the crate as its author wrote it.
    pub name: String,
    /// The version's number.
    pub version: Version,
    /// The SHA-256 checksum of the crate file, in hexadecimal.
    pub checksum: String,
    /// Whether it is yanked.
    pub is_yanked: bool,
    /// Whether its line has a format that cargo does not read: cargo then never takes it.
    pub is_beyond_cargo: bool,
    /// When it was published; older lines do not say.
    pub published: Option<Timestamp>,
    /// The oldest Rust that it builds with, as its manifest says.
    pub rust_version: Option<String>,
    /// The native library that it links.
    pub links: Option<String>,
    /// What it depends on, in the line's order.
    pub dependencies: Vec<Dependency>,
    /// Its features, and what each enables.
    pub features: BTreeMap<String, Vec<String>>,
}

/// A dependency of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The name of the crate that it depends on.
    pub package: String,
    /// The name by which the manifest calls it, where that is another one.
    pub renamed: Option<String>,
    /// The requirement, as in `^1.0`.
    pub requirement: String,
    /// The features that it enables.
    pub features: Vec<String>,
    /// Whether it is optional.
    pub is_optional: bool,
    /// Whether it enables the default features.
    pub has_default_features: bool,
    /// The platform that it is for, as in `cfg(windows)`.
    pub target: Option<String>,
    /// What it is needed for.
    pub kind: DependencyKind,
    /// The registry that it comes from, where that is another one.
    pub registry: Option<String>,
}

/// What a dependency is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DependencyKind {
    /// To build the crate itself.
    #[default]
    Normal,
    /// To build its build script.
    Build,
    /// To build its tests and examples.
    Dev,
}

impl DependencyKind {
    /// Returns the kind's name, as index and web API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Build => "build",
            Self::Dev => "dev",
        }
    }
}

/// A version in a list: what its line says but for what is most of the text, dependencies and features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRelease {
    /// The version's number.
    pub version: Version,
    /// Whether it is yanked.
    pub is_yanked: bool,
    /// Whether its line has a format that cargo does not read: cargo then never takes it.
    pub is_beyond_cargo: bool,
    /// When it was published; older lines do not say.
    pub published: Option<Timestamp>,
    /// The oldest Rust that it builds with, as its manifest says.
    pub rust_version: Option<String>,
    /// Where its line is in the file.
    line: Range<usize>,
}

/// The versions that a crate's file lists, the highest first. Of two lines for a version the last one counts, as for cargo.
///
/// Each is read as a whole when it is asked for: a file may list thousands, and have more bytes than memory should take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    content: Bytes,
    listed: Vec<ListedRelease>,
}

impl Releases {
    /// Reads a crate's file.
    pub fn of(content: Bytes) -> Self {
        let (listed, _) = list(&content);
        Self { content, listed }
    }

    /// Returns the versions.
    pub fn listed(&self) -> &[ListedRelease] {
        &self.listed
    }

    /// Returns the place of a version in the list.
    pub fn place_of(&self, version: &Version) -> Option<usize> {
        let place = self
            .listed
            .binary_search_by(|listed| version.cmp(&listed.version));
        place.ok()
    }

    /// Reads the version at this place in the list; `None` if its line is not what cargo writes.
    pub fn read(&self, place: usize) -> Option<Release> {
        let listed = self.listed.get(place)?;
        Release::read(&self.content[listed.line.clone()])
    }

    /// Reads versions from the highest on, as many as have lines of so many bytes in all, each with its place.
    pub fn read_within(&self, bytes: usize) -> Vec<(usize, Release)> {
        let mut left = bytes;
        let within = self.listed.iter().enumerate().take_while(|(_, listed)| {
            let fits = listed.line.len() <= left;
            left = left.saturating_sub(listed.line.len());
            fits
        });
        within
            .filter_map(|(place, _)| Some((place, self.read(place)?)))
            .collect()
    }
}

/// Lists the versions of a crate's file, the highest first; and returns that of the last line.
fn list(content: &[u8]) -> (Vec<ListedRelease>, Option<Version>) {
    let mut by_version = BTreeMap::new();
    let mut last = None;
    for line in lines(content) {
        let start = line.as_ptr() as usize - content.as_ptr() as usize;
        if let Some(listed) = ListedRelease::read(line, start) {
            last = Some(listed.version.clone());
            by_version.insert(listed.version.clone(), listed);
        }
    }
    (by_version.into_values().rev().collect(), last)
}

/// What a crate's file says of the crate as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrateSummary {
    /// The name of the crate as its author wrote it.
    pub name: String,
    /// How many versions it has.
    pub versions: usize,
    /// The version that is taken where none is asked for: of those that cargo reads the highest that is neither yanked nor a
    /// pre-release, else the highest that is not yanked; else the highest of all.
    pub default: Release,
    /// Whether all versions are yanked.
    pub is_yanked: bool,
    /// The highest version that cargo reads and that is not yanked.
    pub max: Option<Version>,
    /// The highest version that cargo reads and that is neither yanked nor a pre-release.
    pub max_stable: Option<Version>,
    /// The version that was published last; where the index does not say when, that of the last line.
    pub newest: Version,
    /// When the first version was published.
    pub created: Option<Timestamp>,
    /// When the last version was published.
    pub updated: Option<Timestamp>,
}

impl CrateSummary {
    /// Reads a crate's file; `None` if no line is a version.
    pub fn read(content: &[u8]) -> Option<Self> {
        let (listed, last) = list(content);
        let usable = || {
            let all = listed.iter();
            all.filter(|listed| !listed.is_yanked && !listed.is_beyond_cargo)
        };
        let stable = || usable().filter(|listed| listed.version.pre.is_empty());
        // The first that can be read as a whole: a line may be sound as far as it was read here.
        let mut taken = stable().chain(usable()).chain(&listed);
        let default = taken.find_map(|listed| Release::read(&content[listed.line.clone()]))?;
        let published = || {
            let dated = listed.iter();
            dated.filter_map(|listed| Some((listed.published?, &listed.version)))
        };
        let newest = published().max().map(|(_, version)| version);
        Some(Self {
            name: default.name.clone(),
            versions: listed.len(),
            is_yanked: listed.iter().all(|listed| listed.is_yanked),
            max: usable().next().map(|listed| listed.version.clone()),
            max_stable: stable().next().map(|listed| listed.version.clone()),
            newest: newest.cloned().or(last)?,
            created: published().map(|(at, _)| at).min(),
            updated: published().map(|(at, _)| at).max(),
            default,
        })
    }
}

/// What is read of each line.
#[derive(Deserialize)]
struct BriefLine<'a> {
    #[serde(borrow)]
    vers: Cow<'a, str>,
    #[serde(default)]
    yanked: bool,
    #[serde(default)]
    v: Option<u32>,
    #[serde(borrow, default)]
    pubtime: Option<Cow<'a, str>>,
    #[serde(default)]
    rust_version: Option<String>,
}

impl ListedRelease {
    fn read(line: &[u8], start: usize) -> Option<Self> {
        let read: BriefLine<'_> = serde_json::from_slice(line).ok()?;
        Some(Self {
            version: Version::parse(&read.vers).ok()?,
            is_yanked: read.yanked,
            is_beyond_cargo: is_beyond_cargo(read.v),
            published: read.pubtime.and_then(|at| at.parse().ok()),
            rust_version: read.rust_version,
            line: start..start + line.len(),
        })
    }
}

#[derive(Deserialize)]
struct Line {
    name: String,
    vers: String,
    #[serde(default)]
    cksum: String,
    #[serde(default)]
    yanked: bool,
    #[serde(default)]
    v: Option<u32>,
    #[serde(default)]
    pubtime: Option<String>,
    #[serde(default)]
    rust_version: Option<String>,
    #[serde(default)]
    links: Option<String>,
    #[serde(default)]
    deps: Vec<LineDependency>,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
    // What older versions of cargo do not understand: `dep:` and weak dependencies.
    #[serde(default)]
    features2: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Deserialize)]
struct LineDependency {
    name: String,
    #[serde(default)]
    package: Option<String>,
    #[serde(default)]
    req: String,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default)]
    optional: bool,
    #[serde(default = "yes")]
    default_features: bool,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    registry: Option<String>,
}

fn yes() -> bool {
    true
}

impl Release {
    /// Reads a line; `None` if it is no version that can be read as a whole.
    pub fn read(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let mut features = line.features;
        features.extend(line.features2.into_iter().flatten());
        Some(Self {
            version: Version::parse(&line.vers).ok()?,
            name: line.name,
            checksum: line.cksum,
            is_yanked: line.yanked,
            is_beyond_cargo: is_beyond_cargo(line.v),
            published: line.pubtime.and_then(|at| at.parse().ok()),
            rust_version: line.rust_version,
            links: line.links,
            dependencies: line.deps.into_iter().map(Dependency::from).collect(),
            features,
        })
    }
}

impl From<LineDependency> for Dependency {
    fn from(line: LineDependency) -> Self {
        let (package, renamed) = match line.package {
            Some(package) => (package, Some(line.name)),
            None => (line.name, None),
        };
        Self {
            package,
            renamed,
            requirement: line.req,
            features: line.features,
            is_optional: line.optional,
            has_default_features: line.default_features,
            target: line.target,
            kind: match line.kind.as_deref() {
                Some("dev") => DependencyKind::Dev,
                Some("build") => DependencyKind::Build,
                _ => DependencyKind::Normal,
            },
            registry: line.registry,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn line(version: &str, yanked: bool, rest: &str) -> String {
        format!(
            r#"{{"name":"Foo","vers":"{version}","cksum":"00","yanked":{yanked},"features":{{}}{rest}}}"#
        )
    }

    fn summary(lines: &[String]) -> CrateSummary {
        CrateSummary::read(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn the_default_is_what_cargo_would_take() {
        let lines = [
            line("1.9.0", false, ""),
            line("1.10.0", false, ""),
            line("2.0.0-rc.1", false, ""),
            line("3.0.0", true, ""),
        ];
        let of = |lines: &[String]| summary(lines).default.version.to_string();
        assert_eq!(of(&lines), "1.10.0");
        assert_eq!(of(&lines[2..]), "2.0.0-rc.1");
        assert_eq!(of(&lines[3..]), "3.0.0");
        let all = summary(&lines);
        assert_eq!(all.max.unwrap().to_string(), "2.0.0-rc.1");
        assert_eq!(all.max_stable.unwrap().to_string(), "1.10.0");
        assert_eq!((all.versions, all.name.as_str()), (4, "Foo"));
        let yanked = summary(&lines[3..]);
        assert_eq!((yanked.max, yanked.max_stable), (None, None));
        assert!(yanked.is_yanked && !all.is_yanked);
    }

    #[test]
    fn a_version_that_cargo_does_not_read_is_listed_and_not_taken() {
        let lines = [
            line("1.0.0", false, ""),
            line("2.0.0", false, r#","v":2"#),
            line("3.0.0", false, r#","v":3"#),
        ];
        let all = summary(&lines);
        assert_eq!((all.versions, all.is_yanked), (3, false));
        for taken in [
            &all.default.version,
            &all.max.unwrap(),
            &all.max_stable.unwrap(),
        ] {
            assert_eq!(taken.to_string(), "2.0.0");
        }
        let alone = summary(&lines[2..]);
        assert_eq!((alone.max, alone.max_stable), (None, None));
        assert!(alone.default.is_beyond_cargo && !alone.is_yanked);
    }

    #[test]
    fn the_newest_is_the_one_published_last() {
        let at = |day: u8| format!(r#","pubtime":"2026-01-{day:02}T00:00:00Z""#);
        let dated = [
            line("2.0.0", false, &at(1)),
            line("1.0.1", false, &at(9)),
            line("1.0.0", false, ""),
        ];
        let found = summary(&dated);
        assert_eq!(found.newest.to_string(), "1.0.1");
        assert_eq!(found.created.unwrap().to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(found.updated.unwrap().to_string(), "2026-01-09T00:00:00Z");
        let undated = [line("2.0.0", false, ""), line("1.0.1", false, "")];
        assert_eq!(summary(&undated).newest.to_string(), "1.0.1");
        assert_eq!(summary(&undated).created, None);
    }

    #[test]
    fn a_line_tells_dependencies_and_features() {
        let rest = r#","deps":[
            {"name":"json","package":"serde_json","req":"^1","features":["std"],"optional":true,"default_features":false,"target":"cfg(unix)","kind":"build"},
            {"name":"bar","req":"=2","features":[],"optional":false,"kind":"dev"}],
            "features2":{"full":["dep:json"]},"rust_version":"1.70","links":"z","v":2"#;
        let content = line("1.0.0", false, rest).replace('\n', "");
        let release = Releases::of(content.into()).read(0).unwrap();
        let [json, bar] = release.dependencies.as_slice() else {
            panic!("{release:?}")
        };
        assert_eq!(json.package, "serde_json");
        assert_eq!(json.renamed.as_deref(), Some("json"));
        assert_eq!(json.kind, DependencyKind::Build);
        assert!(json.is_optional && !json.has_default_features);
        assert_eq!(
            (bar.package.as_str(), bar.kind),
            ("bar", DependencyKind::Dev)
        );
        assert!(bar.has_default_features);
        assert_eq!(release.features["full"], ["dep:json"]);
        assert_eq!(release.rust_version.as_deref(), Some("1.70"));
    }

    #[test]
    fn versions_are_found_and_read_as_far_as_bytes_allow() {
        let lines: Vec<_> = ["1.0.0", "10.0.0", "2.0.0+b", "2.0.0"]
            .map(|version| line(version, false, ""))
            .into();
        let releases = Releases::of(lines.join("\n").into());
        let place = |version: &str| releases.place_of(&version.parse().unwrap());
        assert_eq!(place("10.0.0"), Some(0));
        assert_eq!((place("2.0.0+b"), place("2.0.0")), (Some(1), Some(2)));
        assert_eq!((place("1.0.0"), place("3.0.0")), (Some(3), None));
        let read = |bytes| -> Vec<String> {
            let read = releases.read_within(bytes).into_iter();
            read.map(|(_, release)| release.version.to_string())
                .collect()
        };
        assert_eq!(read(usize::MAX), ["10.0.0", "2.0.0+b", "2.0.0", "1.0.0"]);
        assert_eq!(read(lines[1].len() + lines[2].len()), ["10.0.0", "2.0.0+b"]);
        assert_eq!(read(0), [""; 0]);
    }

    #[test]
    fn of_two_lines_for_a_version_the_last_one_counts() {
        let lines = [line("1.0.0", false, ""), line("1.0.0", true, "")].join("\n");
        let found = Releases::of(lines.into());
        assert_eq!(found.listed().len(), 1);
        assert!(found.listed()[0].is_yanked && found.read(0).unwrap().is_yanked);
    }

    proptest! {
        #[test]
        fn no_content_makes_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(CrateSummary::read(&content), None);
            prop_assert!(Releases::of(content.into()).listed().is_empty());
        }

        #[test]
        fn no_line_in_another_shape_makes_the_reader_panic(
            line in r#"\{"name":"a","vers":"[0-9.]{1,6}(-a|\+b)?"(,"(deps|pubtime|features|yanked|links)":(null|1|"x"|\[\]|\{\}|\[null\]|true)){0,3}\}"#
        ) {
            let summary = CrateSummary::read(line.as_bytes());
            let found = Releases::of(line.into());
            prop_assert!(found.listed().len() <= 1);
            prop_assert_eq!(summary.is_some(), found.read(0).is_some());
        }
    }
}
