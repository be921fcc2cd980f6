//! Makes crate files, with what a test wants in them.

use flate2::Compression;
use flate2::write::GzEncoder;

/// Makes the crate file of a version from its files.
pub fn crate_archive(name: &str, version: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        let path = format!("{name}-{version}/{path}");
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}
