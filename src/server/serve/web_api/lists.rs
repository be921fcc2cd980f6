//! What there is beside single crates: the summary of the registry, its keywords and its categories.

use axum::http::StatusCode;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::json::{CrateJson, at};
use super::parameters::Parameters;
use super::read::json;
use crate::error::Result;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::server::catalog::crates::{CrateCatalog, Label, LabelKind, Query, Sort};
use crate::server::serve::crate_reader::{ask, catalog};
use crate::server::serve::state::State;
use crate::shown::one_line;

/// How many of each the summary has, as on crates.io.
const FIRST: usize = 10;
/// Of how many that were published last those are taken that are not new.
const UPDATED: usize = 100;

/// A keyword.
#[derive(Serialize)]
pub(super) struct KeywordJson {
    id: String,
    keyword: String,
    created_at: Timestamp,
    crates_cnt: u64,
}

impl KeywordJson {
    pub(super) fn new(label: Label) -> Self {
        Self {
            id: label.label.clone(),
            keyword: label.label,
            created_at: at(label.created),
            crates_cnt: label.crates,
        }
    }
}

/// A category.
#[derive(Serialize)]
pub(super) struct CategoryJson {
    id: String,
    category: String,
    slug: String,
    description: String,
    created_at: Timestamp,
    crates_cnt: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subcategories: Option<Vec<CategoryJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_categories: Option<Vec<CategoryJson>>,
}

impl CategoryJson {
    pub(super) fn new(label: Label) -> Self {
        // Of `Development tools::Testing` the last part, as on crates.io.
        let name = label.name.as_deref().unwrap_or(&label.label);
        let name = name.rsplit("::").next().unwrap_or(name);
        Self {
            id: label.label.clone(),
            category: one_line(name).into_owned(),
            description: one_line(&label.description.unwrap_or_default()).into_owned(),
            created_at: at(label.created),
            crates_cnt: label.crates,
            slug: label.label,
            subcategories: None,
            parent_categories: None,
        }
    }
}

#[derive(Serialize)]
struct Total {
    total: usize,
}

#[derive(Serialize)]
struct Keywords {
    keywords: Vec<KeywordJson>,
    meta: Total,
}

#[derive(Serialize)]
struct Keyword {
    keyword: KeywordJson,
}

#[derive(Serialize)]
struct Categories {
    categories: Vec<CategoryJson>,
    meta: Total,
}

#[derive(Serialize)]
struct Category {
    category: CategoryJson,
}

#[derive(Serialize)]
struct Slugs {
    category_slugs: Vec<Slug>,
}

#[derive(Serialize)]
struct Slug {
    id: String,
    slug: String,
    description: String,
}

#[derive(Serialize)]
struct Summary {
    num_downloads: u64,
    num_crates: usize,
    new_crates: Vec<CrateJson>,
    most_downloaded: Vec<CrateJson>,
    most_recently_downloaded: Vec<CrateJson>,
    just_updated: Vec<CrateJson>,
    popular_keywords: Vec<KeywordJson>,
    popular_categories: Vec<CategoryJson>,
}

/// `GET /api/v1/summary`.
pub(in crate::server::serve) fn summary(
    state: &'static State,
    _: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let catalog = catalog(state)?;
    Ok(Reply::later(async move {
        let summary = ask(state, move || summarize(catalog)).await?;
        json(state, summary).await
    }))
}

fn summarize(catalog: &CrateCatalog) -> Result<Summary> {
    let first = |sort: Sort, limit: usize| {
        let query = Query {
            sort,
            limit,
            ..Query::default()
        };
        catalog.crates(&catalog.search(&query)?.crates)
    };
    let crates = |sort: Sort| -> Result<Vec<CrateJson>> {
        Ok(first(sort, FIRST)?
            .into_iter()
            .map(CrateJson::new)
            .collect())
    };
    let updated = first(Sort::RecentUpdates, UPDATED)?.into_iter();
    let updated = updated.filter(|row| row.updated != row.created);
    let mut categories = top(catalog.categories()?);
    sort_by_crates(&mut categories);
    categories.truncate(FIRST);
    let (keywords, _) = catalog.keywords(true, 0, FIRST)?;
    Ok(Summary {
        num_downloads: catalog.total_downloads()?,
        num_crates: catalog.len(),
        new_crates: crates(Sort::New)?,
        most_downloaded: crates(Sort::Downloads)?,
        most_recently_downloaded: crates(Sort::RecentDownloads)?,
        just_updated: updated.take(FIRST).map(CrateJson::new).collect(),
        popular_keywords: keywords.into_iter().map(KeywordJson::new).collect(),
        popular_categories: categories.into_iter().map(CategoryJson::new).collect(),
    })
}

/// `GET /api/v1/keywords`.
pub(in crate::server::serve) fn keywords(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let catalog = catalog(state)?;
    let parameters = Parameters::of_labels(request.query)?;
    Ok(Reply::later(async move {
        let (offset, limit) = (parameters.offset(), parameters.per_page);
        let by_crates = parameters.by_crates;
        let found = ask(state, move || catalog.keywords(by_crates, offset, limit));
        let (found, total) = found.await?;
        let answer = Keywords {
            keywords: found.into_iter().map(KeywordJson::new).collect(),
            meta: Total { total },
        };
        json(state, answer).await
    }))
}

/// `GET /api/v1/keywords/KEYWORD`.
pub(in crate::server::serve) fn keyword(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let catalog = catalog(state)?;
    let name = decoded(request.wildcard);
    Ok(Reply::later(async move {
        let missing = absent("keyword", &name);
        let found = ask(state, move || catalog.label(LabelKind::Keyword, &name));
        let found = found.await?.filter(|label| label.crates > 0);
        let keyword = KeywordJson::new(found.ok_or(missing)?);
        json(state, Keyword { keyword }).await
    }))
}

/// `GET /api/v1/categories`: those that are not below another one.
pub(in crate::server::serve) fn categories(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let catalog = catalog(state)?;
    let parameters = Parameters::of_labels(request.query)?;
    Ok(Reply::later(async move {
        let mut all = top(ask(state, || catalog.categories()).await?);
        if parameters.by_crates {
            sort_by_crates(&mut all);
        }
        let total = all.len();
        let page = all.into_iter().skip(parameters.offset());
        let page = page.take(parameters.per_page);
        let answer = Categories {
            categories: page.map(CategoryJson::new).collect(),
            meta: Total { total },
        };
        json(state, answer).await
    }))
}

/// `GET /api/v1/categories/SLUG`.
pub(in crate::server::serve) fn category(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let catalog = catalog(state)?;
    let slug = decoded(request.wildcard).to_ascii_lowercase();
    Ok(Reply::later(async move {
        let all = ask(state, || catalog.categories()).await?;
        let found = all.iter().find(|label| label.label == slug);
        let found = found.ok_or_else(|| absent("category", &slug))?;
        let category = CategoryJson {
            subcategories: Some(family(&all, |other| is_right_below(other, &slug))),
            parent_categories: Some(family(&all, |other| is_below(&slug, other))),
            ..CategoryJson::new(found.clone())
        };
        json(state, Category { category }).await
    }))
}

/// `GET /api/v1/category_slugs`.
pub(in crate::server::serve) fn category_slugs(
    state: &'static State,
    _: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let catalog = catalog(state)?;
    Ok(Reply::later(async move {
        let all = ask(state, || catalog.categories()).await?;
        let slugs = all.into_iter().map(CategoryJson::new).map(|category| Slug {
            id: category.id,
            slug: category.slug,
            description: category.description,
        });
        let category_slugs = slugs.collect();
        json(state, Slugs { category_slugs }).await
    }))
}

/// Returns the categories that are not below another one; their crates include those of what is below them.
fn top(all: Vec<Label>) -> Vec<Label> {
    let mut top: Vec<Label> = Vec::new();
    // By their slugs, so that what is below follows.
    for label in all {
        match top
            .iter_mut()
            .find(|above| is_below(&label.label, &above.label))
        {
            Some(above) => above.crates += label.crates,
            None if label.label.contains("::") => {}
            None => top.push(label),
        }
    }
    top
}

fn sort_by_crates(labels: &mut [Label]) {
    labels.sort_by_key(|label| std::cmp::Reverse(label.crates));
}

fn family(all: &[Label], is_wanted: impl Fn(&str) -> bool) -> Vec<CategoryJson> {
    let wanted = all.iter().filter(|label| is_wanted(&label.label));
    wanted.cloned().map(CategoryJson::new).collect()
}

fn is_below(slug: &str, above: &str) -> bool {
    let rest = slug.strip_prefix(above);
    rest.is_some_and(|rest| rest.starts_with("::"))
}

fn is_right_below(slug: &str, above: &str) -> bool {
    let rest = slug.strip_prefix(above);
    let rest = rest.and_then(|rest| rest.strip_prefix("::"));
    rest.is_some_and(|rest| !rest.contains("::"))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn absent(what: &str, name: &str) -> ErrorResponse {
    let detail = format!("there is no {what} `{}`", one_line(name));
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail)
}
