//! Turns Markdown into HTML, with what a README needs: tables, footnotes, lists of tasks, and headings that can be linked to.
//!
//! Depth and amount are bounded here, since what follows takes more than linear time for elements within elements.

use std::collections::HashMap;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};

use super::rewrite::escape;
use crate::server::highlight::{Language, Marks};

/// How deep blocks and spans may be within each other; what is deeper is shown without its own element.
const DEEPEST: usize = 24;
/// How many tags the text itself may have written; the following ones are shown as text.
const TAGS: usize = 4_000;
/// What an element takes, in bytes, where the size of the result is estimated.
const ELEMENT: usize = 24;

/// HTML that was made of a text.
pub(super) struct Made {
    pub(super) html: String,
    /// Whether something was left out.
    pub(super) is_cut: bool,
    /// Whether some code has colours.
    pub(super) is_coloured: bool,
}

/// Makes HTML of a text, of about so many bytes, its code in colours if that is wanted.
pub(super) fn html(text: &str, bytes: usize, wants_colours: bool) -> Made {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    let mut shaped = Shaped {
        events: Vec::new(),
        used: 0,
        depth: 0,
        tags: 0,
        links: Links::default(),
        heading: None,
        ids: HashMap::new(),
        wants_colours,
        is_coloured: false,
        code: None,
    };
    // Blocks of the top level are shown whole or not at all: where the last one begins, and whether one is left out.
    let (mut block, mut is_cut) = (0, false);
    for event in Parser::new_ext(text, options) {
        if shaped.depth == 0 {
            block = shaped.events.len();
            if shaped.used > bytes {
                is_cut = true;
                break;
            }
        }
        shaped.take(event);
        // Nothing is made of a block that is far too large: its size is an estimate.
        if shaped.used > bytes.saturating_mul(2) {
            shaped.events.truncate(block);
            is_cut = true;
            break;
        }
    }
    let mut made = Made {
        html: String::new(),
        is_cut,
        is_coloured: shaped.is_coloured,
    };
    html::push_html(&mut made.html, shaped.events.into_iter());
    made
}

/// The events that are kept.
struct Shaped<'t> {
    events: Vec<Event<'t>>,
    used: usize,
    depth: usize,
    tags: usize,
    links: Links,
    /// Where the events of the heading begin that is open.
    heading: Option<usize>,
    /// How often each id was given.
    ids: HashMap<String, usize>,
    wants_colours: bool,
    is_coloured: bool,
    /// The block of code that is open, if its language is known: that, and its text so far.
    code: Option<(Language, String)>,
}

/// Links and pictures: HTML has none within another one.
#[derive(Default)]
struct Links {
    /// How many are open.
    open: usize,
    /// Whether the outermost one has a text.
    has_text: bool,
}

impl<'t> Shaped<'t> {
    fn take(&mut self, event: Event<'t>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Html(tags) => self.raw(tags, Event::Html),
            Event::InlineHtml(tags) => self.raw(tags, Event::InlineHtml),
            Event::Text(text) if let Some((_, code)) = &mut self.code => {
                self.used += text.len();
                code.push_str(&text);
            }
            Event::Text(text) => self.text(text, Event::Text),
            Event::Code(text) => self.text(text, Event::Code),
            // A form field could not be used, and is not let through.
            Event::TaskListMarker(is_done) => {
                let mark = if is_done { "☑ " } else { "☐ " };
                self.push(Event::Text(mark.into()), mark.len());
            }
            other => self.push(other, ELEMENT),
        }
    }

    fn push(&mut self, event: Event<'t>, bytes: usize) {
        self.used += bytes;
        self.events.push(event);
    }

    fn text(&mut self, text: CowStr<'t>, make: fn(CowStr<'t>) -> Event<'t>) {
        self.links.has_text |= !text.trim().is_empty();
        let bytes = text.len();
        self.push(make(text), bytes);
    }

    /// Takes tags that the text wrote itself.
    fn raw(&mut self, tags: CowStr<'t>, make: fn(CowStr<'t>) -> Event<'t>) {
        self.tags += tags.matches('<').count();
        match self.tags <= TAGS {
            true => self.text(tags, make),
            false => self.text(tags, Event::Text),
        }
    }

    fn start(&mut self, tag: Tag<'t>) {
        self.depth += 1;
        let tag = match tag {
            // No page loads what others name: a picture is a link to it, with its text.
            Tag::Link { .. } | Tag::Image { .. } => {
                self.links.open += 1;
                if self.links.open > 1 {
                    return;
                }
                self.links.has_text = false;
                as_link(tag)
            }
            Tag::Heading { .. } => {
                self.heading = Some(self.events.len());
                tag
            }
            Tag::CodeBlock(CodeBlockKind::Fenced(info)) => {
                let language = Language::of_fence(&info).filter(|_| self.wants_colours);
                self.is_coloured |= language.is_some();
                self.code = language.map(|language| (language, String::new()));
                Tag::CodeBlock(CodeBlockKind::Fenced(info))
            }
            other => other,
        };
        if self.depth <= DEEPEST {
            self.push(Event::Start(tag), ELEMENT);
        }
    }

    fn end(&mut self, tag: TagEnd) {
        let is_shown = self.depth <= DEEPEST;
        self.depth = self.depth.saturating_sub(1);
        let tag = match tag {
            TagEnd::Link | TagEnd::Image => {
                self.links.open = self.links.open.saturating_sub(1);
                // A link without a text cannot be seen.
                if !self.links.has_text {
                    self.text("image".into(), Event::Text);
                }
                if self.links.open > 0 {
                    return;
                }
                TagEnd::Link
            }
            TagEnd::Heading(_) => {
                self.name_heading();
                tag
            }
            TagEnd::CodeBlock => {
                if let Some((language, code)) = self.code.take() {
                    let made = coloured(&code, language);
                    let markup = made.len() - code.len();
                    self.push(Event::Html(made.into()), markup);
                }
                tag
            }
            other => other,
        };
        if is_shown {
            self.push(Event::End(tag), 0);
        }
    }

    /// Gives the heading that ends an id, as GitHub makes it of its text.
    fn name_heading(&mut self) {
        let Some(start) = self.heading.take() else {
            return;
        };
        let mut name = String::new();
        for event in self.events.iter().skip(start) {
            if let Event::Text(text) | Event::Code(text) = event {
                name.extend(text.chars().filter_map(letter));
            }
        }
        if name.is_empty() {
            return;
        }
        let before = self.ids.entry(name.clone()).or_default();
        if *before > 0 {
            name = format!("{name}-{before}");
        }
        *before += 1;
        if let Some(Event::Start(Tag::Heading { id, .. })) = self.events.get_mut(start) {
            *id = Some(name.into());
        }
    }
}

/// Makes HTML of code.
fn coloured(code: &str, language: Language) -> String {
    let mut made = String::with_capacity(2 * code.len());
    for (text, class) in Marks::of(code, Some(language)).pieces(code, 0..code.len()) {
        if let Some(class) = class {
            made.extend(["<span class=\"", class, "\">"]);
        }
        escape(&mut made, text);
        if class.is_some() {
            made.push_str("</span>");
        }
    }
    made
}

/// Makes a link of a link or a picture.
fn as_link(tag: Tag<'_>) -> Tag<'_> {
    match tag {
        Tag::Image {
            dest_url, title, ..
        } => Tag::Link {
            link_type: LinkType::Inline,
            dest_url,
            title,
            id: CowStr::Borrowed(""),
        },
        other => other,
    }
}

/// Returns the letter of an id for one of a heading; `None` where it has none.
fn letter(letter: char) -> Option<char> {
    match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        // Those whose lower case is several letters are rare.
        _ if letter.is_alphanumeric() => letter.to_lowercase().next(),
        _ => None,
    }
}
