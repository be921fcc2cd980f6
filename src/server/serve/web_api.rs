//! The rest of cargo's web API, which a mirror does not have: cargo shows why, and where to go.

use crate::http::routes::NOTHING_HERE;

/// How the paths of cargo's commands begin and end, and what they are told. The first that matches counts.
const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "/api/v1/crates",
        "/new",
        "this server is a mirror and takes no crates: publish to the registry itself, which is crates.io with `cargo publish --registry crates-io`",
    ),
    (
        "/api/v1/crates",
        "/yank",
        "this server is a mirror and yanks nothing: yank at the registry itself, which is crates.io with `cargo yank --registry crates-io`",
    ),
    (
        "/api/v1/crates",
        "/unyank",
        "this server is a mirror and yanks nothing: undo it at the registry itself, which is crates.io with `cargo yank --undo --registry crates-io`",
    ),
    (
        "/api/v1/crates",
        "/owners",
        "this server is a mirror and knows no owners: ask the registry itself, which is crates.io with `cargo owner --registry crates-io`",
    ),
    (
        "/api/v1/crates",
        "",
        "this server is a mirror and does not search: ask the registry itself, which is crates.io with `cargo search --registry crates-io`",
    ),
    (
        "/me",
        "",
        "this server makes no tokens: ask whoever runs it for one, and give that to `cargo login`",
    ),
];

/// Returns what is said of a path that no route has.
pub(super) fn absent(path: &str) -> &'static str {
    let matches = |(begin, end, _): &&(&str, &str, &str)| match *end {
        "" => path == *begin,
        end => path.starts_with(begin) && path.ends_with(end),
    };
    let found = COMMANDS.iter().find(matches);
    found.map_or(NOTHING_HERE, |(_, _, told)| told)
}
