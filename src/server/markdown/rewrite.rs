//! Makes HTML fit the page around it: headings begin below the page's own, and pictures that were written as tags become
//! links, as those of Markdown do.
//!
//! Nothing depends on it for safety: what it makes goes through the gate.

use std::cell::{Cell, RefCell};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// By how many levels headings move down.
const DOWN: u8 = 2;

/// Elements whose tags are shown as text, as the tag filter of GitHub's Markdown does it: after one of them a browser would take
/// tags, or all that follows, for its content.
const AS_TEXT: [&str; 9] = [
    "title",
    "textarea",
    "style",
    "xmp",
    "iframe",
    "noembed",
    "noframes",
    "script",
    "plaintext",
];

/// Elements whose content is not for readers.
const UNSEEN: [&str; 4] = ["template", "select", "svg", "math"];

/// Rewrites HTML.
pub(super) fn rewrite(html: &str) -> String {
    let mut unclosed = Vec::new();
    loop {
        let input = BufferQueue::default();
        input.push_back(StrTendril::from_slice(html));
        let rewriter = Rewriter {
            unclosed: unclosed.clone(),
            ..Rewriter::default()
        };
        let tokenizer = Tokenizer::new(rewriter, TokenizerOpts::default());
        // It stops for scripts only, which the sink does not name.
        let _ = tokenizer.feed(&input);
        tokenizer.end();
        let Some(unseen) = tokenizer.sink.unseen.get() else {
            return tokenizer.sink.made.take();
        };
        // One that does not end would take along all that follows. Each is found once.
        unclosed.push(unseen);
    }
}

#[derive(Default)]
struct Rewriter {
    made: RefCell<String>,
    /// The unseen element that is open.
    unseen: Cell<Option<&'static str>>,
    /// Unseen elements that are known not to end: only their tags are left out.
    unclosed: Vec<&'static str>,
    is_in_link: Cell<bool>,
}

impl TokenSink for Rewriter {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        if let Some(unseen) = self.unseen.get() {
            if let Token::TagToken(tag) = token
                && tag.kind == TagKind::EndTag
                && &*tag.name == unseen
            {
                self.unseen.set(None);
            }
            return TokenSinkResult::Continue;
        }
        match token {
            Token::TagToken(tag) => self.tag(&tag),
            Token::CharacterTokens(text) => self.text(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Rewriter {
    fn tag(&self, tag: &Tag) {
        let is_start = tag.kind == TagKind::StartTag;
        if let Some(name) = UNSEEN.into_iter().find(|name| *name == &*tag.name) {
            // Only foreign elements can be empty.
            let is_empty = tag.self_closing && matches!(name, "svg" | "math");
            if is_start && !is_empty && !self.unclosed.contains(&name) {
                self.unseen.set(Some(name));
            }
            return;
        }
        match &*tag.name {
            name if AS_TEXT.contains(&name) => self.text(&source(tag)),
            "img" | "image" if is_start => self.picture(tag),
            "a" => {
                self.is_in_link.set(is_start);
                self.write(tag, "a");
            }
            name => self.write(tag, heading(name).unwrap_or(name)),
        }
    }

    /// Writes the text of a picture, as a link to it where it is in none.
    fn picture(&self, tag: &Tag) {
        let value = |name: &str| {
            let found = tag.attrs.iter().find(|found| &*found.name.local == name);
            found.map(|found| found.value.trim().to_owned())
        };
        let text = value("alt").filter(|text| !text.is_empty());
        let text = text.unwrap_or_else(|| "image".to_owned());
        let address = value("src").filter(|_| !self.is_in_link.get());
        if let Some(address) = &address {
            let mut made = self.made.borrow_mut();
            made.push_str("<a href=\"");
            escape(&mut made, address);
            made.push_str("\">");
        }
        self.text(&text);
        if address.is_some() {
            self.made.borrow_mut().push_str("</a>");
        }
        // Badges stand beside each other.
        self.text(" ");
    }

    fn write(&self, tag: &Tag, name: &str) {
        let mut made = self.made.borrow_mut();
        if tag.kind == TagKind::EndTag {
            made.extend(["</", name, ">"]);
            return;
        }
        made.extend(["<", name]);
        for attribute in &tag.attrs {
            let (key, value) = (&*attribute.name.local, &*attribute.value);
            // How pulldown-cmark aligns the columns of a table; the pages allow no styles.
            let (key, value) = match (key, value.strip_prefix("text-align: ")) {
                ("style", Some(side)) => ("align", side),
                _ => (key, value),
            };
            made.extend([" ", key, "=\""]);
            escape(&mut made, value);
            made.push('"');
        }
        made.push('>');
    }

    fn text(&self, text: &str) {
        escape(&mut self.made.borrow_mut(), text);
    }
}

/// Writes a tag as its author may have written it.
fn source(tag: &Tag) -> String {
    let mut source = match tag.kind {
        TagKind::StartTag => format!("<{}", tag.name),
        TagKind::EndTag => format!("</{}", tag.name),
    };
    for attribute in &tag.attrs {
        source.extend([" ", &attribute.name.local, "=\"", &attribute.value, "\""]);
    }
    source.push('>');
    source
}

/// Returns the name of a heading's element on the page.
fn heading(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 6] = ["h1", "h2", "h3", "h4", "h5", "h6"];
    let level = NAMES.iter().position(|known| *known == name)?;
    NAMES
        .get(level + usize::from(DOWN))
        .or(NAMES.last())
        .copied()
}

/// Escapes a text.
pub(super) fn escaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    escape(&mut made, text);
    made
}

/// Escapes a text, and appends it.
pub(super) fn escape(made: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '&' => made.push_str("&amp;"),
            '"' => made.push_str("&quot;"),
            _ => made.push(letter),
        }
    }
}
