//! One crate file: a version of a crate, and the checksum that the index vouches for.

use std::fmt;
use std::str::FromStr;

use semver::Version;

use super::CrateName;

/// The longest version that is served, in bytes: file systems allow names of 255, and a name of 64, `-`, 150 and
/// `.crate` are 221.
const MAX_VERSION: usize = 150;

/// The SHA-256 checksum of a crate file, as an index's `cksum` says it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// Wraps the 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 checksum of 64 hexadecimal digits")]
pub struct ParseChecksumError;

impl FromStr for Checksum {
    type Err = ParseChecksumError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseChecksumError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The version of a crate as its author wrote it, valid since it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CrateVersion(String);

impl CrateVersion {
    /// Checks a text and makes it a version.
    ///
    /// # Errors
    /// Why the text is not a version, in semver's words.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_VERSION {
            return Err(format!(
                "a version has at most {MAX_VERSION} bytes, this one {}",
                text.len()
            ));
        }
        match Version::parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("not a version: {error}")),
        }
    }

    /// Returns the version as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CrateVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A crate file that the index lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CrateFile {
    /// The crate, as the index writes it.
    pub name: CrateName,
    /// The version.
    pub version: CrateVersion,
    /// What its bytes must hash to.
    pub checksum: Checksum,
}

impl CrateFile {
    /// Returns the path of the file in the store, for example `se/rd/serde/serde-1.0.0.crate`.
    pub fn path(&self) -> String {
        Self::path_of(&self.name, &self.version)
    }

    /// Returns the path of the file of this version.
    pub fn path_of(name: &CrateName, version: &CrateVersion) -> String {
        format!("{}/{name}-{version}.crate", name.index_path())
    }
}

/// Parses the crate and the version of a path in the store, as [`CrateFile::path`] makes it.
pub fn stored_at(path: &str) -> Option<(CrateName, CrateVersion)> {
    let (folder, file) = path.rsplit_once('/')?;
    let stem = file.strip_suffix(".crate")?;
    let crate_folder = folder.rsplit('/').next()?;
    // The folder's name is the crate's in lower case, so that the first `-` of the version is found.
    let name = CrateName::new(stem.get(..crate_folder.len())?).ok()?;
    let version = CrateVersion::new(stem.get(crate_folder.len()..)?.strip_prefix('-')?).ok()?;
    // A file that was put into another crate's folder by hand is not found at its own path, and does not count.
    (name.index_path() == folder).then_some((name, version))
}

impl fmt::Display for CrateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn file(name: &str, version: &str) -> CrateFile {
        CrateFile {
            name: CrateName::new(name).unwrap(),
            version: CrateVersion::new(version).unwrap(),
            checksum: Checksum::from_bytes([0; 32]),
        }
    }

    #[test]
    fn a_file_is_stored_at_the_path_under_which_the_index_lists_it() {
        for (name, version, path) in [
            ("a", "1.0.0", "1/a/a-1.0.0.crate"),
            ("Con", "0.1.0-rc.1+b", "3/c/con/Con-0.1.0-rc.1+b.crate"),
            (
                "serde-json",
                "1.0.0",
                "se/rd/serde-json/serde-json-1.0.0.crate",
            ),
        ] {
            assert_eq!(file(name, version).path(), path);
            let (found, of) = stored_at(path).unwrap();
            assert_eq!((found.as_str(), of.as_str()), (name, version));
        }
    }

    #[test]
    fn other_paths_are_no_crate_files() {
        for path in [
            "",
            "a-1.0.0.crate",
            "1/b/a-1.0.0.crate",
            "2/a/a-1.0.0.crate",
            "1/a/a-1.0.crate",
            "1/a/a-1.0.0",
            "1/a/../a-1.0.0.crate",
            "1/a/é-1.0.0.crate",
        ] {
            assert_eq!(stored_at(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "", "1", "1.0", "1.0.0/..", "../1.0.0", "1.0.0 ", "v1.0.0", "1.0.0-é",
        ] {
            assert!(CrateVersion::new(text).is_err(), "{text}");
        }
        assert!(CrateVersion::new(&format!("1.0.0-{}", "a".repeat(200))).is_err());
    }

    proptest! {
        #[test]
        fn any_file_is_found_by_its_path(name in "[a-zA-Z0-9_][a-zA-Z0-9_-]{0,63}", version in "[0-9]{1,3}\\.[0-9]\\.[0-9](-[a-z]{1,9})?") {
            if let Ok(version) = CrateVersion::new(&version) {
                let made = file(&name, version.as_str());
                let path = made.path();
                prop_assert!(!path.contains("..") && !path.starts_with('/'));
                prop_assert_eq!(stored_at(&path), Some((made.name, made.version)));
            }
        }

        #[test]
        fn no_path_makes_the_reader_panic(path in "\\PC*") {
            stored_at(&path);
        }
    }
}
