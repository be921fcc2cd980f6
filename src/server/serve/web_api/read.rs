//! The part of crates.io's web API that reads: search, crates, versions, dependencies and dependents. `cargo search` asks
//! it, and tools that watch dependencies.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use percent_encoding::percent_decode_str;
use semver::Version;
use serde::Serialize;

use super::json::{
    CrateAnswer, CrateJson, DependenciesAnswer, DependencyJson, DependentsAnswer, MetaJson,
    SearchJson, VersionAnswer, VersionJson, VersionsAnswer, version_number,
};
use super::lists::{CategoryJson, KeywordJson};
use super::parameters::{OfVersions, Parameters, malformed};
use super::told;
use crate::error::{Error, Kind, Result};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, NOTHING_HERE, Reply};
use crate::index::release::{DependencyKind, Release, Releases};
use crate::server::catalog::crates::{CrateRow, LabelKind, OwnerKind, Query};
use crate::server::decisions::Gone;
use crate::server::serve::crate_reader::{OneCrate, ask, body, catalog, read};
use crate::server::serve::state::State;

/// The number of a crate that the catalog does not know any more.
const NO_CRATE: u32 = 0;
/// How many bytes of index lines are answered with; the file of the crate with the most versions has fewer.
const LINES: usize = 8 << 20;

/// `GET /api/v1/crates`: search.
pub(in crate::server::serve) fn search(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let catalog = catalog(state)?;
    let parameters = Parameters::read(request.query)?;
    let query = Query {
        text: parameters.text.clone(),
        sort: parameters.sort,
        offset: parameters.offset(),
        limit: parameters.per_page,
    };
    let filter = parameters.filter.clone();
    Ok(Reply::later(async move {
        if !filter.owners.is_empty() && ask(state, || catalog.last_import()).await?.is_none() {
            return Err(malformed(
                "this server knows no owners before a dump is imported: leave out user_id and team_id",
            ));
        }
        let (found, crates, near) = ask(state, move || {
            let found = catalog.search_among(&filter, &query)?;
            let crates = catalog.crates(&found.crates)?;
            let near = catalog.crates(&found.near)?;
            Ok((found, crates, near))
        })
        .await?;
        let crates = crates.into_iter().map(|row| {
            let exact_match = found.exact == Some(row.id);
            CrateJson::new(row).matching(exact_match)
        });
        json(
            state,
            SearchJson {
                crates: crates.collect(),
                meta: MetaJson {
                    did_you_mean: near.into_iter().map(|row| row.name).collect(),
                    ..parameters.meta(found.total)
                },
            },
        )
        .await
    }))
}

/// `GET /api/v1/crates/NAME…`: what is known of a crate.
pub(in crate::server::serve) fn below(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    // Cut first: a `%2F` is no slash.
    let parts = request.wildcard.split('/');
    let parts: Vec<_> = parts
        .map(|part| percent_decode_str(part).decode_utf8_lossy())
        .collect();
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    // Neither a crate nor a version has an empty name.
    if parts.contains(&"") {
        let detail =
            "there is nothing at this path: remove the doubled slash, or the one at the end";
        return Err(ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail));
    }
    let of = |name: &str| OneCrate::new(state, name);
    match *parts.as_slice() {
        [name] => Ok(Reply::later(of(name)?.describe())),
        [name, "versions"] => {
            let parameters = OfVersions::read(request.query)?;
            Ok(Reply::later(of(name)?.versions(parameters)))
        }
        [name, "reverse_dependencies"] => {
            let parameters = Parameters::of_pages(request.query)?;
            Ok(Reply::later(of(name)?.dependents(parameters)))
        }
        [name, "owners"] => Ok(Reply::later(of(name)?.owners(None))),
        [name, "owner_user"] => Ok(Reply::later(of(name)?.owners(Some(OwnerKind::User)))),
        [name, "owner_team"] => Ok(Reply::later(of(name)?.owners(Some(OwnerKind::Team)))),
        // Not served, and no version either.
        [_, "downloads"] => Err(nothing(request.wildcard)),
        [name, versions] if versions.contains("...") => {
            let (old, new) = versions.split_once("...").unwrap_or_default();
            let changes = of(name)?.changes(old.to_owned(), new.to_owned());
            Ok(Reply::later(changes))
        }
        [name, version] => Ok(Reply::later(of(name)?.version(version.to_owned()))),
        [name, version, "files"] => Ok(Reply::later(of(name)?.files(version.to_owned()))),
        [name, version, "dependencies"] => {
            Ok(Reply::later(of(name)?.dependencies(version.to_owned())))
        }
        [name, version, "readme"] => Ok(Reply::later(of(name)?.readme(version.to_owned()))),
        _ => Err(nothing(request.wildcard)),
    }
}

fn nothing(below: &str) -> ErrorResponse {
    let detail = told(&format!("/api/v1/crates/{below}")).unwrap_or(NOTHING_HERE);
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail)
}

/// A release, and its number.
pub(super) type Numbered = (u64, Release);

impl OneCrate {
    async fn describe(self) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        // Until the answer is written: before that it takes several times the memory.
        let _turn = state.answering.acquire().await;
        let (row, versions) = self.read_all().await?;
        let numbers = versions.iter().map(|version| version.id).collect();
        let catalog = self.catalog;
        let labels = (row.keywords.clone(), row.categories.clone());
        let (keywords, categories) = ask(state, move || {
            Ok((
                catalog.labels(LabelKind::Keyword, &labels.0)?,
                catalog.labels(LabelKind::Category, &labels.1)?,
            ))
        })
        .await?;
        json(
            state,
            CrateAnswer {
                versions,
                of: CrateJson::new(row).with_versions(numbers),
                keywords: keywords.into_iter().map(KeywordJson::new).collect(),
                categories: categories.into_iter().map(CategoryJson::new).collect(),
            },
        )
        .await
    }

    async fn versions(self, parameters: OfVersions) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        // Until the answer is written: before that it takes several times the memory.
        let _turn = state.answering.acquire().await;
        let mut versions = match self.find().await?.is_none() && !self.gone().is_empty() {
            // Nothing else of it is left.
            true => self.gone_versions(NO_CRATE, self.name.as_ref()),
            false => self.read_all().await?.1,
        };
        let OfVersions { by_date, numbers } = parameters;
        versions.retain(|version| numbers.is_empty() || numbers.contains(&version.num));
        if by_date {
            versions.sort_by_key(|version| Reverse(version.created_at));
        }
        json(
            state,
            VersionsAnswer {
                meta: MetaJson::all(versions.len()),
                versions,
            },
        )
        .await
    }

    async fn version(self, version: String) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        let catalog = self.catalog;
        if let Some(version) = self.gone_version(&version).await? {
            return json(state, VersionAnswer { version }).await;
        }
        let (row, (number, release)) = self.release(version).await?;
        let decided = state.decided(&row.name);
        let answer = ask(state, move || {
            let known = catalog.version(row.id, &release.version.to_string())?;
            let version = VersionJson::new(number, release).decided_by(decided.as_deref());
            Ok(version.licensed_by(&row).known_as(known))
        });
        let version = answer.await?;
        json(state, VersionAnswer { version }).await
    }

    async fn dependencies(self, version: String) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        let (_, (number, release)) = self.release(version).await?;
        json(
            state,
            DependenciesAnswer {
                dependencies: dependencies(number, release),
            },
        )
        .await
    }

    async fn dependents(self, parameters: Parameters) -> Result<Response<Body>, ErrorResponse> {
        let (row, _) = self.read().await?;
        let (state, catalog) = (self.state, self.catalog);
        let (id, name) = (row.id, row.name);
        let (offset, limit) = (parameters.offset(), parameters.per_page);
        let (rows, total) = ask(state, move || catalog.dependents(id, offset, limit)).await?;
        let mut answer = DependentsAnswer {
            dependencies: Vec::new(),
            versions: Vec::new(),
            meta: parameters.meta(total),
        };
        for dependent in rows {
            let of = Self::new(state, &dependent.name)?;
            let Ok((row, (number, release))) = of.release(dependent.default_version).await else {
                // It changed since the catalog was read.
                continue;
            };
            let Some(needed) = dependency_on(&name, number, &release) else {
                continue;
            };
            let downloads = row.downloads.unwrap_or(0);
            answer.dependencies.push(needed.of_dependent(downloads));
            let version = VersionJson::new(number, release);
            answer.versions.push(version.licensed_by(&row));
        }
        json(state, answer).await
    }

    pub(super) async fn release(
        self,
        version: String,
    ) -> Result<(CrateRow, Numbered), ErrorResponse> {
        let missing = format!("crate `{}` does not have a version `{version}`", self.name);
        let (row, releases) = self.read().await?;
        let wanted = Version::parse(&version).ok();
        let Some(place) = wanted.and_then(|version| releases.place_of(&version)) else {
            return Err(ErrorResponse::for_cargo(StatusCode::NOT_FOUND, missing));
        };
        let release = read(self.state, &releases, place).await?;
        let release =
            release.ok_or_else(|| ErrorResponse::for_cargo(StatusCode::NOT_FOUND, missing))?;
        let number = number_at(&row, &releases, place);
        Ok((row, (number, release)))
    }

    /// Reads what catalog and index say of the crate.
    pub(super) async fn read(&self) -> Result<(CrateRow, Arc<Releases>), ErrorResponse> {
        let detail = || match self.gone().first() {
            None => format!("crate `{}` does not exist", self.name),
            Some(gone) => format!(
                "crate `{}` does not exist any more: {} is {}",
                self.name, gone.version, gone.decided
            ),
        };
        let missing = || ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail());
        self.find().await?.ok_or_else(missing)
    }

    /// Returns the versions that upstream took back and of which the index has no line.
    fn gone(&self) -> Vec<Gone> {
        self.state.gone(self.name.as_str())
    }

    /// Returns all of them, of the crate with this number and name.
    fn gone_versions(&self, crate_id: u32, name: &str) -> Vec<VersionJson> {
        let gone = self.gone();
        let all = gone.iter().enumerate();
        all.filter_map(|(place, gone)| VersionJson::gone(crate_id, place, name, gone))
            .collect()
    }

    /// Returns one of them.
    async fn gone_version(&self, version: &str) -> Result<Option<VersionJson>, ErrorResponse> {
        if self.gone().is_empty() {
            return Ok(None);
        }
        let row = self.find().await?.map(|(row, _)| (row.id, row.name));
        let (id, name) = row.unwrap_or_else(|| (NO_CRATE, self.name.to_string()));
        let all = self.gone_versions(id, &name).into_iter();
        Ok(all.into_iter().find(|gone| gone.num == version))
    }

    /// Reads the crate and all of its versions, the highest first.
    async fn read_all(&self) -> Result<(CrateRow, Vec<VersionJson>), ErrorResponse> {
        let (row, releases) = self.read().await?;
        let catalog = self.catalog;
        let decided = self.state.decided(&row.name);
        let gone = self.gone_versions(row.id, &row.name);
        ask(self.state, move || {
            let mut known = catalog.versions(row.id)?;
            let versions = releases.read_within(LINES).into_iter();
            let versions = versions.map(|(place, release)| {
                let number = number_at(&row, &releases, place);
                let known = known.remove(&release.version.to_string());
                let version = VersionJson::new(number, release).decided_by(decided.as_deref());
                let version = version.licensed_by(&row);
                version.known_as(known.unwrap_or_default())
            });
            let versions = versions.chain(gone).collect();
            Ok((row, versions))
        })
        .await
    }
}

/// Returns the number of the version at this place: from the lowest on, so that it stays when a higher one comes.
fn number_at(row: &CrateRow, releases: &Releases, place: usize) -> u64 {
    version_number(row.id, releases.listed().len() - place)
}

fn dependencies(number: u64, release: Release) -> Vec<DependencyJson> {
    let all = release.dependencies.into_iter().enumerate();
    all.map(|(place, dependency)| DependencyJson::new(number, place, dependency))
        .collect()
}

/// Returns how a version depends on a crate, once, as crates.io lists dependents: of several lines the first that is not for its
/// build script. What only its tests need counts as little as in the catalog.
fn dependency_on(name: &str, number: u64, release: &Release) -> Option<DependencyJson> {
    let all = release.dependencies.iter().enumerate();
    let on_it = all.filter(|(_, dependency)| {
        dependency.package.eq_ignore_ascii_case(name)
            && dependency.registry.is_none()
            && dependency.kind != DependencyKind::Dev
    });
    let (place, dependency) = on_it
        .min_by_key(|(place, dependency)| (dependency.kind != DependencyKind::Normal, *place))?;
    Some(DependencyJson::new(number, place, dependency.clone()))
}

pub(super) async fn json(
    state: &'static State,
    answer: impl Serialize + Send + 'static,
) -> Result<Response<Body>, ErrorResponse> {
    let body = body(state, move || {
        serde_json::to_vec(&answer)
            .map_err(|error| Error::new(Kind::Server, "an answer cannot be written").because(error))
    });
    // It changes with each refresh of the index, and nobody asks often.
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, body.await?).into_response().map(Body::from))
}
