//! TOML, by the lexer of `toml` and `toml_edit`.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::{Kind, Marks};

/// Where in a text the lexer is.
#[derive(Debug, Default)]
struct Place {
    /// The brackets that are open, and whether each is that of an inline table.
    open: Vec<bool>,
    /// Whether a value follows, rather than a key.
    is_value: bool,
    /// Whether this line is the name of a table.
    is_header: bool,
    /// Whether this line had something before.
    has_begun: bool,
}

pub(super) fn marks(text: &str) -> Marks {
    let mut marks = Marks::default();
    let mut place = Place::default();
    for token in Source::new(text).lex() {
        let range = token.span().start()..token.span().end();
        if let Some(kind) = place.take(token.kind()) {
            marks.take(text, range, kind);
        }
    }
    marks
}

impl Place {
    /// Takes a token, and returns what it is.
    fn take(&mut self, token: TokenKind) -> Option<Kind> {
        if self.open.is_empty() && !self.is_value && token == TokenKind::LeftSquareBracket {
            self.is_header |= !self.has_begun;
        }
        match token {
            TokenKind::Comment => return Some(Kind::Comment),
            TokenKind::Whitespace | TokenKind::Eof => return None,
            TokenKind::Newline if self.open.is_empty() => {
                *self = Self::default();
                return None;
            }
            _ => self.has_begun = true,
        }
        if self.is_header {
            return Some(Kind::Keyword);
        }
        match token {
            TokenKind::Equals => self.is_value = true,
            TokenKind::LeftSquareBracket => self.open(false),
            TokenKind::LeftCurlyBracket => self.open(true),
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                self.open.pop();
                self.is_value = true;
            }
            TokenKind::Comma => self.is_value = !self.open.last().copied().unwrap_or(true),
            TokenKind::LiteralString
            | TokenKind::BasicString
            | TokenKind::MlLiteralString
            | TokenKind::MlBasicString => return Some(Kind::Text),
            TokenKind::Atom | TokenKind::Dot if self.is_value => return Some(Kind::Number),
            _ => {}
        }
        None
    }

    fn open(&mut self, is_table: bool) {
        self.open.push(is_table);
        self.is_value = !is_table;
    }
}
