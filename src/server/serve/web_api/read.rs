//! The part of crates.io's web API that reads: search, crates, versions, dependencies and dependents. `cargo search` asks
//! it, and tools that watch dependencies.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use percent_encoding::percent_decode_str;
use semver::Version;
use serde::Serialize;
use url::form_urlencoded;

use super::json::{
    CrateAnswer, CrateJson, DependenciesAnswer, DependencyJson, DependentsAnswer, MetaJson,
    SearchJson, VersionAnswer, VersionJson, VersionsAnswer, version_number,
};
use super::told;
use crate::error::{Error, Kind, Result};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, NOTHING_HERE, Reply};
use crate::index::release::{Release, Releases};
use crate::server::catalog::crates::{CrateRow, Query, Sort};
use crate::server::serve::crate_reader::{OneCrate, ask, body, catalog};
use crate::server::serve::state::State;

/// How many results a page has, and the most that one may have, as on crates.io.
const PER_PAGE: usize = 10;
const MOST_PER_PAGE: usize = 100;
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
    Ok(Reply::later(async move {
        let (found, crates, near) = ask(state, move || {
            let found = catalog.search(&query)?;
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
    let of = |name: &str| OneCrate::new(state, name);
    match *parts.as_slice() {
        [name] => Ok(Reply::later(of(name)?.describe())),
        [name, "versions"] => Ok(Reply::later(of(name)?.versions())),
        [name, "reverse_dependencies"] => {
            let parameters = Parameters::read(request.query)?;
            Ok(Reply::later(of(name)?.dependents(parameters)))
        }
        // Not served, and no versions either.
        [_, "owners" | "owner_team" | "owner_user" | "downloads"] => Err(nothing(request.wildcard)),
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
        json(
            state,
            CrateAnswer {
                versions,
                of: CrateJson::new(row).with_versions(numbers),
                keywords: [],
                categories: [],
            },
        )
        .await
    }

    async fn versions(self) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        // Until the answer is written: before that it takes several times the memory.
        let _turn = state.answering.acquire().await;
        let (_, versions) = self.read_all().await?;
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
        let (row, (number, release)) = self.release(version).await?;
        json(
            state,
            VersionAnswer {
                version: VersionJson::new(number, release).licensed_by(&row),
            },
        )
        .await
    }

    async fn dependencies(self, version: String) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        let (_, (number, release)) = self.release(version).await?;
        json(
            state,
            DependenciesAnswer {
                dependencies: dependencies(number, release, |_| true),
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
            let on_it = |package: &str| package.eq_ignore_ascii_case(&name);
            answer
                .dependencies
                .extend(dependencies(number, release.clone(), on_it));
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
        let found = Version::parse(&version).ok().and_then(|version| {
            let place = releases.place_of(&version)?;
            Some((number_at(&row, &releases, place), releases.read(place)?))
        });
        let found =
            found.ok_or_else(|| ErrorResponse::for_cargo(StatusCode::NOT_FOUND, missing))?;
        Ok((row, found))
    }

    /// Reads what catalog and index say of the crate.
    async fn read(&self) -> Result<(CrateRow, Releases), ErrorResponse> {
        let detail = || format!("crate `{}` does not exist", self.name);
        let missing = || ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail());
        self.find().await?.ok_or_else(missing)
    }

    /// Reads the crate and all of its versions, the highest first.
    async fn read_all(&self) -> Result<(CrateRow, Vec<VersionJson>), ErrorResponse> {
        let (row, releases) = self.read().await?;
        ask(self.state, move || {
            let versions = releases.read_within(LINES).into_iter();
            let versions = versions.map(|(place, release)| {
                let number = number_at(&row, &releases, place);
                VersionJson::new(number, release).licensed_by(&row)
            });
            let versions = versions.collect();
            Ok((row, versions))
        })
        .await
    }
}

/// Returns the number of the version at this place: from the lowest on, so that it stays when a higher one comes.
fn number_at(row: &CrateRow, releases: &Releases, place: usize) -> u64 {
    version_number(row.id, releases.listed().len() - place)
}

fn dependencies(
    number: u64,
    release: Release,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<DependencyJson> {
    let all = release.dependencies.into_iter().enumerate();
    let wanted = all.filter(|(_, dependency)| is_wanted(&dependency.package));
    wanted
        .map(|(place, dependency)| DependencyJson::new(number, place, dependency))
        .collect()
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

/// The parameters of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameters {
    text: String,
    sort: Sort,
    /// The parameter's own word.
    sorted: Option<String>,
    page: usize,
    per_page: usize,
}

impl Parameters {
    /// Reads them; others are ignored, as on crates.io.
    fn read(query: Option<&str>) -> Result<Self, ErrorResponse> {
        let mut read = Self {
            text: String::new(),
            sort: Sort::Relevance,
            sorted: None,
            page: 1,
            per_page: PER_PAGE,
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "q" => read.text = value.into_owned(),
                "sort" => {
                    read.sort = sort(&value)?;
                    read.sorted = Some(value.into_owned());
                }
                "page" => read.page = number(&name, &value, usize::MAX)?,
                "per_page" => read.per_page = number(&name, &value, MOST_PER_PAGE)?,
                _ => {}
            }
        }
        Ok(read)
    }

    fn offset(&self) -> usize {
        (self.page - 1).saturating_mul(self.per_page)
    }

    fn meta(&self, total: usize) -> MetaJson {
        let last = total.div_ceil(self.per_page);
        let page = |page: usize| {
            let mut query = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
            if !self.text.is_empty() {
                query.append_pair("q", &self.text);
            }
            if let Some(sorted) = &self.sorted {
                query.append_pair("sort", sorted);
            }
            query.append_pair("per_page", &self.per_page.to_string());
            query.append_pair("page", &page.to_string());
            query.finish()
        };
        MetaJson {
            next_page: (self.page < last).then(|| page(self.page + 1)),
            prev_page: (self.page > 1).then(|| page((self.page - 1).min(last.max(1)))),
            ..MetaJson::all(total)
        }
    }
}

impl MetaJson {
    /// Says how many results there are, where they have one page.
    fn all(total: usize) -> Self {
        Self {
            total,
            next_page: None,
            prev_page: None,
            did_you_mean: Vec::new(),
        }
    }
}

fn sort(text: &str) -> Result<Sort, ErrorResponse> {
    match text {
        "" | "relevance" => Ok(Sort::Relevance),
        "alpha" => Ok(Sort::Alphabetical),
        "downloads" => Ok(Sort::Downloads),
        "recent-downloads" => Ok(Sort::RecentDownloads),
        "recent-updates" => Ok(Sort::RecentUpdates),
        "new" => Ok(Sort::New),
        _ => Err(malformed(
            "sort is one of relevance, alpha, downloads, recent-downloads, recent-updates and new",
        )),
    }
}

fn number(name: &str, text: &str, most: usize) -> Result<usize, ErrorResponse> {
    let number = text.parse().ok().filter(|number| *number > 0);
    // A client that asks for more gets as many as there may be; crates.io refuses it.
    let number: usize =
        number.ok_or_else(|| malformed(&format!("{name} is a number from 1 on")))?;
    Ok(number.min(most))
}

fn malformed(detail: &str) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, detail.to_owned())
}
