//! The parameters of lists: what is searched for, in which order, and which page of it.

use std::borrow::Cow;

use axum::http::StatusCode;
use url::form_urlencoded;

use super::json::MetaJson;
use crate::http::error_response::ErrorResponse;
use crate::server::catalog::crates::{Filter, OwnerKind, Sort};

/// How many results a page has, and the most that one may have, as on crates.io.
const PER_PAGE: usize = 10;
const MOST_PER_PAGE: usize = 100;
/// How many keywords and owners a search may name: the crates of each are collected.
const MOST_FILTERS: usize = 10;

/// The parameters of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) text: String,
    pub(super) sort: Sort,
    /// Whether what is most used comes first, in lists of keywords and categories.
    pub(super) by_crates: bool,
    pub(super) filter: Filter,
    page: usize,
    pub(super) per_page: usize,
    /// All but those of the page, as they were given.
    given: Vec<(String, String)>,
}

/// The parameters of the list of a crate's versions, which has one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OfVersions {
    /// Whether what was published last comes first, rather than the highest.
    pub(super) by_date: bool,
    /// The only versions to list; all, where none is named.
    pub(super) numbers: Vec<String>,
}

/// Those that have one value: of two it would be unclear which one counts.
const ONCE: [&str; 7] = [
    "q",
    "sort",
    "page",
    "per_page",
    "category",
    "letter",
    "include_yanked",
];

impl Default for Parameters {
    fn default() -> Self {
        Self {
            text: String::new(),
            sort: Sort::Relevance,
            by_crates: false,
            filter: Filter::default(),
            page: 1,
            per_page: PER_PAGE,
            given: Vec::new(),
        }
    }
}

impl Parameters {
    /// Reads those of a search. What crates.io knows is answered or refused; others are ignored, as there.
    pub(super) fn read(query: Option<&str>) -> Result<Self, ErrorResponse> {
        let mut read = Self::default();
        for (name, value) in pairs(query)? {
            let is_paging = read.take_paging(&name, &value)?;
            let is_known = is_paging || read.take_filter(&name, &value)?;
            match &*name {
                _ if is_known => {}
                "q" => read.text = value.clone().into_owned(),
                "sort" => read.sort = sort(&value)?,
                _ => continue,
            }
            if !is_paging {
                read.given.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(read)
    }

    /// Reads those of a list of keywords or categories.
    pub(super) fn of_labels(query: Option<&str>) -> Result<Self, ErrorResponse> {
        let mut read = Self::default();
        for (name, value) in pairs(query)? {
            if read.take_paging(&name, &value)? {
                continue;
            }
            if name == "sort" {
                read.by_crates = match &*value {
                    "crates" => true,
                    "" | "alpha" => false,
                    _ => return Err(malformed("sort is one of alpha and crates")),
                };
            }
        }
        Ok(read)
    }

    /// Reads those of a list that has one order.
    pub(super) fn of_pages(query: Option<&str>) -> Result<Self, ErrorResponse> {
        let mut read = Self::default();
        for (name, value) in pairs(query)? {
            read.take_paging(&name, &value)?;
        }
        Ok(read)
    }

    fn take_paging(&mut self, name: &str, value: &str) -> Result<bool, ErrorResponse> {
        match name {
            "page" => self.page = number(name, value)?,
            "per_page" => self.per_page = per_page(value)?,
            "seek" => return Err(malformed("seek is not served: use page")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_filter(&mut self, name: &str, value: &str) -> Result<bool, ErrorResponse> {
        let filter = &mut self.filter;
        match name {
            "keyword" => filter.keywords.push(value.to_owned()),
            "all_keywords" => {
                let all = value.split_whitespace().map(str::to_owned);
                filter.keywords.extend(all);
            }
            "category" => filter.category = Some(value.to_owned()),
            "letter" => {
                let mut letters = value.chars();
                let letter = letters.next().filter(|_| letters.next().is_none());
                filter.letter = Some(letter.ok_or_else(|| malformed("letter is one letter"))?);
            }
            "ids[]" => filter.names.push(value.to_owned()),
            "user_id" => filter.owners.push((OwnerKind::User, owner(name, value)?)),
            "team_id" => filter.owners.push((OwnerKind::Team, owner(name, value)?)),
            "include_yanked" => {
                filter.without_yanked = match value {
                    "yes" => false,
                    "no" => true,
                    _ => return Err(malformed("include_yanked is one of yes and no")),
                };
            }
            "following" => {
                return Err(malformed(
                    "this server has no users who follow crates: leave out following",
                ));
            }
            _ => return Ok(false),
        }
        match filter.keywords.len() + filter.owners.len() > MOST_FILTERS {
            true => Err(malformed("there are too many keywords and owners")),
            false => Ok(true),
        }
    }

    pub(super) fn offset(&self) -> usize {
        (self.page - 1).saturating_mul(self.per_page)
    }

    pub(super) fn meta(&self, total: usize) -> MetaJson {
        let last = total.div_ceil(self.per_page);
        let page = |page: usize| {
            let mut query = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
            query.extend_pairs(&self.given);
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

impl OfVersions {
    /// Reads them. All versions are answered with at once, however many a page may have.
    pub(super) fn read(query: Option<&str>) -> Result<Self, ErrorResponse> {
        let mut read = Self::default();
        for (name, value) in pairs(query)? {
            match &*name {
                "sort" => {
                    read.by_date = match &*value {
                        "date" => true,
                        "" | "semver" => false,
                        _ => return Err(malformed("sort is one of semver and date")),
                    };
                }
                "nums[]" => read.numbers.push(value.into_owned()),
                "per_page" => drop(per_page(&value)?),
                "page" | "seek" => {
                    return Err(malformed(&format!(
                        "{name} is not served: all versions are on one page"
                    )));
                }
                _ => {}
            }
        }
        Ok(read)
    }
}

impl MetaJson {
    /// Says how many results there are, where they have one page.
    pub(super) fn all(total: usize) -> Self {
        Self {
            total,
            next_page: None,
            prev_page: None,
            did_you_mean: Vec::new(),
        }
    }
}

/// The name of a parameter, and its value.
type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// Reads the parameters of a query.
fn pairs(query: Option<&str>) -> Result<Vec<Pair<'_>>, ErrorResponse> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let pairs: Vec<_> = pairs.collect();
    let count = |name: &str| pairs.iter().filter(|(given, _)| given == name).count();
    match ONCE.into_iter().find(|name| count(name) > 1) {
        Some(name) => Err(malformed(&format!("{name} is given twice"))),
        None => Ok(pairs),
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

fn number(name: &str, text: &str) -> Result<usize, ErrorResponse> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| malformed(&format!("{name} is a number from 1 on")))
}

fn per_page(text: &str) -> Result<usize, ErrorResponse> {
    match number("per_page", text)? {
        // As crates.io says it.
        number if number > MOST_PER_PAGE => Err(malformed(&format!(
            "cannot request more than {MOST_PER_PAGE} items"
        ))),
        number => Ok(number),
    }
}

fn owner(name: &str, text: &str) -> Result<u64, ErrorResponse> {
    let number = text.parse().ok();
    number.ok_or_else(|| malformed(&format!("{name} is the number of an owner")))
}

pub(super) fn malformed(detail: &str) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, detail.to_owned())
}
