//! Crate files: what whoever publishes a crate decides.

use std::collections::BTreeSet;
use std::io::{Cursor, Write as _};

use crates_ferry::index::{CrateName, CrateVersion};
use crates_ferry::server::crate_archive::{CrateArchive, Manifest};
use flate2::Compression;
use flate2::write::GzEncoder;

/// No file of an archive lies elsewhere, and none is there twice. The bytes are a tar archive, which is then compressed, and a
/// `.crate` file as they are.
pub(crate) fn crate_archive(bytes: &[u8]) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("it is memory");
    let compressed = encoder.finish().expect("it is memory");
    for file in [compressed.as_slice(), bytes] {
        let name = CrateName::new("foo").expect("it is a name");
        let version = CrateVersion::new("1.0.0").expect("it is a version");
        let mut archive = CrateArchive::new(Cursor::new(file), &name, &version);
        let Ok(files) = archive.files() else {
            continue;
        };
        let mut paths = BTreeSet::new();
        for file in &files {
            let mut parts = file.path.split('/');
            assert!(
                !parts.any(|part| matches!(part, "" | "." | "..")),
                "{file:?}"
            );
            assert!(paths.insert(&file.path), "twice: {file:?}");
        }
        if let Some(last) = files.last() {
            let content = archive.file(&last.path).expect("it was read before");
            assert_eq!(content.map(|content| content.size), Some(last.size));
        }
        let _ = archive.manifest();
        let _ = archive.readme();
    }
}

/// Addresses are of the web, and texts have one line.
pub(crate) fn manifest(bytes: &[u8]) {
    let Ok(read) = Manifest::parse(bytes) else {
        return;
    };
    for address in [read.homepage, read.documentation, read.repository]
        .into_iter()
        .flatten()
    {
        assert!(address.starts_with("http"), "{address}");
    }
    for text in [read.description, read.license].into_iter().flatten() {
        assert!(!text.contains(['\n', '\r', '\t']), "{text}");
    }
}
