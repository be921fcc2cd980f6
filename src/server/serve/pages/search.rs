//! `/` and `/search`: finding crates.

use askama::Template;
use axum::http::{HeaderMap, Response, StatusCode};
use url::form_urlencoded;

use super::error::sentence;
use super::frame::Frame;
use super::listed::{Listed, Pages};
use super::text::{clean, number, page_number, words};
use super::{later, private, redirect, respond};
use crate::error::Result;
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::server::catalog::crates::{CrateCatalog, CrateRow, Query, Sort};
use crate::server::serve::crate_reader::{ask, catalog};
use crate::server::serve::private::read;
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

const PER_PAGE: usize = 20;
/// How many private crates come before the others.
const FIRST_PRIVATE: usize = 5;
/// How many crates each list of the first page has.
const FIRST: usize = 8;

/// The orders: the word of the address, what is ordered by, and what the page calls it.
const SORTS: [(&str, Sort, &str); 5] = [
    ("relevance", Sort::Relevance, "Best match"),
    ("downloads", Sort::Downloads, "Most used"),
    ("recent-updates", Sort::RecentUpdates, "Updated"),
    ("new", Sort::New, "Newest"),
    ("alpha", Sort::Alphabetical, "Name"),
];

#[derive(Template)]
#[template(path = "server/serve/pages/home.html")]
struct Home {
    frame: Frame,
    crates: String,
    /// Why there is nothing to search in.
    notice: Option<String>,
    /// Whether there is a registry of private crates.
    has_private: bool,
    /// Whether there is an index, so that cargo works.
    is_served: bool,
    lists: Vec<List>,
}

/// A list of the first page.
struct List {
    title: &'static str,
    more: &'static str,
    crates: Vec<Listed>,
}

#[derive(Template)]
#[template(path = "server/serve/pages/search.html")]
struct Results {
    frame: Frame,
    searched: String,
    total: String,
    is_one: bool,
    crates: Vec<Listed>,
    near: Vec<Listed>,
    sorts: Vec<SortLink>,
    pages: Pages,
    private: PrivateHits,
}

/// What a search says of private crates.
enum PrivateHits {
    /// Nothing: there is no registry of them, or the page is not the first.
    None,
    /// Where those look who have a token. It says the same of every search: what there is, is for them alone to know.
    Elsewhere(String),
    /// The first of those that match, how many do not fit, and where they are.
    Found(Vec<Listed>, usize, String),
}

struct SortLink {
    title: &'static str,
    href: String,
    is_current: bool,
}

/// What was asked for; what makes no sense is as if it were not there.
struct Asked {
    text: String,
    sort: usize,
    page: usize,
    is_search: bool,
}

impl Asked {
    fn read(query: Option<&str>) -> Self {
        let mut asked = Self {
            text: String::new(),
            sort: 0,
            page: page_number(query),
            is_search: false,
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "q" => asked.text = value.trim().to_owned(),
                "sort" => {
                    let known = SORTS.iter().position(|(word, ..)| *word == value);
                    asked.is_search |= known.is_some();
                    asked.sort = known.unwrap_or(0);
                }
                _ => {}
            }
        }
        asked.is_search |= !asked.text.is_empty();
        asked
    }

    fn address(&self, registry: Registry, sort: usize, page: usize) -> String {
        let path = format!("{}?", registry.search());
        let query = path.len();
        let mut query = form_urlencoded::Serializer::for_suffix(path, query);
        query.append_pair("q", &self.text);
        query.append_pair("sort", SORTS[sort].0);
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        query.finish()
    }
}

/// Shows the page; private crates to those whose token the mirror wants anyway.
pub(in crate::server::serve) fn show(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let (asked, headers) = (Asked::read(request.query), request.headers);
    let may_read = request
        .caller
        .is_some_and(|caller| caller.scopes.may_read());
    later(async move {
        match asked.is_search {
            true => search(state, headers, Registry::Mirror, may_read, asked).await,
            false => home(state, headers).await,
        }
    })
}

/// `GET /private/search`: shows the page with private crates, where the mirror wants no token.
pub(in crate::server::serve) fn show_with_private(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let (asked, headers) = (Asked::read(request.query), request.headers);
    later(async move {
        match asked.is_search {
            true if state.catalog.is_some() => {
                search(state, headers, Registry::Private, true, asked).await
            }
            // Without words, or a catalog, there is nothing to find beside them.
            _ => {
                let all = private::address(Registry::Private.crates(), &asked.text, 1);
                Ok(redirect(&all))
            }
        }
    })
}

/// Finds what a search says of private crates.
async fn private_hits(
    state: &'static State,
    may_read: bool,
    asked: &Asked,
) -> Result<PrivateHits, ErrorResponse> {
    if state.private.is_none() || asked.page > 1 {
        return Ok(PrivateHits::None);
    }
    if !may_read {
        let elsewhere = private::address(Registry::Private.search(), &asked.text, 1);
        return Ok(PrivateHits::Elsewhere(elsewhere));
    }
    let (total, rows) = read::rows(state, &asked.text, (0, FIRST_PRIVATE)).await?;
    let left = total - rows.len();
    let crates = Listed::all(Registry::Private, &rows, &words(&asked.text));
    let all = private::address(Registry::Private.crates(), &asked.text, 1);
    Ok(PrivateHits::Found(crates, left, all))
}

async fn search(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    may_read: bool,
    asked: Asked,
) -> Result<Response<Body>, ErrorResponse> {
    let private = private_hits(state, may_read, &asked).await?;
    let catalog = catalog(state)?;
    let query = Query {
        text: asked.text.clone(),
        sort: SORTS[asked.sort].1,
        offset: (asked.page - 1).saturating_mul(PER_PAGE),
        limit: PER_PAGE,
    };
    let (total, crates, near) = ask(state, move || {
        let found = catalog.search(&query)?;
        let near = catalog.crates(&found.near)?;
        Ok((found.total, catalog.crates(&found.crates)?, near))
    })
    .await?;
    let crates = Listed::marked(state, &crates, &words(&asked.text)).await;
    let searched = clean(&asked.text);
    let title = match searched.as_str() {
        "" => "All crates".to_owned(),
        text => format!("{text} · search"),
    };
    let sorts = SORTS.iter().enumerate();
    // Without words there is nothing that could match best.
    let sorts = sorts.skip(usize::from(asked.text.is_empty()));
    let page = Results {
        frame: Frame {
            searched: searched.clone(),
            has_focus: true,
            search: registry.search(),
            ..Frame::new(state, title)
        },
        private,
        searched,
        is_one: total == 1,
        total: number(total as u64),
        crates,
        near: Listed::all(Registry::Mirror, &near, &[]),
        sorts: sorts
            .map(|(place, (_, _, title))| SortLink {
                title,
                href: asked.address(registry, place, 1),
                is_current: place == asked.sort,
            })
            .collect(),
        pages: Pages::new(asked.page, total, PER_PAGE, |page| {
            asked.address(registry, asked.sort, page)
        }),
    };
    respond(state, headers, StatusCode::OK, move || page).await
}

async fn home(state: &'static State, headers: HeaderMap) -> Result<Response<Body>, ErrorResponse> {
    let (notice, lists, crates) = match catalog(state) {
        Ok(catalog) => {
            let mut lists = Vec::new();
            for (title, more, rows) in ask(state, move || rows(catalog)).await? {
                let crates = Listed::marked(state, &rows, &[]).await;
                lists.push(List {
                    title,
                    more,
                    crates,
                });
            }
            (None, lists, catalog.len())
        }
        Err(error) => (Some(sentence(error.detail())), Vec::new(), 0),
    };
    let page = Home {
        frame: Frame {
            is_home: true,
            has_focus: true,
            ..Frame::new(state, "Crates")
        },
        crates: number(crates as u64),
        notice,
        has_private: state.private.is_some(),
        is_served: state.view().is_ok(),
        lists,
    };
    respond(state, headers, StatusCode::OK, move || page).await
}

/// The title of a list, the address of more, and its crates.
type Rows = (&'static str, &'static str, Vec<CrateRow>);

fn rows(catalog: &CrateCatalog) -> Result<Vec<Rows>> {
    let list = |title, more, sort| -> Result<Rows> {
        let query = Query {
            sort,
            limit: FIRST,
            ..Query::default()
        };
        let rows = catalog.crates(&catalog.search(&query)?.crates)?;
        Ok((title, more, rows))
    };
    let used = list("Most used", "/search?sort=downloads", Sort::Downloads)?;
    let updated = list(
        "Just updated",
        "/search?sort=recent-updates",
        Sort::RecentUpdates,
    )?;
    // Old lines of an index have no dates, and then there is no order.
    let is_dated = updated.2.iter().any(|row| row.updated.is_some());
    let all = [Some(used), is_dated.then_some(updated)];
    Ok(all.into_iter().flatten().collect())
}
