//! Crate files: what whoever publishes a crate decides. And the registry's dump.

use std::collections::BTreeSet;
use std::io::{Cursor, Write as _};

use crates_ferry::index::{CrateName, CrateVersion, entry};
use crates_ferry::server::crate_archive::{CrateArchive, Manifest};
use crates_ferry::server::dump;
use crates_ferry::server::markdown::{self, Links};
use crates_ferry::server::private::line::line;
use crates_ferry::server::private::publishable::read_upload;
use crates_ferry::server::private::request;
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
        let _ = archive.readme_with_files();
        let listed = archive.checksums().map(|files| files.len());
        assert_eq!(listed, Ok(files.len()));
    }
}

/// What is published is one line of an index, of the version that its file is of, at a path of its own.
pub(crate) fn publish(bytes: &[u8]) {
    const LARGEST: u64 = 1 << 20;
    let upload = request::parse(bytes.to_vec().into(), LARGEST);
    let Ok(read) = upload.and_then(|upload| read_upload(upload, LARGEST)) else {
        return;
    };
    let line = line(
        &read.checked,
        &read.file.checksum,
        "2026-01-02T03:04:05Z",
        false,
    );
    assert!(!line.contains('\n'), "{line}");
    let listed = entry::find(line.as_bytes(), read.file.version.as_str());
    assert_eq!(listed, Some(read.file));
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

/// What is made of a README has no element that acts, no handler, no address that is a script, no id of the page's own, and not
/// more bytes than are asked for.
pub(crate) fn readme(bytes: &[u8]) {
    const BYTES: usize = 20_000;
    let text = String::from_utf8_lossy(bytes);
    let links = Links {
        base: "/crates/foo/1.0.0/src".to_owned(),
        folder: "docs".to_owned(),
        files: ["LICENSE", "src/lib.rs"].map(str::to_owned).into(),
    };
    let html = markdown::render(&text, &links, BYTES).html;
    assert!(html.len() <= BYTES, "{}", html.len());
    assert!(markdown::plain(&text, BYTES).html.len() <= BYTES);
    let lower = html.to_ascii_lowercase();
    for element in [
        "<script", "<style", "<iframe", "<form", "<input", "<img", "<svg", "<math", "<object",
        "<embed", "<base", "<meta",
    ] {
        assert!(!lower.contains(element), "{element}: {html}");
    }
    for tag in lower.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        // Values are quoted, and every second part is one.
        let parts: Vec<_> = tag.split('"').collect();
        for pair in parts.chunks(2) {
            let name = pair[0].rsplit(' ').next().unwrap_or_default();
            let value = pair.get(1).copied().unwrap_or_default();
            assert!(
                !name.starts_with("on") && name != "style=",
                "{name}: {html}"
            );
            assert!(!value.trim_start().starts_with("javascript:"), "{html}");
            assert!(
                name != "id=" || value.starts_with("readme-"),
                "{value}: {html}"
            );
        }
    }
}

/// A dump that is refused leaves nothing behind. The bytes are a tar archive, which is then compressed, and a dump as they are.
pub(crate) fn dump(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("there is a disk");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("it is memory");
    let compressed = encoder.finish().expect("it is memory");
    for file in [compressed.as_slice(), bytes] {
        drop(dump::stage(file, Some(folder.path()), |_| {}));
        let left = std::fs::read_dir(folder.path().join("tmp")).expect("it was made");
        assert_eq!(left.count(), 0);
    }
}
