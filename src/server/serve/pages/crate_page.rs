//! `/crates/NAME` and `/crates/NAME/VERSION`: what a crate is, which version to take, how to add it, and what it brings along.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use semver::Version;

use super::chart::Chart;
use super::dependencies::{Group, groups};
use super::features::{Feature, features};
use super::frame::Frame;
use super::listed::Listed;
use super::mark::{self, Mark, Told};
use super::of_version::{decided, withdrawn};
use super::text::{Link, Moment, Within, clean, number, size};
use super::versions::VersionTable;
use super::{redirect, respond};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::index::CrateName;
use crate::index::release::{ListedRelease, Release, Releases};
use crate::server::catalog::crates::{CrateRow, Query};
use crate::server::crate_files::StoredVersions;
use crate::server::serve::crate_contents::{Readme, crate_file, readme_soon};
use crate::server::serve::crate_reader::{OneCrate, ask, catalog, read};
use crate::server::serve::private::dependents::dependents;
use crate::server::serve::private::read as private;
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

/// How many versions the page lists at once, and how many more unfold.
const FIRST_VERSIONS: usize = 10;
const MORE_VERSIONS: usize = 20;
/// How many owners it lists.
const OWNERS: usize = 20;
/// How many crates are offered where there is none of a name.
const NEAR: usize = 5;
/// What cargo's configuration calls the registry of private crates, as pages write it.
pub(super) const PRIVATE: &str = "private";
/// How many bytes the README takes.
const README: usize = 20 << 10;

#[derive(Template)]
#[template(path = "server/serve/pages/crate.html")]
struct CratePage {
    frame: Frame,
    /// The path of its page.
    base: String,
    name: String,
    description: Option<String>,
    readme: Option<ShownReadme>,
    unreadable: Option<Unreadable>,
    shown: Shown,
    /// The version to take, where another one is shown; `None` also where cargo takes none anew.
    better: Option<String>,
    /// A pre-release that is newer than the version to take.
    pre_release: Option<String>,
    facts: Facts,
    /// The logins of its owners; none where they are not known.
    owners: Vec<String>,
    chart: Option<Chart>,
    first_versions: VersionTable,
    more_versions: VersionTable,
    /// The versions that upstream took back and of which the index has no line.
    withdrawn: Vec<Mark>,
    dependencies: Vec<Group>,
    left_dependencies: usize,
    features: Within<Feature>,
}

/// The version that is shown.
struct Shown {
    number: String,
    is_yanked: bool,
    /// Whether cargo does not read its line in the index.
    is_beyond_cargo: bool,
    /// What the policy says of it, where it is not served as it is.
    mark: Option<Mark>,
    /// The advisories about it.
    advisories: Vec<Told>,
    /// Why it is served although it is young, if an advisory releases it.
    released: Option<String>,
    is_pre_release: bool,
    published: Option<Moment>,
    rust_version: Option<String>,
    links: Option<String>,
    /// The command that adds it.
    add: String,
    /// The line of a manifest.
    manifest: String,
    /// Where the web API has all of it, if it has.
    api: Option<String>,
    /// The size of its crate file, where that is stored.
    stored: Option<String>,
    /// The stored version before it, where both are.
    before: Option<String>,
}

/// What is known of a crate before its page is made.
#[derive(Clone, Copy)]
struct Known<'k> {
    registry: Registry,
    row: &'k CrateRow,
    releases: &'k [ListedRelease],
    stored: &'k StoredVersions,
    /// The size of the crate file that is shown, where that is stored.
    size: Option<u64>,
}

/// The README of the version that is shown, or of the newest one that is here.
struct ShownReadme {
    readme: Arc<Readme>,
    version: String,
    is_of_another: bool,
}

/// A version whose crate file is here and cannot be read, and what is wrong with it.
struct Unreadable {
    version: String,
    wrong: String,
}

/// What is known of the crate as a whole.
struct Facts {
    versions: usize,
    license: Option<String>,
    created: Option<Moment>,
    updated: Option<Moment>,
    dependents: u64,
    dependents_shown: String,
    downloads: Option<String>,
    keywords: Vec<String>,
    links: Vec<(&'static str, Link)>,
}

#[derive(Template)]
#[template(path = "server/serve/pages/missing.html")]
struct Missing {
    frame: Frame,
    /// What is not there: a crate, or a version of one.
    name: String,
    /// The path of the crate's page.
    base: String,
    /// The crate that has no such version.
    of: Option<String>,
    /// Where the server's other registry would have the crate.
    elsewhere: Option<String>,
    /// That it was there, and upstream took it back.
    withdrawn: Vec<Mark>,
    near: Vec<Listed>,
}

/// Shows a version of a crate; the one to take, where none is asked for.
pub(super) async fn show(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    name: String,
    version: Option<String>,
) -> Result<Response<Body>, ErrorResponse> {
    let Some((mut row, releases)) = find(state, registry, &name).await? else {
        return missing(state, headers, registry, &name).await;
    };
    let wanted = version.as_ref().unwrap_or(&row.default_version);
    let wanted = Version::parse(wanted).ok();
    // Each crate has one address.
    if row.name != name && wanted.is_some() {
        let version = version.map(|version| format!("/{version}"));
        let path = format!(
            "{}{}",
            registry.path(&row.name),
            version.unwrap_or_default()
        );
        return Ok(redirect(&path));
    }
    let place = wanted.and_then(|wanted| releases.place_of(&wanted));
    // The catalog may be older than the index.
    let place = place.or_else(|| version.is_none().then_some(0));
    let release = match place {
        Some(place) => read(state, &releases, place).await?,
        None => None,
    };
    let Some(release) = release else {
        let version = version.unwrap_or_default();
        return no_such_version(state, headers, registry, &version, row.name).await;
    };
    let stored = stored_versions(state, registry, &row.name, releases.listed()).await;
    let readme = readme(state, registry, &releases, &release, &stored).await;
    let (readme, unreadable) = match readme {
        Ok(readme) => (readme, None),
        Err(unreadable) => (None, Some(unreadable)),
    };
    if registry.is_private() {
        row.dependents = dependents(state, &row.name).await?.len() as u64;
    }
    let owners = owners(state, registry, &row).await?;
    let size = match (registry, crate_file(&release)) {
        (Registry::Private, Some(file)) => private::size(state, &file).await,
        _ => stored.size(&release.version.to_string()),
    };
    let page = move || {
        let known = Known {
            registry,
            row: &row,
            releases: releases.listed(),
            stored: &stored,
            size,
        };
        CratePage {
            readme,
            unreadable,
            owners,
            ..CratePage::new(state, &known, &release)
        }
    };
    respond(state, headers, StatusCode::OK, page).await
}

/// Says that a crate has no such version.
pub(super) async fn no_such_version(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    version: &str,
    of: String,
) -> Result<Response<Body>, ErrorResponse> {
    let page = Missing {
        frame: Frame::of(state, registry, "No such version"),
        name: clean(version),
        base: registry.path(&of),
        withdrawn: {
            let mut withdrawn = withdrawn(state, registry, &of);
            let number = clean(version);
            withdrawn.retain(|mark| mark.number == number);
            withdrawn
        },
        of: Some(of),
        elsewhere: None,
        near: Vec::new(),
    };
    respond(state, headers, StatusCode::NOT_FOUND, move || page).await
}

/// Reads the logins of a crate's owners, as far as the page lists them.
async fn owners(
    state: &'static State,
    registry: Registry,
    row: &CrateRow,
) -> Result<Vec<String>, ErrorResponse> {
    let owners = match (registry, CrateName::new(&row.name)) {
        (Registry::Private, Ok(name)) => private::owners(state, &name).await?,
        _ => {
            let (catalog, id) = (catalog(state)?, row.id);
            let owners = ask(state, move || catalog.owners(id)).await?.into_iter();
            owners.map(|owner| owner.login).collect()
        }
    };
    Ok(owners
        .iter()
        .take(OWNERS)
        .map(|owner| clean(owner))
        .collect())
}

/// Finds a crate; `None` also for what cannot be the name of one.
pub(super) async fn find(
    state: &'static State,
    registry: Registry,
    name: &str,
) -> Result<Option<(CrateRow, Arc<Releases>)>, ErrorResponse> {
    let named = CrateName::new(name);
    match (registry, named) {
        (Registry::Private, Ok(name)) => private::find(state, &name).await,
        (Registry::Private, Err(_)) => Ok(None),
        (Registry::Mirror, named) => {
            catalog(state)?;
            match named {
                Ok(_) => OneCrate::new(state, name)?.find().await,
                Err(_) => Ok(None),
            }
        }
    }
}

/// Says that there is no such crate, and offers names that are near.
pub(super) async fn missing(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    name: &str,
) -> Result<Response<Body>, ErrorResponse> {
    let near = match registry {
        Registry::Mirror => near(state, name).await?,
        Registry::Private => private::rows(state, name, (0, NEAR)).await?.1,
    };
    // Offered of every name: that there is such a private crate is not for everybody to know.
    let other = match registry {
        Registry::Mirror => state.private.is_some().then_some(Registry::Private),
        Registry::Private => Some(Registry::Mirror),
    };
    let other = other.filter(|_| CrateName::new(name).is_ok());
    let page = Missing {
        frame: Frame {
            searched: clean(name),
            ..Frame::of(state, registry, "No such crate")
        },
        name: clean(name),
        base: registry.path(name),
        of: None,
        withdrawn: withdrawn(state, registry, name),
        elsewhere: other.map(|other| other.path(name)),
        near: Listed::all(registry, &near, &[]),
    };
    respond(state, headers, StatusCode::NOT_FOUND, move || page).await
}

/// Finds crates of the mirror whose names are near one.
async fn near(state: &'static State, name: &str) -> Result<Vec<CrateRow>, ErrorResponse> {
    let catalog = catalog(state)?;
    let query = Query {
        text: name.to_owned(),
        limit: NEAR,
        ..Query::default()
    };
    ask(state, move || {
        let found = catalog.search(&query)?;
        let ids = found.crates.into_iter().chain(found.near);
        catalog.crates(&ids.collect::<Vec<_>>())
    })
    .await
}

/// Returns those of a crate's versions that are stored, as far as that can be known quickly. Private ones all are.
pub(super) async fn stored_versions(
    state: &State,
    registry: Registry,
    name: &str,
    releases: &[ListedRelease],
) -> StoredVersions {
    let (Registry::Mirror, Ok(name)) = (registry, CrateName::new(name)) else {
        return StoredVersions::default();
    };
    let versions = releases.iter().map(|release| &release.version);
    let inventory = state.crate_files.inventory();
    inventory.versions_of(&name, versions).await
}

/// Returns the README of this version, or of the highest one that is stored where this one is not.
async fn readme(
    state: &'static State,
    registry: Registry,
    releases: &Arc<Releases>,
    release: &Release,
    stored: &StoredVersions,
) -> Result<Option<ShownReadme>, Unreadable> {
    // Where it is not known the store is asked for the file itself.
    let is_stored = |version: &Version| stored.may_have(&version.to_string());
    let is_of_another = !is_stored(&release.version);
    let other = match is_of_another {
        true => {
            let mut listed = releases.listed().iter();
            let Some(place) = listed.position(|listed| is_stored(&listed.version)) else {
                return Ok(None);
            };
            let Ok(Some(other)) = read(state, releases, place).await else {
                return Ok(None);
            };
            Some(other)
        }
        false => None,
    };
    let release = other.as_ref().unwrap_or(release);
    let Some(file) = crate_file(release) else {
        return Ok(None);
    };
    let version = release.version.to_string();
    match readme_soon(state, &registry.file(file), README).await {
        Ok(readme) => Ok(readme.map(|readme| ShownReadme {
            readme,
            version,
            is_of_another,
        })),
        Err(wrong) => Err(Unreadable {
            version,
            wrong: clean(&wrong),
        }),
    }
}

impl CratePage {
    fn new(state: &State, known: &Known<'_>, release: &Release) -> Self {
        let Known {
            registry,
            row,
            releases,
            stored,
            ..
        } = *known;
        let default = &row.default_version;
        let decided = decided(state, registry, &row.name);
        let decided = decided.as_deref();
        let mut shown = Shown::new(known, release);
        shown.mark = Mark::of(decided, &shown.number);
        shown.advisories = Told::all(decided, &shown.number);
        shown.released = mark::released(decided, &shown.number);
        shown.find(known, release);
        let is_usable = |listed: &ListedRelease| !listed.is_yanked && !listed.is_beyond_cargo;
        let first = releases.iter().take(FIRST_VERSIONS);
        let more = releases.iter().skip(FIRST_VERSIONS).take(MORE_VERSIONS);
        let newer = releases.first().filter(|newest| {
            let is_pre_release = !newest.version.pre.is_empty() && is_usable(newest);
            is_pre_release && newest.version.to_string() != *default
        });
        let is_taken = |version: &str| {
            let listed = releases
                .iter()
                .find(|listed| listed.version.to_string() == version);
            listed.is_some_and(is_usable)
        };
        let better = (shown.number != *default && is_taken(default)).then(|| default.clone());
        let (dependencies, left_dependencies) = groups(registry, &release.dependencies);
        Self {
            frame: Frame::of(state, registry, format!("{} {}", row.name, shown.number)),
            base: registry.path(&row.name),
            name: row.name.clone(),
            description: row.description.as_deref().map(clean),
            readme: None,
            unreadable: None,
            better,
            pre_release: newer.map(|newest| newest.version.to_string()),
            shown,
            facts: Facts::new(row, releases.len()),
            owners: Vec::new(),
            chart: Chart::of(releases, Timestamp::now()),
            first_versions: VersionTable::new(first, default, stored, decided),
            more_versions: VersionTable::new(more, default, stored, decided),
            withdrawn: withdrawn(state, registry, &row.name),
            dependencies,
            left_dependencies,
            features: features(release),
        }
    }

    /// Returns how many versions the page leaves out.
    fn left_versions(&self) -> usize {
        self.facts.versions - self.first_versions.rows.len() - self.more_versions.rows.len()
    }
}

impl Shown {
    fn new(known: &Known<'_>, release: &Release) -> Self {
        let row = known.row;
        let (name, number) = (&row.name, release.version.to_string());
        let is_default = number == row.default_version;
        let is_pre_release = !release.version.pre.is_empty();
        // Build metadata is not compared, and cargo warns of a requirement that has it.
        let requirement = number.split('+').next().unwrap_or_default();
        let spec = match is_default && !is_pre_release {
            true => name.clone(),
            false => format!("{name}@{requirement}"),
        };
        let (options, manifest) = match known.registry {
            Registry::Mirror => (String::new(), format!("{name} = \"{requirement}\"")),
            Registry::Private => (
                format!(" --registry {PRIVATE}"),
                format!("{name} = {{ version = \"{requirement}\", registry = \"{PRIVATE}\" }}"),
            ),
        };
        Self {
            add: format!("cargo add {spec}{options}"),
            manifest,
            is_yanked: release.is_yanked,
            is_beyond_cargo: release.is_beyond_cargo,
            mark: None,
            advisories: Vec::new(),
            released: None,
            is_pre_release,
            published: release.published.map(Moment::of),
            rust_version: release.rust_version.as_deref().map(clean),
            links: release.links.as_deref().map(clean),
            api: match known.registry {
                Registry::Mirror => Some(format!("/api/v1/crates/{name}/{number}")),
                Registry::Private => None,
            },
            stored: None,
            before: None,
            number,
        }
    }

    /// Finds what is stored of it, and of the versions before it.
    fn find(&mut self, known: &Known<'_>, release: &Release) {
        let Some(bytes) = known.size else {
            return;
        };
        self.stored = Some(size(bytes));
        let is_stored =
            |version: &String| known.registry.is_private() || known.stored.size(version).is_some();
        let lower = known.releases.iter().map(|listed| &listed.version);
        let lower = lower.filter(|version| **version < release.version);
        let mut lower = lower.map(ToString::to_string);
        self.before = lower.find(is_stored);
    }
}

impl Facts {
    fn new(row: &CrateRow, versions: usize) -> Self {
        let links = [
            ("Repository", &row.repository),
            ("Documentation", &row.documentation),
            ("Home page", &row.homepage),
        ];
        let links = links.into_iter().filter_map(|(title, address)| {
            let link = Link::of(address.as_deref()?)?;
            Some((title, link))
        });
        Self {
            versions,
            license: row.license.as_deref().map(clean),
            created: row.created.and_then(Moment::of_seconds),
            updated: row.updated.and_then(Moment::of_seconds),
            dependents: row.dependents,
            dependents_shown: number(row.dependents),
            downloads: row.downloads.map(number),
            keywords: row
                .keywords
                .iter()
                .take(8)
                .map(|word| clean(word))
                .collect(),
            links: links.collect(),
        }
    }
}
