//! Rust, by rustc's own lexer.

use ra_ap_rustc_lexer::{FrontmatterAllowed, LiteralKind, TokenKind, strip_shebang, tokenize};

use super::{Kind, Marks};

/// The keywords of the 2024 edition that programs are written with.
const KEYWORDS: [&str; 37] = [
    "Self", "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum",
    "extern", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub",
    "ref", "return", "self", "static", "struct", "super", "trait", "type", "union", "unsafe",
    "use", "where", "while",
];

pub(super) fn marks(text: &str) -> Marks {
    let mut marks = Marks::default();
    let mut end = strip_shebang(text).unwrap_or(0);
    if end > 0 {
        marks.take(text, 0..end, Kind::Comment);
    }
    // How many brackets of the attribute are open that is being read.
    let mut attribute: Option<usize> = None;
    let mut is_after_macro = false;
    // No frontmatter, which only scripts have: its lexer panics at more than 65,535 hyphens.
    for token in tokenize(&text[end..], FrontmatterAllowed::No) {
        let start = end;
        end = start + token.len as usize;
        let (word, rest) = (&text[start..end], &text[end..]);
        let kind = match token.kind {
            TokenKind::LineComment { doc_style: None }
            | TokenKind::BlockComment {
                doc_style: None, ..
            } => Some(Kind::Comment),
            TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => Some(Kind::Doc),
            TokenKind::Literal { kind, .. } => Some(literal(kind)),
            TokenKind::Whitespace | TokenKind::Eof => None,
            TokenKind::Pound if rest.starts_with('[') || rest.starts_with("![") => {
                attribute.get_or_insert(0);
                Some(Kind::Attribute)
            }
            other if let Some(open) = attribute => {
                attribute = match other {
                    TokenKind::OpenBracket => Some(open + 1),
                    TokenKind::CloseBracket if open <= 1 => None,
                    TokenKind::CloseBracket => Some(open - 1),
                    _ => Some(open),
                };
                Some(Kind::Attribute)
            }
            TokenKind::Ident => identifier(word, rest),
            TokenKind::Lifetime { .. } | TokenKind::RawLifetime => Some(Kind::Lifetime),
            TokenKind::Bang if is_after_macro => Some(Kind::Macro),
            _ => None,
        };
        is_after_macro = kind == Some(Kind::Macro) && token.kind == TokenKind::Ident;
        if let Some(kind) = kind {
            marks.take(text, start..end, kind);
        }
    }
    marks
}

fn literal(kind: LiteralKind) -> Kind {
    match kind {
        LiteralKind::Int { .. } | LiteralKind::Float { .. } => Kind::Number,
        _ => Kind::Text,
    }
}

/// Returns what an identifier is, by itself and by what follows.
fn identifier(word: &str, rest: &str) -> Option<Kind> {
    let is_called = rest.starts_with('!') && !rest.starts_with("!=");
    match word {
        "true" | "false" => Some(Kind::Number),
        _ if is_called => Some(Kind::Macro),
        _ if KEYWORDS.binary_search(&word).is_ok() => Some(Kind::Keyword),
        _ => None,
    }
}
