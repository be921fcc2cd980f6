//! Where upstream keeps a crate file: the `dl` of a `config.json`, with cargo's markers.

use super::CrateFile;

/// The markers that cargo fills in.
pub const MARKERS: [&str; 5] = [
    "{crate}",
    "{version}",
    "{prefix}",
    "{lowerprefix}",
    "{sha256-checksum}",
];

/// Returns the address of a crate file. Without any marker `/{crate}/{version}/download` is appended, as cargo does.
pub fn download_url(dl: &str, file: &CrateFile) -> String {
    if !has_marker(dl) {
        return format!("{dl}/{}/{}/download", file.name, file.version);
    }
    // A template mostly names the objects of a bucket, and S3 takes a `+` in a path for a space.
    let version = file.version.as_str().replace('+', "%2B");
    // One after the other, as cargo does: names, versions and checksums have no braces, so none makes a new marker.
    dl.replace("{crate}", file.name.as_str())
        .replace("{version}", &version)
        .replace("{prefix}", &prefix(file.name.as_str()))
        .replace(
            "{lowerprefix}",
            &prefix(&file.name.as_str().to_ascii_lowercase()),
        )
        .replace("{sha256-checksum}", &file.checksum.to_string())
}

/// Says whether a `dl` is a template.
pub fn has_marker(dl: &str) -> bool {
    MARKERS.iter().any(|marker| dl.contains(marker))
}

/// Returns the folders of a crate's file in an index, in the case of the name: `1`, `2`, `3/a`, `ab/cd`.
fn prefix(name: &str) -> String {
    match name.len() {
        1 | 2 => name.len().to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::index::{Checksum, CrateName, CrateVersion};

    #[test]
    fn every_marker_is_filled_in() {
        let file = |name| CrateFile {
            name: CrateName::new(name).unwrap(),
            version: CrateVersion::new("1.0.0+b").unwrap(),
            checksum: Checksum::from_bytes([0xab; 32]),
        };
        let all = "https://dl.example/{crate}/{version}/{prefix}/{lowerprefix}/{sha256-checksum}";
        let sum = "ab".repeat(32);
        for (name, filled) in [
            ("A", format!("A/1.0.0%2Bb/1/1/{sum}")),
            ("Ab", format!("Ab/1.0.0%2Bb/2/2/{sum}")),
            ("Abc", format!("Abc/1.0.0%2Bb/3/A/3/a/{sum}")),
            ("AbCde", format!("AbCde/1.0.0%2Bb/Ab/Cd/ab/cd/{sum}")),
        ] {
            assert_eq!(
                download_url(all, &file(name)),
                format!("https://dl.example/{filled}")
            );
        }
        assert_eq!(
            download_url("https://dl.example/crates", &file("Ab")),
            "https://dl.example/crates/Ab/1.0.0+b/download"
        );
    }
}
