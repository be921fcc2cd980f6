//! Makes HTML fit the page around it: headings begin below the page's own, and pictures that were written as tags become
//! links, as those of Markdown do.
//!
//! Nothing depends on it for safety: what it makes goes through the gate.

use std::cell::{Cell, RefCell};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// By how many levels headings move down.
const DOWN: u8 = 2;

/// Elements whose content is not for readers, and how it is read.
const UNSEEN: [(&str, Option<RawKind>); 11] = [
    ("script", Some(RawKind::ScriptData)),
    ("style", Some(RawKind::Rawtext)),
    ("iframe", Some(RawKind::Rawtext)),
    ("noembed", Some(RawKind::Rawtext)),
    ("noframes", Some(RawKind::Rawtext)),
    ("title", Some(RawKind::Rcdata)),
    ("textarea", Some(RawKind::Rcdata)),
    ("template", None),
    ("select", None),
    ("svg", None),
    ("math", None),
];

/// Rewrites HTML.
pub(super) fn rewrite(html: &str) -> String {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    let tokenizer = Tokenizer::new(Rewriter::default(), TokenizerOpts::default());
    // It stops for scripts only, which the sink does not name.
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.made.take()
}

#[derive(Default)]
struct Rewriter {
    made: RefCell<String>,
    /// The unseen element that is open.
    unseen: Cell<Option<&'static str>>,
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
            Token::TagToken(tag) => return self.tag(&tag),
            Token::CharacterTokens(text) => self.text(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Rewriter {
    fn tag(&self, tag: &Tag) -> TokenSinkResult<()> {
        let is_start = tag.kind == TagKind::StartTag;
        let unseen = UNSEEN.into_iter().find(|(name, _)| *name == &*tag.name);
        if let Some((name, kind)) = unseen {
            // Only foreign elements can be empty.
            if is_start && !(tag.self_closing && matches!(name, "svg" | "math")) {
                self.unseen.set(Some(name));
                return kind.map_or(TokenSinkResult::Continue, TokenSinkResult::RawData);
            }
            return TokenSinkResult::Continue;
        }
        match &*tag.name {
            // All that follows would be text.
            "plaintext" => {}
            "img" | "image" if is_start => self.picture(tag),
            "a" => {
                self.is_in_link.set(is_start);
                self.write(tag, "a");
            }
            name => self.write(tag, heading(name).unwrap_or(name)),
        }
        TokenSinkResult::Continue
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
