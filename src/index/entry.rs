//! The file of one crate in an index: a line of JSON for each version.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Checksum, CrateFile, CrateName, CrateVersion};

/// What is read of a line; the rest is cargo's.
///
/// The texts are borrowed unless JSON escapes them, which these hardly ever need.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    vers: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    cksum: std::borrow::Cow<'a, str>,
    #[serde(default)]
    yanked: bool,
    #[serde(default)]
    v: Option<u32>,
}

/// The newest format of a line that cargo reads, by the line's `v`.
const NEWEST_FORMAT: u32 = 2;

/// Says whether cargo ignores a line of this format, as it does what is meant for versions of it that are to come.
pub(super) fn is_beyond_cargo(format: Option<u32>) -> bool {
    format.is_some_and(|format| format > NEWEST_FORMAT)
}

/// A version that a crate's file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its crate file.
    pub file: CrateFile,
    /// Whether it is yanked: cargo then takes it only where a lockfile names it.
    pub is_yanked: bool,
    /// Whether its line has a format that cargo does not read: cargo then never takes it.
    pub is_beyond_cargo: bool,
}

/// Returns the versions that a crate's file lists, in its order; lines that cannot be read are left out, as cargo does.
pub fn versions(content: &[u8]) -> impl Iterator<Item = Listed> {
    lines(content).filter_map(listed)
}

/// Returns the line of each version; where two lines name the same version the last one counts, as for cargo.
pub fn by_version(content: &[u8]) -> HashMap<String, Listed> {
    let by_name = |listed: Listed| (listed.file.version.as_str().to_owned(), listed);
    versions(content).map(by_name).collect()
}

/// Returns the crate file of a version; as in [`by_version`] the last line counts.
pub fn find(content: &[u8], version: &str) -> Option<CrateFile> {
    let files = versions(content).map(|listed| listed.file);
    files.filter(|file| file.version.as_str() == version).last()
}

/// Returns a crate's file with the lines of these versions only, byte for byte.
pub fn only(content: &[u8], wanted: impl Fn(&CrateFile) -> bool) -> Vec<u8> {
    let mut kept = Vec::new();
    for line in lines(content) {
        if listed(line).is_some_and(|version| wanted(&version.file)) {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
    }
    kept
}

/// Returns the line of a version; as in [`by_version`] the last one counts.
pub fn line_of<'c>(content: &'c [u8], version: &str) -> Option<&'c [u8]> {
    let of_version = |line: &&[u8]| {
        let listed = listed(line);
        listed.is_some_and(|listed| listed.file.version.as_str() == version)
    };
    lines(content).filter(of_version).last()
}

/// Returns a crate's file in which a version has this line, and no other; what lies beside it stays, byte for byte.
pub fn with_line(content: &[u8], version: &str, line: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(content.len() + line.len() + 2);
    for other in content.split_inclusive(|byte| *byte == b'\n') {
        let listed = listed(other.trim_ascii());
        if listed.is_none_or(|listed| listed.file.version.as_str() != version) {
            made.extend_from_slice(other);
        }
    }
    if made.last().is_some_and(|last| *last != b'\n') {
        made.push(b'\n');
    }
    made.extend_from_slice(line.trim_ascii());
    made.push(b'\n');
    made
}

/// Returns the version that cargo would take for `*`, of those whose lines it reads: the highest that is neither yanked nor a
/// pre-release, else the highest that is not yanked.
pub fn latest(content: &[u8]) -> Option<CrateFile> {
    let (_, file) = ranked(content).max_by(|(one, _), (other, _)| one.cmp(other))?;
    Some(file)
}

/// Returns the versions that cargo reads and that are not yanked, in the order in which it would take them for `*`.
pub fn newest_first(content: &[u8]) -> Vec<CrateFile> {
    let mut all: Vec<_> = ranked(content).collect();
    all.sort_by(|(one, _), (other, _)| other.cmp(one));
    all.into_iter().map(|(_, file)| file).collect()
}

/// Returns the versions that cargo reads and that are not yanked, each with its rank: any release is above any pre-release.
fn ranked(content: &[u8]) -> impl Iterator<Item = ((bool, semver::Version), CrateFile)> {
    // A version that its last line yanks is yanked, whatever an earlier line says.
    let usable = by_version(content)
        .into_values()
        .filter(|version| !version.is_yanked && !version.is_beyond_cargo);
    usable.filter_map(|version| {
        let number = semver::Version::parse(version.file.version.as_str()).ok()?;
        // `false` sorts before `true`.
        Some(((number.pre.is_empty(), number), version.file))
    })
}

pub(super) fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

fn listed(line: &[u8]) -> Option<Listed> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let file = CrateFile {
        name: CrateName::new(&line.name).ok()?,
        version: CrateVersion::new(&line.vers).ok()?,
        checksum: line.cksum.parse::<Checksum>().ok()?,
    };
    Some(Listed {
        file,
        is_yanked: line.yanked,
        is_beyond_cargo: is_beyond_cargo(line.v),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn line(version: &str, yanked: bool) -> String {
        let cksum = "ab".repeat(32);
        format!(
            r#"{{"name":"Foo","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":{yanked}}}"#
        )
    }

    #[test]
    fn each_line_is_a_version() {
        let content = format!(
            "{}\nno json\n{}\n",
            line("1.0.0", false),
            line("2.0.0", true)
        );
        let found: Vec<_> = versions(content.as_bytes())
            .map(|version| (version.file.to_string(), version.is_yanked))
            .collect();
        assert_eq!(
            found,
            [
                ("Foo 1.0.0".to_owned(), false),
                ("Foo 2.0.0".to_owned(), true)
            ]
        );
    }

    #[test]
    fn the_lines_that_stay_are_the_same_bytes() {
        let first = line("1.0.0", false).replace("\"deps\":", "\"deps\" : ");
        let content = format!("{first}\n{}", line("2.0.0", false));
        let kept = only(content.as_bytes(), |file| file.version.as_str() == "1.0.0");
        assert_eq!(String::from_utf8(kept).unwrap(), format!("{first}\n"));
    }

    #[test]
    fn the_latest_is_what_cargo_would_take() {
        let latest_of = |lines: &[String]| {
            latest(lines.join("\n").as_bytes()).map(|file| file.version.as_str().to_owned())
        };
        let lines = [
            line("1.9.0", false),
            line("1.10.0", false),
            line("2.0.0-rc.1", false),
            line("3.0.0", true),
        ];
        assert_eq!(latest_of(&lines).as_deref(), Some("1.10.0"));
        let all = newest_first(lines.join("\n").as_bytes());
        let all: Vec<_> = all.iter().map(|file| file.version.as_str()).collect();
        assert_eq!(all, ["1.10.0", "1.9.0", "2.0.0-rc.1"]);
        assert_eq!(latest_of(&lines[2..]).as_deref(), Some("2.0.0-rc.1"));
        assert_eq!(latest_of(&lines[3..]), None);
    }

    #[test]
    fn of_two_lines_for_a_version_the_last_one_counts() {
        let other = line("1.0.0", false).replace("abab", "cdcd");
        let content = format!("{}\n{other}\n", line("1.0.0", false));
        let content = content.as_bytes();
        let last = find(content, "1.0.0").unwrap();
        assert_eq!(last.checksum.to_string(), "cd".repeat(32));
        assert_eq!(by_version(content)["1.0.0"].file, last);
        assert_eq!(latest(content), Some(last));
    }

    #[test]
    fn a_line_that_cargo_ignores_is_not_taken() {
        let of = |version, format: &str| {
            let end = format!("\"v\":{format},\"yanked\"");
            line(version, false).replace("\"yanked\"", &end)
        };
        let lines = [of("1.0.0", "2"), of("2.0.0", "3"), of("3.0.0", "null")];
        let latest_of = |lines: &[String]| {
            latest(lines.join("\n").as_bytes()).map(|file| file.version.as_str().to_owned())
        };
        assert_eq!(latest_of(&lines[..2]).as_deref(), Some("1.0.0"));
        assert_eq!(latest_of(&lines).as_deref(), Some("3.0.0"));
        assert_eq!(latest_of(&lines[1..2]), None);
        // It may be asked for by its number all the same.
        assert!(find(lines[1].as_bytes(), "2.0.0").is_some());
        // The last line of a version counts, also where that takes it away.
        assert_eq!(latest_of(&[of("1.0.0", "2"), of("1.0.0", "3")]), None);
    }

    proptest! {
        #[test]
        fn no_content_makes_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(versions(&content).count(), 0);
        }
    }
}
