//! Two stored versions of a crate, compared as far as a page shows it.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::crate_contents::{Closed, Contents, contents, files, is_text, text};
use super::registry::FileOf;
use super::state::State;
use crate::server::crate_archive::Content;
use crate::server::crate_diff::{Change, ChangedFile, Diff, DiffLine, changed_files, diff};
use crate::server::highlight::{Language, Marks, line_ranges};

/// How many bytes of both versions are compared by line; what is beyond is listed only.
const BYTES: u64 = 6 << 20;
/// The size from which on a file is only listed: more of it is not read.
const LARGE: u64 = 1 << 20;
/// The number of lines from which on a text is only listed: each takes many times its bytes while it is compared.
const LINES: usize = 50_000;
/// How many lines are kept of each file of a version, more than a page of all of them shows; and of a single one.
const KEPT: usize = 400;
const KEPT_OF_ONE: usize = 20_000;
/// How long all files of a version may take, and a single one that is asked for.
const TIME: Duration = Duration::from_millis(700);
const TIME_OF_ONE: Duration = Duration::from_secs(2);

/// What changed between two versions.
pub(super) struct Comparison {
    pub(super) files: Vec<Compared>,
}

/// A file that changed.
pub(super) struct Compared {
    pub(super) file: ChangedFile,
    pub(super) lines: Lines,
}

/// What is known of the lines of a file.
pub(super) enum Lines {
    /// It was renamed, and is the same.
    Same,
    /// They are no text.
    Binary,
    /// There are too many, here or in the files before.
    Beyond,
    /// What is not the same, and the marks of each of those lines.
    Diff(Diff, Vec<Marks>),
}

impl Comparison {
    /// Returns how many lines were added and removed, as far as they were compared.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.files
            .iter()
            .fold((0, 0), |(added, removed), file| match &file.lines {
                Lines::Diff(diff, _) => (added + diff.added, removed + diff.removed),
                _ => (added, removed),
            })
    }
}

/// A version that cannot be compared: whether it is the newer one, and why.
pub(super) type NotComparable = (bool, Closed);

/// Lists the files that changed.
pub(super) async fn changed(
    state: &'static State,
    old: &FileOf,
    new: &FileOf,
) -> Result<Vec<ChangedFile>, NotComparable> {
    let before = files(state, old).await.map_err(|why| (false, why))?;
    let after = files(state, new).await.map_err(|why| (true, why))?;
    Ok(changed_files(&before, &after))
}

/// Compares two versions, all files within one budget.
pub(super) async fn compare(
    state: &'static State,
    old: &FileOf,
    new: &FileOf,
) -> Result<Comparison, NotComparable> {
    let changed = changed(state, old, new).await?;
    let mut left = BYTES;
    let wanted = changed.iter().map(|file| {
        let bytes = file.old_size + file.new_size;
        let fits = file.old_size.max(file.new_size) <= LARGE && bytes <= left;
        let is_wanted = fits && !matches!(file.change, Change::Renamed(_));
        if is_wanted {
            left -= bytes;
        }
        is_wanted
    });
    let wanted: Vec<bool> = wanted.collect();
    read(state, (old, new), changed, wanted, (TIME, KEPT)).await
}

/// Compares one file of two versions; `None` where it is the same, or in neither.
pub(super) async fn compare_file(
    state: &'static State,
    old: &FileOf,
    new: &FileOf,
    path: &str,
) -> Result<Option<Compared>, NotComparable> {
    let mut changed = changed(state, old, new).await?;
    changed.retain(|file| file.path == path);
    let wanted = changed
        .iter()
        .map(|file| file.old_size.max(file.new_size) <= LARGE);
    let wanted = wanted.collect();
    let compared = read(
        state,
        (old, new),
        changed,
        wanted,
        (TIME_OF_ONE, KEPT_OF_ONE),
    )
    .await?;
    Ok(compared.files.into_iter().next())
}

/// Reads the wanted files of both versions, and compares them.
async fn read(
    state: &'static State,
    (old, new): (&FileOf, &FileOf),
    changed: Vec<ChangedFile>,
    wanted: Vec<bool>,
    (time, kept): (Duration, usize),
) -> Result<Comparison, NotComparable> {
    let chosen = || changed.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
    let without = |change: &Change| {
        let without = chosen().filter(|(file, _)| file.change != *change);
        without
            .map(|(file, _)| file.path.clone())
            .collect::<Vec<_>>()
    };
    let (before, after) = (without(&Change::Added), without(&Change::Removed));
    let before = some(state, old, before).await.map_err(|why| (false, why))?;
    let after = some(state, new, after).await.map_err(|why| (true, why))?;
    // It may take its time, and the archives may be read by others meanwhile. It is never closed.
    let turn = state.answering.acquire().await;
    let comparing = spawn_blocking(move || {
        let _turn = turn;
        let deadline = Instant::now() + time;
        let files = changed.into_iter().zip(wanted).map(|(file, is_wanted)| {
            let lines = match (&file.change, is_wanted) {
                (Change::Renamed(_), _) => Lines::Same,
                (_, false) => Lines::Beyond,
                _ if Instant::now() > deadline => Lines::Beyond,
                _ => lines(
                    &file.path,
                    (before.get(&file.path), after.get(&file.path)),
                    kept,
                    deadline,
                ),
            };
            Compared { file, lines }
        });
        Comparison {
            files: files.collect(),
        }
    });
    let failed = |error: tokio::task::JoinError| (true, Closed::Store(error.to_string()));
    comparing.await.map_err(failed)
}

/// Reads files, if there are any: an archive is not read for none.
async fn some(
    state: &'static State,
    of: &FileOf,
    paths: Vec<String>,
) -> Result<Arc<Contents>, Closed> {
    match paths.is_empty() {
        true => Ok(Arc::default()),
        false => contents(state, of, paths).await.map(Arc::new),
    }
}

fn lines(
    path: &str,
    (old, new): (Option<&Content>, Option<&Content>),
    kept: usize,
    deadline: Instant,
) -> Lines {
    let both = || [old, new].into_iter().flatten();
    if !both().all(is_text) {
        return Lines::Binary;
    }
    let count = |content: &Content| content.bytes.iter().filter(|byte| **byte == b'\n').count();
    if both().any(|content| count(content) > LINES) {
        return Lines::Beyond;
    }
    let text = |content: Option<&Content>| content.map_or_else(String::new, text);
    let (old, new) = (text(old), text(new));
    let diff = diff(&old, &new, kept, deadline);
    let marks = marks(&diff, (&old, &new), Language::of_path(path));
    Lines::Diff(diff, marks)
}

/// Marks the lines of a difference, each as a part of its text: a comment may have begun before.
fn marks(diff: &Diff, (old, new): (&str, &str), language: Option<Language>) -> Vec<Marks> {
    let whole = |text: &str| (Marks::of(text, language), line_ranges(text));
    let (before, after) = (whole(old), whole(new));
    let of_line = |(marks, lines): &(Marks, Vec<Range<usize>>), number: usize| {
        let line = number.checked_sub(1).and_then(|at| lines.get(at).cloned());
        line.map_or_else(Marks::default, |line| marks.only(line))
    };
    let lines = diff.lines.iter().map(|line| match line {
        DiffLine::Gap => Marks::default(),
        DiffLine::Removed(number, _) => of_line(&before, *number),
        DiffLine::Same(_, number, _) | DiffLine::Added(number, _) => of_line(&after, *number),
    });
    lines.collect()
}
