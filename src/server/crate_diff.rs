//! What changed between two versions of a crate: which files, and which lines of them. Uses similar.
//!
//! Both were made by whoever published them: lines and time have bounds, and what is beyond is said to be.

use std::collections::HashMap;
use std::time::Instant;

use similar::{ChangeTag, TextDiff};

use crate::index::Checksum;
use crate::server::crate_archive::ArchivedFile;

/// How many lines stand around a change.
const CONTEXT: usize = 3;
/// What a reviewer looks at first: what is needed to build the crate, and what runs while it is built.
const FIRST: [&str; 3] = ["Cargo.toml", "Cargo.toml.orig", "build.rs"];

/// What happened to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The newer version has it, and the older one has not.
    Added,
    /// The other way round.
    Removed,
    /// Its content is another one.
    Changed,
    /// Its content is the same, and this was its path.
    Renamed(String),
}

/// A file that is not the same in both versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Its path; that of the newer version where it has another one.
    pub path: String,
    /// What happened to it.
    pub change: Change,
    /// Its size in the older version, in bytes.
    pub old_size: u64,
    /// Its size in the newer one.
    pub new_size: u64,
}

/// Compares two lists of files with checksums. What is looked at first comes first, then all others by their paths.
pub fn changed_files(old: &[ArchivedFile], new: &[ArchivedFile]) -> Vec<ChangedFile> {
    let by_path = |files: &[ArchivedFile]| -> HashMap<String, (Option<Checksum>, u64)> {
        let files = files.iter();
        let files = files.map(|file| (file.path.clone(), (file.checksum, file.size)));
        files.collect()
    };
    let (before, after) = (by_path(old), by_path(new));
    // Of several files with one content one may have been renamed, whichever.
    let gone = old.iter().filter(|file| !after.contains_key(&file.path));
    let mut gone: HashMap<&str, &ArchivedFile> =
        gone.map(|file| (file.path.as_str(), file)).collect();
    let mut moved: HashMap<Checksum, Vec<&str>> = HashMap::new();
    for file in gone.values().filter(|file| file.size > 0) {
        if let Some(checksum) = file.checksum {
            moved.entry(checksum).or_default().push(&file.path);
        }
    }
    moved.values_mut().for_each(|paths| paths.sort_unstable());
    let mut changed = Vec::new();
    for file in new {
        let (change, old_size) = match before.get(&file.path) {
            Some((checksum, size)) if *checksum == file.checksum => continue,
            Some((_, size)) => (Change::Changed, *size),
            None => {
                let paths = file.checksum.and_then(|checksum| moved.get_mut(&checksum));
                match paths.and_then(Vec::pop) {
                    Some(path) => {
                        gone.remove(path);
                        (Change::Renamed(path.to_owned()), file.size)
                    }
                    None => (Change::Added, 0),
                }
            }
        };
        changed.push(ChangedFile {
            path: file.path.clone(),
            change,
            old_size,
            new_size: file.size,
        });
    }
    changed.extend(gone.into_values().map(|file| ChangedFile {
        path: file.path.clone(),
        change: Change::Removed,
        old_size: file.size,
        new_size: 0,
    }));
    changed.sort_by(|one, other| place(&one.path).cmp(&place(&other.path)));
    changed
}

fn place(path: &str) -> (usize, &str) {
    let first = FIRST.iter().position(|first| *first == path);
    (first.unwrap_or(FIRST.len()), path)
}

/// A line of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiffLine {
    /// Lines that are the same are left out here.
    Gap,
    /// A line that both have.
    Same(usize, usize, String),
    /// A line of the older version, and its number.
    Removed(usize, String),
    /// A line of the newer version, and its number.
    Added(usize, String),
}

/// The lines of two texts that are not the same, with some around them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// The lines.
    pub lines: Vec<DiffLine>,
    /// How many lines were added.
    pub added: usize,
    /// How many lines were removed.
    pub removed: usize,
    /// Whether more lines were left out than those that are the same.
    pub is_cut: bool,
}

/// Compares two texts by line, and keeps so many lines at most. From the deadline on it finds a difference that is right, but
/// longer than necessary.
pub fn diff(old: &str, new: &str, lines: usize, deadline: Instant) -> Diff {
    let mut config = TextDiff::configure();
    config.deadline(deadline);
    let compared = config.diff_lines(old, new);
    let mut diff = Diff::default();
    for group in compared.grouped_ops(CONTEXT) {
        let begins_later = group
            .first()
            .is_some_and(|op| op.old_range().start > 0 || op.new_range().start > 0);
        if begins_later {
            diff.take(DiffLine::Gap, lines);
        }
        for change in group.iter().flat_map(|op| compared.iter_changes(op)) {
            let text = change.value().trim_end_matches(['\r', '\n']).to_owned();
            let number = |index: Option<usize>| index.map_or(0, |index| index + 1);
            let (at, now) = (number(change.old_index()), number(change.new_index()));
            let line = match change.tag() {
                ChangeTag::Equal => DiffLine::Same(at, now, text),
                ChangeTag::Delete => DiffLine::Removed(at, text),
                ChangeTag::Insert => DiffLine::Added(now, text),
            };
            diff.take(line, lines);
        }
    }
    diff
}

impl Diff {
    fn take(&mut self, line: DiffLine, most: usize) {
        match line {
            DiffLine::Added(..) => self.added += 1,
            DiffLine::Removed(..) => self.removed += 1,
            DiffLine::Gap | DiffLine::Same(..) => {}
        }
        match self.lines.len() < most {
            true => self.lines.push(line),
            false => self.is_cut = true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, content: u8) -> ArchivedFile {
        ArchivedFile {
            path: path.to_owned(),
            size: 10,
            checksum: Some(Checksum::from_bytes([content; 32])),
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn what_is_looked_at_first_comes_first_and_a_renamed_file_is_one() {
        let old = [
            file("Cargo.toml", 1),
            file("a.rs", 2),
            file("gone", 3),
            file("same", 4),
            file("was", 5),
        ];
        let new = [
            file("Cargo.toml", 6),
            file("a.rs", 7),
            file("build.rs", 8),
            file("is", 5),
            file("same", 4),
        ];
        let changed = changed_files(&old, &new);
        let seen: Vec<_> = changed
            .iter()
            .map(|file| {
                (
                    file.path.as_str(),
                    file.change.clone(),
                    file.old_size,
                    file.new_size,
                )
            })
            .collect();
        let expected = [
            ("Cargo.toml", Change::Changed, 10, 10),
            ("build.rs", Change::Added, 0, 10),
            ("a.rs", Change::Changed, 10, 10),
            ("gone", Change::Removed, 10, 0),
            ("is", Change::Renamed("was".to_owned()), 10, 10),
        ];
        assert_eq!(seen, expected);
        assert!(changed_files(&old, &old).is_empty());
    }

    #[test]
    fn lines_have_their_numbers() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\n5\nsix\n7\n8\n9\nten";
        let diff = diff(old, new, 100, soon());
        let text = |text: &str| text.to_owned();
        let expected = [
            DiffLine::Gap,
            DiffLine::Same(3, 3, text("3")),
            DiffLine::Same(4, 4, text("4")),
            DiffLine::Same(5, 5, text("5")),
            DiffLine::Removed(6, text("6")),
            DiffLine::Added(6, text("six")),
            DiffLine::Same(7, 7, text("7")),
            DiffLine::Same(8, 8, text("8")),
            DiffLine::Same(9, 9, text("9")),
            DiffLine::Added(10, text("ten")),
        ];
        assert_eq!(diff.lines, expected);
        assert_eq!((diff.added, diff.removed, diff.is_cut), (2, 1, false));
    }

    #[test]
    fn texts_that_have_nothing_in_common_take_bounded_time() {
        let lines = |step: usize| -> String {
            (0..100_000)
                .map(|at| format!("{}\n", at * step % 9_973))
                .collect()
        };
        let (old, new) = (lines(7), lines(11));
        let began = Instant::now();
        let diff = diff(&old, &new, 20_000, began + Duration::from_millis(100));
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
        assert!(diff.is_cut && diff.lines.len() == 20_000);
    }

    proptest! {
        #[test]
        fn no_texts_make_it_panic(old in "[a-c\\n]{0,60}", new in "[a-c\\n]{0,60}") {
            let diff = diff(&old, &new, 100, soon());
            prop_assert_eq!(diff.lines.is_empty(), old == new);
        }
    }
}
