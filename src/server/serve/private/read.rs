//! What the private index and crate files say of crates, for pages and searches. Who asks may read: the table of routes sees to that.

use std::sync::Arc;

use super::dependents::dependents;
use super::{registry, unread};
use crate::http::error_response::ErrorResponse;
use crate::index::release::{CrateSummary, Release, Releases};
use crate::index::{CrateFile, CrateName, folded};
use crate::server::catalog::crates::CrateRow;
use crate::server::serve::crate_contents::{crate_file, manifest_soon};
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

/// Finds a crate, in whatever spelling of its name; it has one version at least.
pub(in crate::server::serve) async fn find(
    state: &'static State,
    name: &CrateName,
) -> Result<Option<(CrateRow, Arc<Releases>)>, ErrorResponse> {
    let registry = registry(state)?;
    registry.freshness.fresh().await;
    let failed = |error| unread(state, error);
    let mut lines = registry.lines(name).await.map_err(failed)?;
    if lines.is_none() {
        let wanted = folded(name.as_str());
        let near = registry.search(name.as_str()).await.map_err(failed)?;
        let other = near
            .into_iter()
            .find(|other| folded(other.as_str()) == wanted);
        if let Some(other) = other {
            lines = registry.lines(&other).await.map_err(failed)?;
        }
    }
    let Some(lines) = lines else {
        return Ok(None);
    };
    let Some(summary) = CrateSummary::read(&lines) else {
        return Ok(None);
    };
    let manifest = match crate_file(&summary.default) {
        Some(file) => manifest_soon(state, &Registry::Private.file(file)).await,
        None => None,
    };
    let mut row = row(summary);
    if let Some(manifest) = manifest {
        row.description.clone_from(&manifest.description);
        row.keywords.clone_from(&manifest.keywords);
        row.categories.clone_from(&manifest.categories);
        row.license.clone_from(&manifest.license);
        row.homepage.clone_from(&manifest.homepage);
        row.documentation.clone_from(&manifest.documentation);
        row.repository.clone_from(&manifest.repository);
    }
    Ok(Some((row, Arc::new(Releases::of(lines.into())))))
}

/// Finds crates whose names have all words of a text, and describes some of them; returns how many there are in all, too.
pub(in crate::server::serve) async fn search(
    state: &'static State,
    text: &str,
    (offset, limit): (usize, usize),
) -> Result<(usize, Vec<CrateSummary>), ErrorResponse> {
    let registry = registry(state)?;
    registry.freshness.fresh().await;
    let found = registry.search(text).await;
    let found = found.map_err(|error| unread(state, error))?;
    let total = found.len();
    let part = found.into_iter().skip(offset).take(limit);
    Ok((total, summaries(state, part).await?))
}

/// Reads what the index says of crates; those that it does not have are left out.
async fn summaries(
    state: &State,
    names: impl IntoIterator<Item = CrateName>,
) -> Result<Vec<CrateSummary>, ErrorResponse> {
    let registry = registry(state)?;
    let mut crates = Vec::new();
    for name in names {
        let lines = registry.lines(&name).await;
        let lines = lines.map_err(|error| unread(state, error))?;
        crates.extend(lines.and_then(|lines| CrateSummary::read(&lines)));
    }
    Ok(crates)
}

/// Finds crates as [`search`] does, for a list.
pub(in crate::server::serve) async fn rows(
    state: &'static State,
    text: &str,
    part: (usize, usize),
) -> Result<(usize, Vec<CrateRow>), ErrorResponse> {
    let (total, crates) = search(state, text, part).await?;
    Ok((total, described(state, crates).await))
}

/// Finds the crates that need one to build, for a list; returns how many there are in all, too.
pub(in crate::server::serve) async fn dependent_rows(
    state: &'static State,
    name: &str,
    (offset, limit): (usize, usize),
) -> Result<(usize, Vec<CrateRow>), ErrorResponse> {
    let found = dependents(state, name).await?;
    let total = found.len();
    let part = found.into_iter().skip(offset).take(limit);
    let crates = summaries(state, part).await?;
    Ok((total, described(state, crates).await))
}

async fn described(state: &State, crates: Vec<CrateSummary>) -> Vec<CrateRow> {
    let mut rows = Vec::new();
    for summary in crates {
        let description = description(state, &summary.default).await;
        rows.push(CrateRow {
            description,
            ..row(summary)
        });
    }
    rows
}

/// Returns what a version says of itself, as far as its crate file can be read.
pub(in crate::server::serve) async fn description(
    state: &State,
    release: &Release,
) -> Option<String> {
    let registry = state.private.as_ref()?;
    registry.description(&crate_file(release)?).await
}

/// Returns the owners of a crate.
pub(in crate::server::serve) async fn owners(
    state: &State,
    name: &CrateName,
) -> Result<Vec<String>, ErrorResponse> {
    let owners = registry(state)?.owners(name).await;
    let owners = owners.map_err(|error| unread(state, error))?;
    let owners = owners.iter().flat_map(|owners| owners.names());
    Ok(owners.map(str::to_owned).collect())
}

/// Returns the size of a crate file; `None` also where the store cannot be asked.
pub(in crate::server::serve) async fn size(state: &State, file: &CrateFile) -> Option<u64> {
    let registry = state.private.as_ref()?;
    registry.files.size(file).await.ok().flatten()
}

/// Makes of what the index says the row of a list. The catalog knows no private crate, and so it has no number there.
fn row(of: CrateSummary) -> CrateRow {
    let text = |version: Option<semver::Version>| version.map(|version| version.to_string());
    CrateRow {
        id: 0,
        name: of.name,
        versions: of.versions as u64,
        default_version: of.default.version.to_string(),
        newest_version: of.newest.to_string(),
        max_version: text(of.max),
        max_stable_version: text(of.max_stable),
        is_yanked: of.is_yanked,
        rust_version: of.default.rust_version,
        created: of.created.map(|at| at.as_second()),
        updated: of.updated.map(|at| at.as_second()),
        dependents: 0,
        downloads: None,
        recent_downloads: None,
        description: None,
        keywords: Vec::new(),
        categories: Vec::new(),
        license: None,
        homepage: None,
        documentation: None,
        repository: None,
        described: None,
        is_dumped: false,
    }
}
