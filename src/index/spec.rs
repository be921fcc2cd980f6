//! What people write for a crate or one of its versions: `serde`, `serde@1.0.0`.

use std::fmt;
use std::str::FromStr;

use super::{CrateFile, CrateName, CrateVersion};

/// A crate, or one version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrateSpec {
    /// The crate, in any case.
    pub name: CrateName,
    /// The version; `None` for any.
    pub version: Option<CrateVersion>,
}

impl CrateSpec {
    /// Says whether it means this file.
    pub fn means(&self, name: &CrateName, version: &CrateVersion) -> bool {
        self.name.as_str().eq_ignore_ascii_case(name.as_str())
            && self.version.as_ref().is_none_or(|wanted| wanted == version)
    }

    /// Says whether it means this file.
    pub fn means_file(&self, file: &CrateFile) -> bool {
        self.means(&file.name, &file.version)
    }
}

impl FromStr for CrateSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(CrateVersion::new(version)?)),
            None => (text, None),
        };
        let name = CrateName::new(name).map_err(|error| error.to_string())?;
        Ok(Self { name, version })
    }
}

impl fmt::Display for CrateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => self.name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_crate_or_one_of_its_versions_is_meant() {
        let all: CrateSpec = "Serde".parse().unwrap();
        let one: CrateSpec = "serde@1.0.0".parse().unwrap();
        let name = CrateName::new("serde").unwrap();
        let means =
            |spec: &CrateSpec, version| spec.means(&name, &CrateVersion::new(version).unwrap());
        assert!(means(&all, "1.0.0") && means(&all, "2.0.0"));
        assert!(means(&one, "1.0.0") && !means(&one, "2.0.0"));
        assert_eq!(one.to_string(), "serde@1.0.0");
        for text in ["", "@1.0.0", "serde@", "serde@1", "se rde"] {
            assert!(text.parse::<CrateSpec>().is_err(), "{text}");
        }
    }
}
