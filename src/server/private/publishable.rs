//! What a request to publish brings, read to its end: a version that keeps the rules, whose crate file agrees with its metadata.

use std::fmt::Display;
use std::io::Cursor;

use bytes::Bytes;

use super::files::checksum_of;
use super::manifest::{check_agreement, declared};
use super::portable::check_paths;
use super::refusal::Refusal;
use super::request::{Upload, check_size};
use super::rules::{Checked, check};
use crate::index::{CrateFile, CrateName, CrateVersion};
use crate::server::crate_archive::{CrateArchive, Manifest};

/// The manifest, as cargo rewrote it.
const MANIFEST: &str = "Cargo.toml";

/// A version that keeps the rules, and whose crate file was read.
#[derive(Debug, Clone)]
pub struct Publishable {
    /// What it is.
    pub checked: Checked,
    /// Its crate file.
    pub file: CrateFile,
    /// The bytes of that.
    pub bytes: Bytes,
}

/// Reads an upload: what it says, and what is in its crate file.
///
/// # Errors
/// The rule that it breaks.
pub fn read_upload(upload: Upload, max_size: u64) -> Result<Publishable, Refusal> {
    check_size(upload.file.len() as u64, max_size)?;
    let checked = check(upload.metadata)?;
    let manifest = manifest_of(&upload.file, &checked.name, &checked.version)?;
    check_agreement(&checked, &declared(&manifest)?)?;
    let file = CrateFile {
        name: checked.name.clone(),
        version: checked.version.clone(),
        checksum: checksum_of(&upload.file),
    };
    Ok(Publishable {
        checked,
        file,
        bytes: upload.file,
    })
}

/// Reads a crate file to its end, within bounds, and returns its manifest.
///
/// # Errors
/// What is wrong with it.
pub fn manifest_of(
    bytes: &Bytes,
    name: &CrateName,
    version: &CrateVersion,
) -> Result<Vec<u8>, Refusal> {
    let wrong =
        |why: &dyn Display| Refusal::invalid(format!("the crate file cannot be taken: {why}"));
    let mut archive = CrateArchive::new(Cursor::new(bytes), name, version);
    let (files, mut kept) = archive
        .contents(&[MANIFEST])
        .map_err(|error| wrong(&error))?;
    check_paths(files.iter().map(|file| file.path.as_str()))?;
    let manifest = kept
        .remove(MANIFEST)
        .ok_or_else(|| wrong(&"there is no Cargo.toml in it"))?;
    // Its bounds are those of what is shown of it later.
    Manifest::parse(&manifest.bytes).map_err(|error| wrong(&error))?;
    Ok(manifest.bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::request;
    use super::*;

    /// Makes the body of a request with a crate file.
    fn body(name: &str, version: &str, manifest: &str) -> Vec<u8> {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(encoder);
        let mut header = tar::Header::new_gnu();
        header.set_size(manifest.len() as u64);
        let path = format!("{name}-{version}/Cargo.toml");
        archive
            .append_data(&mut header, path, manifest.as_bytes())
            .unwrap();
        let file = archive.into_inner().unwrap().finish().unwrap();
        let json = serde_json::json!({ "name": name, "vers": version }).to_string();
        let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        [
            &length(json.as_bytes())[..],
            json.as_bytes(),
            &length(&file),
            &file,
        ]
        .concat()
    }

    fn read(body: Vec<u8>) -> Result<Publishable, Refusal> {
        const LARGEST: u64 = 1 << 20;
        read_upload(request::parse(body.into(), LARGEST)?, LARGEST)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn bytes_that_changed_on_their_way_are_refused_or_harmless(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut body = body("foo", "1.0.0", "[package]\nname = \"foo\"\nversion = \"1.0.0\"\n");
            let right = read(body.clone()).unwrap();
            for (place, byte) in places {
                let place = place.index(body.len());
                body[place] = byte;
            }
            // A field of the archive that nobody reads may differ, and then the checksum does.
            if let Ok(read) = read(body) {
                prop_assert_eq!(read.checked.name, right.checked.name);
                prop_assert_eq!(checksum_of(&read.bytes), read.file.checksum);
            }
        }
    }
}
