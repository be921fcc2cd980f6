//! `/crates/NAME/versions`: all versions of a crate.

use askama::Template;
use axum::http::{HeaderMap, Response, StatusCode};

use super::crate_page::{find, missing, stored_versions};
use super::frame::Frame;
use super::listed::Pages;
use super::mark::{self, Mark};
use super::of_version::{decided, withdrawn};
use super::respond;
use super::text::{Moment, clean, number, size};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::index::release::ListedRelease;
use crate::server::crate_files::StoredVersions;
use crate::server::decisions::DecidedFile;
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

const PER_PAGE: usize = 100;
/// What there is to say of a version whose line cargo does not read.
pub(super) const IGNORED: &str = "ignored by cargo";

#[derive(Template)]
#[template(path = "server/serve/pages/versions.html")]
struct Versions {
    frame: Frame,
    /// The path of the crate's page.
    base: String,
    name: String,
    total: String,
    is_one: bool,
    table: VersionTable,
    /// The versions that upstream took back and of which the index has no line, on the first page.
    withdrawn: Vec<Mark>,
    pages: Pages,
}

/// A list of versions; what the index says of none of them has no column.
pub(super) struct VersionTable {
    pub(super) rows: Vec<VersionRow>,
    pub(super) is_dated: bool,
    pub(super) names_rust: bool,
    pub(super) is_stored: bool,
}

/// A version in a list.
pub(super) struct VersionRow {
    pub(super) number: String,
    /// What there is to say of it: a class of the style, and the word.
    pub(super) state: Option<(&'static str, &'static str)>,
    pub(super) published: Option<Moment>,
    pub(super) rust_version: Option<String>,
    /// The size of its crate file, where that is stored.
    pub(super) stored: Option<String>,
}

impl VersionRow {
    fn new(
        release: &ListedRelease,
        default: &str,
        stored: &StoredVersions,
        decided: Option<&DecidedFile>,
    ) -> Self {
        let number = release.version.to_string();
        let marked = mark::state(decided, &number);
        let advised = mark::advised(decided, &number);
        let state = match () {
            () if marked.is_some() => marked,
            () if release.is_yanked => Some(("bad", "yanked")),
            () if release.is_beyond_cargo => Some(("bad", IGNORED)),
            () if advised.is_some() => advised,
            () if number == default => Some(("good", "take this")),
            () if !release.version.pre.is_empty() => Some(("warn", "pre-release")),
            () => None,
        };
        Self {
            stored: stored.size(&number).map(size),
            number,
            state,
            published: release.published.map(Moment::of),
            rust_version: release.rust_version.as_deref().map(clean),
        }
    }
}

impl VersionTable {
    /// Makes a row of each release.
    pub(super) fn new<'r>(
        releases: impl IntoIterator<Item = &'r ListedRelease>,
        default: &str,
        stored: &StoredVersions,
        decided: Option<&DecidedFile>,
    ) -> Self {
        let releases = releases.into_iter();
        let rows: Vec<_> = releases
            .map(|release| VersionRow::new(release, default, stored, decided))
            .collect();
        Self {
            is_dated: rows.iter().any(|row| row.published.is_some()),
            is_stored: rows.iter().any(|row| row.stored.is_some()),
            names_rust: rows.iter().any(|row| row.rust_version.is_some()),
            rows,
        }
    }
}

/// Shows the page.
pub(super) async fn show(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    name: String,
    page: usize,
) -> Result<Response<Body>, ErrorResponse> {
    let Some((row, releases)) = find(state, registry, &name).await? else {
        return missing(state, headers, registry, &name).await;
    };
    let releases = releases.listed();
    let stored = stored_versions(state, registry, &row.name, releases).await;
    let decided = decided(state, registry, &row.name);
    let base = registry.path(&row.name);
    let wanted = releases.iter().skip((page - 1).saturating_mul(PER_PAGE));
    let page = Versions {
        frame: Frame::of(state, registry, format!("Versions of {}", row.name)),
        total: number(releases.len() as u64),
        is_one: releases.len() == 1,
        table: VersionTable::new(
            wanted.take(PER_PAGE),
            &row.default_version,
            &stored,
            decided.as_deref(),
        ),
        withdrawn: match page {
            1 => withdrawn(state, registry, &row.name),
            _ => Vec::new(),
        },
        pages: Pages::new(page, releases.len(), PER_PAGE, |page| {
            format!("{base}/versions?page={page}")
        }),
        base: base.clone(),
        name: row.name,
    };
    respond(state, headers, StatusCode::OK, move || page).await
}
