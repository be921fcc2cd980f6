//! What is left of HTML that others wrote: the elements, attributes and addresses that are named here, and nothing else.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use ammonia::{Builder, UrlRelative, UrlRelativeEvaluate};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::Links;
use crate::server::highlight;

/// What stands before every id, so that none is one of the page's own.
pub(super) const PREFIX: &str = "readme-";

/// Texts, lists and tables. None that loads something, none that is a landmark of the page, and no form.
const ELEMENTS: [&str; 55] = [
    "a",
    "abbr",
    "b",
    "bdi",
    "bdo",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
];

/// The attributes of elements; `id`, `title`, `lang` and `dir` may stand on all.
const ATTRIBUTES: [(&str, &[&str]); 15] = [
    ("a", &["href"]),
    ("details", &["open"]),
    ("div", &["align"]),
    ("h3", &["align"]),
    ("h4", &["align"]),
    ("h5", &["align"]),
    ("h6", &["align"]),
    ("ol", &["start"]),
    ("p", &["align"]),
    ("table", &["align"]),
    ("td", &["align", "colspan", "rowspan"]),
    ("th", &["align", "colspan", "rowspan", "scope"]),
    ("tr", &["align"]),
    ("col", &["span"]),
    ("colgroup", &["span"]),
];

/// The classes that the page has a style for: whoever writes one of them gains a colour.
const CLASSES: [(&str, &[&str]); 4] = [
    (
        "blockquote",
        &[
            "markdown-alert-note",
            "markdown-alert-tip",
            "markdown-alert-important",
            "markdown-alert-warning",
            "markdown-alert-caution",
        ],
    ),
    ("div", &["footnote-definition"]),
    ("span", &highlight::CLASSES),
    ("sup", &["footnote-definition-label", "footnote-reference"]),
];

/// What a path may not have as it is.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%')
    .add(b'\\');

/// Cleans HTML.
pub(super) fn clean(html: &str, links: &Links) -> String {
    let known = HashMap::from(ATTRIBUTES);
    let attributes = known.iter().map(|(name, all)| (*name, set(all))).collect();
    let classes = HashMap::from(CLASSES);
    let classes = classes.iter().map(|(name, all)| (*name, set(all)));
    Builder::empty()
        .tags(HashSet::from(ELEMENTS))
        .tag_attributes(attributes)
        .generic_attributes(HashSet::from(["id", "title", "lang", "dir"]))
        // Those may be wider than the page, and are scrolled by keys, too.
        .set_tag_attribute_value("pre", "tabindex", "0")
        .set_tag_attribute_value("table", "tabindex", "0")
        .allowed_classes(classes.collect())
        .clean_content_tags(HashSet::from(["script", "style"]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(UrlRelative::Custom(Box::new(Resolver(links.clone()))))
        .link_rel(Some("nofollow noopener noreferrer"))
        .id_prefix(Some(PREFIX))
        .clean(html)
        .to_string()
}

/// Resolves relative addresses.
struct Resolver(Links);

impl<'a> UrlRelativeEvaluate<'a> for Resolver {
    fn evaluate<'url>(&self, address: &'url str) -> Option<Cow<'url, str>> {
        resolve(address, &self.0).map(Cow::Owned)
    }
}

fn set(all: &&[&'static str]) -> HashSet<&'static str> {
    all.iter().copied().collect()
}

/// Returns where a relative address leads; `None` where that is nowhere.
fn resolve(address: &str, links: &Links) -> Option<String> {
    if let Some(id) = address.strip_prefix('#') {
        return Some(format!("#{PREFIX}{id}"));
    }
    // Another host, written without a scheme.
    if address.starts_with("//") || address.contains('\\') {
        return None;
    }
    let (path, _) = address.split_once(['?', '#']).unwrap_or((address, ""));
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let start = match path.starts_with('/') {
        true => "",
        false => links.folder.as_str(),
    };
    let mut parts: Vec<&str> = start.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => parts.pop().map(drop)?,
            part => parts.push(part),
        }
    }
    let file = parts.join("/");
    let encoded = utf8_percent_encode(&file, IN_PATH);
    let there = links.files.contains(&file);
    there.then(|| format!("{}/{encoded}", links.base))
}
