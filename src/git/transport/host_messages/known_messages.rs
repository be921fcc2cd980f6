//! The messages of known git hosts, and what each means. To add one: a pattern here, and the host's message in `samples.txt`.

mod access;
mod content;
mod server;

use super::Meaning;
use crate::error::Kind;

/// Patterns in lower case, in which `*` stands for any text, and the meaning of a message that one of them matches.
pub(super) type Row = (&'static [&'static str], Meaning);

/// All rows. The first that matches counts: rules on content come first, because they quote what was pushed, which may hold any
/// text.
pub(super) fn known_messages() -> impl Iterator<Item = &'static Row> {
    [content::ROWS, access::ROWS, server::ROWS]
        .into_iter()
        .flatten()
}

const fn answer(kind: Kind, advice: &'static str) -> Meaning {
    Meaning::new(kind, advice)
}
