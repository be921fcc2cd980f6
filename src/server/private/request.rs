//! The body of cargo's publish request, as the registry web API has it.
//!
//! ```text
//! length, u32 little-endian | JSON | length, u32 little-endian | the .crate file
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use bytesize::ByteSize;
use serde::Deserialize;

use super::refusal::{Reason, Refusal};

/// The most bytes of JSON: it repeats the README.
pub const JSON: usize = 4 << 20;

/// What a client publishes.
#[derive(Debug, Clone)]
pub struct Upload {
    /// What it says of the version.
    pub metadata: Metadata,
    /// The crate file.
    pub file: Bytes,
}

/// What the JSON says, as far as an index or its rules need it; the rest is in the crate file's own manifest.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// The name.
    pub name: String,
    /// The version.
    pub vers: String,
    /// The dependencies.
    #[serde(default)]
    pub deps: Vec<Dependency>,
    /// The features, and what each enables.
    #[serde(default)]
    pub features: BTreeMap<String, Vec<String>>,
    /// The native library that it links.
    #[serde(default)]
    pub links: Option<String>,
    /// The oldest Rust that it builds with.
    #[serde(default)]
    pub rust_version: Option<String>,
}

/// A dependency in the JSON.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// The name of the crate.
    pub name: String,
    /// The requirement.
    pub version_req: String,
    /// The features that it enables.
    #[serde(default)]
    pub features: Vec<String>,
    /// Whether it is optional.
    #[serde(default)]
    pub optional: bool,
    /// Whether it enables the default features.
    #[serde(default = "yes")]
    pub default_features: bool,
    /// The platform that it is for.
    #[serde(default)]
    pub target: Option<String>,
    /// What it is needed for.
    #[serde(default)]
    pub kind: Kind,
    /// The index of the registry that it comes from; `None` for this one.
    #[serde(default)]
    pub registry: Option<String>,
    /// The name by which the manifest calls it, where that is another one.
    #[serde(default)]
    pub explicit_name_in_toml: Option<String>,
}

fn yes() -> bool {
    true
}

/// What a dependency is needed for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// To build the crate itself.
    #[default]
    Normal,
    /// To build its build script.
    Build,
    /// To build its tests and examples.
    Dev,
}

/// Returns the most bytes that the body may have.
pub fn most(max_size: u64) -> usize {
    usize::try_from(max_size)
        .unwrap_or(usize::MAX)
        .saturating_add(JSON + 8)
}

/// Reads the body.
///
/// # Errors
/// What is wrong with it; too large is a crate file of more than `max_size` bytes.
pub fn parse(mut body: Bytes, max_size: u64) -> Result<Upload, Refusal> {
    let json = part(&mut body, "JSON")?;
    if json.len() > JSON {
        let most = ByteSize(JSON as u64);
        return Err(too_large(format!("the metadata is larger than {most}")));
    }
    let file = part(&mut body, "crate file")?;
    if !body.is_empty() {
        return Err(Refusal::invalid(
            "the request has bytes after the crate file",
        ));
    }
    check_size(file.len() as u64, max_size)?;
    let metadata = serde_json::from_slice(&json).map_err(|error| {
        Refusal::invalid(format!(
            "the metadata of the request cannot be read: {error}"
        ))
    })?;
    Ok(Upload { metadata, file })
}

/// Refuses a crate file of more than so many bytes.
///
/// # Errors
/// Too large, with both sizes.
pub fn check_size(size: u64, max_size: u64) -> Result<(), Refusal> {
    if size <= max_size {
        return Ok(());
    }
    let (size, most) = (ByteSize(size), ByteSize(max_size));
    Err(too_large(format!(
        "the crate file has {size}, and this registry takes {most} at most (private.max_size)"
    )))
}

fn too_large(detail: String) -> Refusal {
    Refusal::new(Reason::TooLarge, detail)
}

/// Cuts a length and so many bytes off the beginning.
fn part(body: &mut Bytes, what: &str) -> Result<Bytes, Refusal> {
    let cut = || Refusal::invalid(format!("the request ends before its {what}"));
    let length = body.first_chunk::<4>().copied().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| cut())?;
    let end = length.checked_add(4).filter(|end| *end <= body.len());
    let part = body.split_to(end.ok_or_else(cut)?);
    Ok(part.slice(4..))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn body(json: &str, file: &[u8]) -> Bytes {
        let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        [
            &length(json.as_bytes())[..],
            json.as_bytes(),
            &length(file),
            file,
        ]
        .concat()
        .into()
    }

    #[test]
    fn a_request_is_metadata_and_a_file() {
        let json = r#"{"name":"a","vers":"1.0.0","deps":[{"name":"b","version_req":"^1","kind":"dev","x":1}],"readme":"r"}"#;
        let read = parse(body(json, b"file"), 4).unwrap();
        assert_eq!(
            (read.metadata.name.as_str(), &read.file[..]),
            ("a", &b"file"[..])
        );
        assert_eq!(read.metadata.deps[0].kind, Kind::Dev);
        let refused = parse(body(json, b"file"), 3).unwrap_err();
        assert_eq!(refused.reason, Reason::TooLarge);
        assert!(refused.detail.contains("private.max_size"), "{refused}");
    }

    #[test]
    fn a_request_that_is_cut_or_goes_on_is_refused() {
        let whole = body(r#"{"name":"a","vers":"1.0.0"}"#, b"file");
        for end in 0..whole.len() {
            let refused = parse(whole.slice(..end), 10).unwrap_err();
            assert!(refused.detail.contains("ends before"), "{end}: {refused}");
        }
        let longer = Bytes::from([&whole[..], b"x"].concat());
        assert!(
            parse(longer, 10)
                .unwrap_err()
                .detail
                .contains("after the crate file")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), json in "\\PC*") {
            let _ = parse(bytes.clone().into(), 50);
            let _ = parse(body(&json, &bytes), 50);
        }
    }
}
