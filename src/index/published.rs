//! When the versions of a crate's file were published.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use super::entry::is_beyond_cargo;

/// What a line says of when its version was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published<'a> {
    /// The name of the crate as its author wrote it.
    pub name: Cow<'a, str>,
    /// The version as its author wrote it.
    pub version: Cow<'a, str>,
    /// When it was published; older lines do not say.
    pub at: Option<Timestamp>,
    /// Whether it is yanked.
    pub is_yanked: bool,
    /// Whether cargo ignores the line, whose format is newer than what it reads.
    pub is_beyond_cargo: bool,
    /// The checksum of its crate file, as it is written.
    pub checksum: Option<Cow<'a, str>>,
}

/// What names a version: whatever else is wrong with its line, somebody may ask for it by that.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    vers: Cow<'a, str>,
}

/// What else a line says, if it says it as it should.
#[derive(Deserialize, Default)]
struct Said<'a> {
    #[serde(borrow, default)]
    pubtime: Option<Cow<'a, str>>,
    #[serde(default)]
    yanked: Option<bool>,
    // Of any kind, so that a wrong one does not make the rest unreadable.
    #[serde(default)]
    v: serde_json::Value,
}

/// Its checksum, which counts whatever is wrong with the rest.
#[derive(Deserialize)]
struct Checked<'a> {
    #[serde(borrow)]
    cksum: Cow<'a, str>,
}

impl<'a> Published<'a> {
    /// Reads a line; `None` if it names no version. A date that is none, or is given twice, counts as missing.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        let Named { name, vers } = serde_json::from_slice(line).ok()?;
        let said: Said<'a> = serde_json::from_slice(line).unwrap_or_default();
        Some(Self {
            name,
            version: vers,
            at: said.pubtime.and_then(|at| at.parse().ok()),
            is_yanked: said.yanked.unwrap_or(false),
            is_beyond_cargo: is_beyond_cargo(said.v.as_u64().and_then(|v| u32::try_from(v).ok())),
            checksum: None,
        })
    }

    /// Reads a line with its checksum, which few need.
    pub fn read_whole(line: &'a [u8]) -> Option<Self> {
        let checked: Option<Checked<'a>> = serde_json::from_slice(line).ok();
        Some(Self {
            checksum: checked.map(|checked| checked.cksum),
            ..Self::read(line)?
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_says_when_its_version_was_published_or_does_not() {
        let read = |line: &'static str| Published::read(line.as_bytes());
        let dated =
            read(r#"{"name":"Foo","vers":"1.0.0","pubtime":"2026-08-20T07:55:00Z","yanked":true}"#)
                .unwrap();
        assert_eq!(
            (&*dated.name, &*dated.version, dated.is_yanked),
            ("Foo", "1.0.0", true)
        );
        assert_eq!(dated.at, Some("2026-08-20T07:55:00Z".parse().unwrap()));
        for line in [
            r#"{"name":"Foo","vers":"1.0.0"}"#,
            r#"{"name":"Foo","vers":"1.0.0","pubtime":null,"yanked":null}"#,
            r#"{"name":"Foo","vers":"1.0.0","pubtime":"yesterday","yanked":false}"#,
            r#"{"name":"Foo","vers":"1.0.0","pubtime":12345}"#,
            r#"{"name":"Foo","vers":"1.0.0","pubtime":{"a":1},"yanked":"no"}"#,
            r#"{"name":"Foo","vers":"1.0.0","pubtime":"2026-08-20T07:55:00Z","pubtime":"2020-08-20T07:55:00Z"}"#,
        ] {
            let undated = read(line).unwrap();
            assert_eq!((undated.at, undated.is_yanked), (None, false), "{line}");
        }
        assert_eq!(read("no json"), None);
        assert_eq!(read("{}"), None);
    }
}
