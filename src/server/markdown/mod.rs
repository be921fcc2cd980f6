//! Renders Markdown that others wrote as HTML that is safe to show on a page of this server. Uses pulldown-cmark, html5ever
//! and ammonia.
//!
//! ```text
//! text ── events ── HTML ── rewritten ── cleaned
//!         bounded,          images are   only what the gate
//!         coloured          links        allows is left
//! ```
//!
//! `gate` alone decides what is left: whatever the steps before it make, it lets no script, style, form or address
//! through that is not allowed. The steps before it bound the work and make the result fit the page around it.

mod events;
mod gate;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use crate::shown::lines;

/// The most of a text that is read, in bytes. Longer ones are cut at the end of a line.
const LONGEST: usize = 256 << 10;
/// How often a text is rendered with less of it, where the result is larger than it was estimated to be.
const TRIES: u32 = 5;

/// Where relative links of a text lead.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// The path of this server below which the files are, without a slash at its end.
    pub base: String,
    /// The folder that the text lies in, as in `docs`; empty for the root.
    pub folder: String,
    /// The files that there are, with their paths below the root. Links to others are only text.
    pub files: HashSet<String>,
}

/// A rendered text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// HTML: blocks for a place that stands below a heading of the second level.
    pub html: String,
    /// Whether its end was left out.
    pub is_cut: bool,
}

/// Renders a text as at most so many bytes of HTML; what does not fit is left out, from a block of the top level on. Code has
/// colours unless it is they that do not fit.
pub fn render(text: &str, links: &Links, bytes: usize) -> Rendered {
    let text = text.replace("\r\n", "\n");
    let (text, is_long) = beginning(&text);
    // What a reader cannot see is shown, as everywhere on the pages.
    let text = lines(text);
    let (mut rendered, is_coloured) = shaped(&text, links, bytes, true);
    if rendered.is_cut && is_coloured {
        let (plain, _) = shaped(&text, links, bytes, false);
        if !plain.is_cut || rendered.html.is_empty() {
            rendered = plain;
        }
    }
    rendered.is_cut |= is_long;
    rendered
}

/// Renders a text, with colours or without; says whether some code has them.
fn shaped(text: &str, links: &Links, bytes: usize, wants_colours: bool) -> (Rendered, bool) {
    let (mut estimate, mut before, mut is_coloured) = (bytes, 0, false);
    for _ in 0..TRIES {
        let made = events::html(text, estimate, wants_colours);
        is_coloured |= made.is_coloured;
        // With less of it the result may still be the same.
        if made.html.len() != before {
            before = made.html.len();
            let html = gate::clean(&rewrite::rewrite(&made.html), links);
            if html.len() <= bytes {
                let is_cut = made.is_cut;
                return (Rendered { html, is_cut }, is_coloured);
            }
        }
        estimate /= 2;
    }
    // One block that is too large: there is no part of it to show.
    let (html, is_cut) = (String::new(), true);
    (Rendered { html, is_cut }, is_coloured)
}

/// Shows a text that is no Markdown as it is, likewise.
pub fn plain(text: &str, bytes: usize) -> Rendered {
    let text = text.replace("\r\n", "\n");
    let text = lines(&text);
    let (before, after) = ("<pre tabindex=\"0\">\n", "</pre>\n");
    let mut html = before.to_owned();
    let mut is_cut = false;
    for line in text.split_inclusive('\n') {
        let escaped = rewrite::escaped(line);
        if html.len() + escaped.len() + after.len() > bytes {
            is_cut = true;
            break;
        }
        html.push_str(&escaped);
    }
    html.push_str(after);
    Rendered { html, is_cut }
}

/// Returns the beginning of a text, and whether it is cut.
fn beginning(text: &str) -> (&str, bool) {
    if text.len() <= LONGEST {
        return (text, false);
    }
    let cut = text.floor_char_boundary(LONGEST);
    let line = text[..cut].rfind('\n').unwrap_or(cut);
    (&text[..line], true)
}
