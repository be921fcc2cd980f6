//! `/crates/NAME/OLD...NEW`: what changed between two stored versions.

use askama::Template;
use axum::http::{HeaderMap, Response, StatusCode};
use url::form_urlencoded;

use super::crate_page::{find, missing, no_such_version};
use super::frame::Frame;
use super::listed::Pages;
use super::mark::Mark;
use super::numbered::{Piece, cost, marks_cost, pages, pieces};
use super::of_version::{OfVersion, not_here, pick};
use super::source::note;
use super::text::{clean, in_path, number, page_number, size};
use super::{redirect, respond};
use crate::count::{counted, noun_of};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::server::crate_diff::{Change, Diff, DiffLine};
use crate::server::highlight::Marks;
use crate::server::serve::comparison::{Compared, Comparison, Lines, compare, compare_file};
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

/// How many bytes the list of files takes on a page, and each row beside its texts.
const LIST: usize = 28 << 10;
const FILE: usize = 230;
/// How many bytes of lines the overview has, and the page of one file.
const OVERVIEW: usize = 22 << 10;
const ONE_FILE: usize = 46 << 10;
/// What a row takes beside its text, in bytes.
const MARKUP: usize = 62;

#[derive(Template)]
#[template(path = "server/serve/pages/compare.html")]
struct ComparePage {
    frame: Frame,
    versions: Versions,
    summary: String,
    files: Vec<FileRow>,
    shown: Vec<FileDiff>,
    pages: Pages,
}

#[derive(Template)]
#[template(path = "server/serve/pages/compare_file.html")]
struct CompareFile {
    frame: Frame,
    versions: Versions,
    file: FileRow,
    lines: Vec<Row>,
    is_cut: bool,
    pages: Pages,
}

/// The two versions.
struct Versions {
    registry: Registry,
    /// The path of the crate's page.
    base: String,
    name: String,
    old: String,
    new: String,
    /// What the policy says of either.
    marks: Vec<Mark>,
}

/// A file that changed.
struct FileRow {
    path: String,
    /// The page of its lines, where there are any to show.
    href: Option<String>,
    /// What happened: a class of the style, and the word.
    state: (&'static str, &'static str),
    /// What else there is to say of it.
    notes: Vec<String>,
    counts: Option<(String, String)>,
}

/// A file whose lines are shown on the overview.
struct FileDiff {
    path: String,
    lines: Vec<Row>,
}

/// A line of a diff.
struct Row {
    class: &'static str,
    old: String,
    new: String,
    sign: &'static str,
    pieces: Vec<Piece>,
}

/// Shows what changed; of one file, where the query names it.
pub(super) async fn show(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    name: String,
    (old, new): (String, String),
    query: Option<String>,
) -> Result<Response<Body>, ErrorResponse> {
    let Some((row, releases)) = find(state, registry, &name).await? else {
        return missing(state, headers, registry, &name).await;
    };
    if row.name != name {
        let versions = format!("{}...{}", in_path(&old), in_path(&new));
        let path = registry.path(&row.name);
        return Ok(redirect(&format!("{path}/{versions}")));
    }
    let Some(before) = pick(state, registry, &row.name, &releases, &old).await? else {
        return no_such_version(state, headers, registry, &old, row.name).await;
    };
    let Some(after) = pick(state, registry, &row.name, &releases, &new).await? else {
        return no_such_version(state, headers, registry, &new, row.name).await;
    };
    // Until the page is made: what is compared takes many times its memory.
    let _turn = state.comparing.acquire().await;
    let page = page_number(query.as_deref());
    match file(query.as_deref()) {
        Some(path) => one_file(state, headers, (before, after), path, page).await,
        None => overview(state, headers, (before, after), page).await,
    }
}

/// Reads the parameter `file`.
fn file(query: Option<&str>) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let (_, value) = pairs.find(|(name, _)| name == "file")?;
    Some(value.into_owned())
}

async fn overview(
    state: &'static State,
    headers: HeaderMap,
    (old, new): (OfVersion, OfVersion),
    page: usize,
) -> Result<Response<Body>, ErrorResponse> {
    match compare(state, &old.file, &new.file).await {
        Ok(comparison) => {
            let versions = Versions::of(&old, &new);
            let page = move || ComparePage::new(state, versions, &comparison, page);
            respond(state, headers, StatusCode::OK, page).await
        }
        Err((is_new, why)) => {
            let of = if is_new { new } else { old };
            not_here(state, headers, of, why).await
        }
    }
}

async fn one_file(
    state: &'static State,
    headers: HeaderMap,
    (old, new): (OfVersion, OfVersion),
    path: String,
    page: usize,
) -> Result<Response<Body>, ErrorResponse> {
    let versions = Versions::of(&old, &new);
    match compare_file(state, &old.file, &new.file, &path).await {
        Ok(Some(compared)) => {
            let page = move || CompareFile::new(state, versions, &compared, page);
            respond(state, headers, StatusCode::OK, page).await
        }
        // It is the same, or in neither: the overview says what is not.
        Ok(None) => Ok(redirect(&versions.path())),
        Err((is_new, why)) => {
            let of = if is_new { new } else { old };
            not_here(state, headers, of, why).await
        }
    }
}

impl Versions {
    fn of(old: &OfVersion, new: &OfVersion) -> Self {
        Self {
            registry: new.file.registry,
            base: new.base(),
            name: new.name.clone(),
            old: old.number.clone(),
            new: new.number.clone(),
            marks: [old, new]
                .into_iter()
                .filter_map(|of| of.mark.clone())
                .collect(),
        }
    }

    fn path(&self) -> String {
        format!("{}/{}...{}", self.base, self.old, self.new)
    }

    /// Returns the page of a file.
    fn file(&self, path: &str) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(
            format!("{}?", self.path()),
            self.path().len() + 1,
        );
        query.append_pair("file", path);
        query.finish()
    }
}

impl ComparePage {
    fn new(state: &State, versions: Versions, comparison: &Comparison, page: usize) -> Self {
        let path = versions.path();
        let costs = comparison.files.iter().map(|compared| {
            let old = match &compared.file.change {
                Change::Renamed(from) => cost(from),
                _ => 0,
            };
            FILE + versions.file(&compared.file.path).len() + cost(&compared.file.path) + old
        });
        let all = pages(costs, LIST);
        let at = (page - 1).min(all.len() - 1);
        let wanted = comparison.files.get(all[at].clone()).unwrap_or_default();
        let mut left = OVERVIEW;
        let shown = wanted.iter().filter_map(|compared| {
            let Lines::Diff(diff, marks) = &compared.lines else {
                return None;
            };
            let lines = marked(diff, marks);
            let bytes: usize = lines.iter().map(bytes).sum();
            let bytes = bytes + 2 * cost(&compared.file.path) + 400;
            let fits = !diff.is_cut && bytes <= left;
            left -= if fits { bytes } else { 0 };
            fits.then(|| FileDiff {
                path: clean(&compared.file.path),
                lines: lines.iter().map(Row::new).collect(),
            })
        });
        Self {
            shown: shown.collect(),
            frame: Frame::of(
                state,
                versions.registry,
                format!("{} {} to {}", versions.name, versions.old, versions.new),
            ),
            summary: summary(comparison),
            files: wanted
                .iter()
                .map(|compared| FileRow::new(&versions, compared))
                .collect(),
            pages: Pages::new(at + 1, all.len(), 1, |page| format!("{path}?page={page}")),
            versions,
        }
    }
}

/// Says how much changed.
fn summary(comparison: &Comparison) -> String {
    let count = |is_so: fn(&Change) -> bool| {
        let files = comparison.files.iter();
        files
            .filter(|compared| is_so(&compared.file.change))
            .count()
    };
    let kinds = [
        (count(|change| *change == Change::Changed), "changed"),
        (count(|change| *change == Change::Added), "added"),
        (count(|change| *change == Change::Removed), "removed"),
        (
            count(|change| matches!(change, Change::Renamed(_))),
            "renamed",
        ),
    ];
    let kinds = kinds.into_iter().filter(|(count, _)| *count > 0);
    let kinds: Vec<_> = kinds
        .map(|(count, what)| format!("{} {what}", counted(count, "file")))
        .collect();
    let (added, removed) = comparison.counts();
    let lines = noun_of(added as u64, "line");
    let (added, removed) = (number(added as u64), number(removed as u64));
    format!(
        "{}; {added} {lines} added, {removed} removed",
        kinds.join(", ")
    )
}

impl CompareFile {
    fn new(state: &State, versions: Versions, compared: &Compared, page: usize) -> Self {
        let (lines, is_cut) = match &compared.lines {
            Lines::Diff(diff, marks) => (marked(diff, marks), diff.is_cut),
            _ => (Vec::new(), false),
        };
        let all = pages(lines.iter().map(bytes), ONE_FILE);
        let at = (page - 1).min(all.len() - 1);
        let shown = lines.get(all[at].clone()).unwrap_or_default();
        let path = versions.file(&compared.file.path);
        Self {
            frame: Frame::of(
                state,
                versions.registry,
                format!(
                    "{} · {} {} to {}",
                    clean(&compared.file.path),
                    versions.name,
                    versions.old,
                    versions.new
                ),
            ),
            file: FileRow::new(&versions, compared),
            lines: shown.iter().map(Row::new).collect(),
            is_cut,
            pages: Pages::new(at + 1, all.len(), 1, |page| format!("{path}&page={page}")),
            versions,
        }
    }
}

impl FileRow {
    fn new(versions: &Versions, compared: &Compared) -> Self {
        let file = &compared.file;
        let mut notes = Vec::new();
        let state = match &file.change {
            Change::Added => ("good", "added"),
            Change::Removed => ("bad", "removed"),
            Change::Changed => ("warn", "changed"),
            Change::Renamed(from) => {
                notes.push(format!("was {}", clean(from)));
                ("warn", "renamed")
            }
        };
        notes.extend(note(&file.path).map(str::to_owned));
        let (mut href, mut counts) = (None, None);
        match &compared.lines {
            Lines::Same => {}
            Lines::Binary => notes.push(format!("no text: {}", sizes(compared))),
            // Asked for alone, it may have the room.
            Lines::Beyond => {
                href = Some(versions.file(&file.path));
                notes.push(format!("not compared here: {}", sizes(compared)));
            }
            Lines::Diff(diff, _) => {
                href = Some(versions.file(&file.path));
                let (added, removed) = (diff.added as u64, diff.removed as u64);
                counts = Some((number(added), number(removed)));
            }
        }
        Self {
            path: clean(&file.path),
            href,
            state,
            notes,
            counts,
        }
    }
}

fn sizes(compared: &Compared) -> String {
    let (old, new) = (size(compared.file.old_size), size(compared.file.new_size));
    match &compared.file.change {
        Change::Added => new,
        Change::Removed => old,
        _ => format!("{old} before, {new} after"),
    }
}

/// A line of a diff, and its marks.
type Marked<'d> = (&'d DiffLine, &'d Marks);

fn marked<'d>(diff: &'d Diff, marks: &'d [Marks]) -> Vec<Marked<'d>> {
    diff.lines.iter().zip(marks).collect()
}

/// Returns how many bytes a line takes on a page.
fn bytes((line, marks): &Marked<'_>) -> usize {
    let text = match line {
        DiffLine::Gap => "",
        DiffLine::Same(_, _, text) | DiffLine::Removed(_, text) | DiffLine::Added(_, text) => text,
    };
    MARKUP + cost(text) + marks_cost(marks, 0..text.len()).unwrap_or_default()
}

impl Row {
    fn new((line, marks): &Marked<'_>) -> Self {
        let (class, old, new, sign, text) = match line {
            DiffLine::Gap => ("gap", None, None, "", "…"),
            DiffLine::Same(old, new, text) => ("", Some(old), Some(new), " ", text.as_str()),
            DiffLine::Removed(old, text) => ("gone", Some(old), None, "-", text.as_str()),
            DiffLine::Added(new, text) => ("came", None, Some(new), "+", text.as_str()),
        };
        let shown = |number: Option<&usize>| number.map_or_else(String::new, usize::to_string);
        Self {
            class,
            old: shown(old),
            new: shown(new),
            sign,
            pieces: pieces(text, marks, 0..text.len()),
        }
    }
}
