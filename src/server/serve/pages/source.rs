//! `/crates/NAME/VERSION/src/…` and `/crates/NAME/VERSION/readme`: what a stored crate file has in it.
//!
//! Whatever a file is, it is shown as escaped text within a page of ours, and never sent under a type of its own.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, Response, StatusCode};
use url::form_urlencoded;

use super::frame::Frame;
use super::listed::Pages;
use super::mark::Mark;
use super::numbered::{Part, cost, pages};
use super::of_version::{OfVersion, find_version, not_here};
use super::text::{clean, in_path, number, page_number, size};
use super::{redirect, respond};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::server::crate_archive::{ArchivedFile, Content};
use crate::server::highlight::Language;
use crate::server::serve::crate_contents::{Readme, contents, files, is_text, readme, text};
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

/// How many bytes the rows of a page take, and each beside its texts.
const ROWS: usize = 48 << 10;
const MARKUP: usize = 150;
/// How many bytes the README takes on its own page.
const README: usize = 54 << 10;

#[derive(Template)]
#[template(path = "server/serve/pages/files.html")]
struct FilesPage {
    frame: Frame,
    /// The path of the crate's page.
    base: String,
    name: String,
    version: String,
    mark: Option<Mark>,
    count: String,
    is_one: bool,
    total: String,
    folders: Vec<Folder>,
    pages: Pages,
    /// Whether a browser may ask for the JSON, and whether there is any.
    is_open: bool,
    has_api: bool,
}

/// The files of a folder.
struct Folder {
    /// Its path; empty for the root.
    path: String,
    files: Vec<FileRow>,
}

struct FileRow {
    name: String,
    href: String,
    size: String,
    /// What there is to know of a file of this name.
    note: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "server/serve/pages/file.html")]
struct FilePage {
    frame: Frame,
    /// The path of the crate's page.
    base: String,
    name: String,
    version: String,
    mark: Option<Mark>,
    path: String,
    size: String,
    checksum: String,
    note: Option<&'static str>,
    /// `None` for what is no text.
    part: Option<Part>,
    /// How many bytes at the end are not shown.
    left: Option<String>,
    pages: Pages,
    is_open: bool,
}

#[derive(Template)]
#[template(path = "server/serve/pages/readme.html")]
struct ReadmePage {
    frame: Frame,
    /// The path of the crate's page.
    base: String,
    name: String,
    version: String,
    mark: Option<Mark>,
    readme: Option<Arc<Readme>>,
    /// The README as it was written.
    source: String,
}

#[derive(Template)]
#[template(path = "server/serve/pages/no_file.html")]
struct NoFile {
    frame: Frame,
    /// The path of the crate's page.
    base: String,
    name: String,
    version: String,
    path: String,
}

/// Lists the files of a version.
pub(super) async fn list(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    (name, version): (String, String),
    page: usize,
) -> Result<Response<Body>, ErrorResponse> {
    let of = match find_version(state, &headers, registry, (&name, &version), "/src/").await? {
        Ok(of) => of,
        Err(other) => return Ok(other),
    };
    let files = match files(state, &of.file).await {
        Ok(files) => files,
        Err(why) => return not_here(state, headers, of, why).await,
    };
    let page = move || FilesPage::new(state, of, &files, page);
    respond(state, headers, StatusCode::OK, page).await
}

impl FilesPage {
    fn new(state: &State, of: OfVersion, files: &[ArchivedFile], page: usize) -> Self {
        let base = format!("{}/{}/src/", of.base(), of.number);
        let in_order = in_order(files);
        let costs = in_order.iter().map(|file| {
            let (folder, _) = parts(&file.path);
            // Each may be the first of its folder.
            MARKUP + base.len() + in_path(&file.path).len() + cost(&file.path) + cost(folder)
        });
        let all = pages(costs, ROWS);
        let at = (page - 1).min(all.len() - 1);
        let shown = in_order.get(all[at].clone()).unwrap_or_default();
        Self {
            frame: Frame::of(
                state,
                of.file.registry,
                format!("Files of {} {}", of.name, of.number),
            ),
            count: number(files.len() as u64),
            is_one: files.len() == 1,
            total: size(files.iter().map(|file| file.size).sum::<u64>()),
            folders: folders(shown.iter().copied(), &base),
            pages: Pages::new(at + 1, all.len(), 1, |page| format!("{base}?page={page}")),
            is_open: of.is_open(state),
            has_api: !of.file.registry.is_private(),
            base: of.base(),
            name: of.name,
            version: of.number,
            mark: of.mark,
        }
    }
}

/// Returns the files of the root first, then folder by folder.
fn in_order(files: &[ArchivedFile]) -> Vec<&ArchivedFile> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by(|one, other| parts(&one.path).cmp(&parts(&other.path)));
    files
}

/// Returns the folder and the name of a file.
fn parts(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn folders<'f>(files: impl Iterator<Item = &'f ArchivedFile>, base: &str) -> Vec<Folder> {
    let mut folders: Vec<Folder> = Vec::new();
    for file in files {
        let (folder, name) = parts(&file.path);
        let row = FileRow {
            name: clean(name),
            href: format!("{base}{}", in_path(&file.path)),
            size: size(file.size),
            note: note(&file.path),
        };
        let folder = clean(folder);
        match folders.last_mut() {
            Some(last) if last.path == folder => last.files.push(row),
            _ => folders.push(Folder {
                path: folder,
                files: vec![row],
            }),
        }
    }
    folders
}

/// Says what there is to know of a file of this path.
pub(super) fn note(path: &str) -> Option<&'static str> {
    match path {
        "build.rs" => Some("runs while the crate is built"),
        "Cargo.toml" => Some("as cargo rewrote it for the registry"),
        "Cargo.toml.orig" => Some("as its author wrote it"),
        ".cargo_vcs_info.json" => Some("the commit that it says it was made of"),
        _ => None,
    }
}

/// Shows a file.
pub(super) async fn show(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    (name, version): (String, String),
    path: String,
    query: Option<String>,
) -> Result<Response<Body>, ErrorResponse> {
    let below = format!("/src/{}", in_path(&path));
    let of = match find_version(state, &headers, registry, (&name, &version), &below).await? {
        Ok(of) => of,
        Err(other) => return Ok(other),
    };
    let listed = match files(state, &of.file).await {
        Ok(files) => files,
        Err(why) => return not_here(state, headers, of, why).await,
    };
    let found = listed.binary_search_by(|file| file.path.as_str().cmp(&path));
    let Some(listed) = found.ok().and_then(|place| listed.get(place)) else {
        let folder = format!("{}/", path.trim_end_matches('/'));
        // A folder has no page of its own.
        return match listed.iter().any(|file| file.path.starts_with(&folder)) {
            true => Ok(redirect(&format!("{}/{}/src/", of.base(), of.number))),
            false => no_file(state, headers, of, &path).await,
        };
    };
    let content = match contents(state, &of.file, vec![path.clone()]).await {
        Ok(mut contents) => contents.remove(&path),
        Err(why) => return not_here(state, headers, of, why).await,
    };
    match content {
        Some(content) => {
            let listed = listed.clone();
            let page = move || FilePage::new(state, of, &listed, &content, query.as_deref());
            respond(state, headers, StatusCode::OK, page).await
        }
        None => no_file(state, headers, of, &path).await,
    }
}

async fn no_file(
    state: &'static State,
    headers: HeaderMap,
    of: OfVersion,
    path: &str,
) -> Result<Response<Body>, ErrorResponse> {
    let page = NoFile {
        frame: Frame::of(state, of.file.registry, "No such file"),
        base: of.base(),
        name: of.name,
        version: of.number,
        path: clean(path),
    };
    respond(state, headers, StatusCode::NOT_FOUND, move || page).await
}

impl FilePage {
    fn new(
        state: &State,
        of: OfVersion,
        listed: &ArchivedFile,
        content: &Content,
        query: Option<&str>,
    ) -> Self {
        let language = Language::of_path(&listed.path);
        let part = is_text(content)
            .then(|| Part::of(&text(content), language, page_number(query), line(query)));
        let base = format!("{}/{}/src/{}", of.base(), of.number, in_path(&listed.path));
        let (page, last) = part.as_ref().map_or((1, 1), |part| (part.page, part.last));
        let left = content.size.saturating_sub(content.bytes.len() as u64);
        Self {
            frame: Frame::of(
                state,
                of.file.registry,
                format!("{} · {} {}", clean(&listed.path), of.name, of.number),
            ),
            path: clean(&listed.path),
            size: size(listed.size),
            checksum: listed
                .checksum
                .map_or_else(String::new, |sum| sum.to_string()),
            note: note(&listed.path),
            left: (left > 0 && part.is_some()).then(|| size(left)),
            part,
            pages: Pages::new(page, last, 1, |page| format!("{base}?page={page}")),
            is_open: of.is_open(state),
            base: of.base(),
            name: of.name,
            version: of.number,
            mark: of.mark,
        }
    }
}

/// Reads the parameter `line`, for links to a line of whatever page.
fn line(query: Option<&str>) -> Option<usize> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let (_, value) = pairs.find(|(name, _)| name == "line")?;
    value.parse().ok()
}

/// Shows the README of a version, as far as one page has room.
pub(super) async fn show_readme(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    (name, version): (String, String),
) -> Result<Response<Body>, ErrorResponse> {
    let of = match find_version(state, &headers, registry, (&name, &version), "/readme").await? {
        Ok(of) => of,
        Err(other) => return Ok(other),
    };
    let readme = match readme(state, &of.file, README).await {
        Ok(readme) => readme,
        Err(why) => return not_here(state, headers, of, why).await,
    };
    let path = readme.as_ref().map(|readme| in_path(&readme.path));
    let page = ReadmePage {
        frame: Frame::of(
            state,
            of.file.registry,
            format!("README of {} {}", of.name, of.number),
        ),
        base: of.base(),
        source: format!(
            "{}/{}/src/{}",
            of.base(),
            of.number,
            path.unwrap_or_default()
        ),
        name: of.name,
        version: of.number,
        mark: of.mark,
        readme,
    };
    respond(state, headers, StatusCode::OK, move || page).await
}
