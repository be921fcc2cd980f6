//! Whether the files of a crate come out of their archive as they are, on every system that cargo runs on.

use std::collections::HashMap;

use super::refusal::Refusal;
use crate::shown::beginning;

/// What cargo packages in no path: Windows reads it otherwise.
const SPECIAL: &[char] = &['\\', ':', '<', '>', '"', '|', '?', '*'];

/// How much of a path is shown, in bytes.
const SHOWN: usize = 200;

/// Refuses files that some system would put elsewhere, or over one another.
///
/// # Errors
/// The first of them.
pub fn check_paths<'p>(paths: impl IntoIterator<Item = &'p str>) -> Result<(), Refusal> {
    let mut seen = HashMap::new();
    for path in paths {
        let shown = beginning(path, SHOWN);
        if let Some(letter) = path.chars().find(|letter| SPECIAL.contains(letter)) {
            return Err(refused(&format!(
                "has a file `{shown}`, and `{letter}` means something else on Windows"
            )));
        }
        // macOS and Windows tell names apart neither by their case nor by a dot or a space at their ends.
        let folded: Vec<_> = path.split('/').map(folded).collect();
        if let Some(other) = seen.insert(folded.join("/"), path) {
            let other = beginning(other, SHOWN);
            return Err(refused(&format!(
                "has `{other}` and `{shown}`, which are one file on macOS or Windows"
            )));
        }
    }
    Ok(())
}

fn folded(part: &str) -> String {
    part.trim_end_matches(['.', ' ']).to_lowercase()
}

fn refused(what: &str) -> Refusal {
    Refusal::invalid(format!("the crate file cannot be taken: it {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_meet_or_go_elsewhere_on_some_system_are_refused() {
        let is_taken = |paths: &[&str]| check_paths(paths.iter().copied()).is_ok();
        assert!(is_taken(&[
            "Cargo.toml",
            "src/lib.rs",
            "src/Lib/mod.rs",
            ".cargo_vcs_info.json",
            "a b"
        ]));
        for paths in [
            ["Cargo.toml", "cargo.toml"],
            ["src/lib.rs", "SRC/lib.rs"],
            ["a/b", "a./b"],
            ["stra\u{df}e", "STRA\u{1e9e}E"],
            ["Cargo.toml", "..\\..\\x"],
            ["Cargo.toml", "C:x"],
        ] {
            assert!(!is_taken(&paths), "{paths:?}");
        }
    }
}
