//! cargo's and crates.io's web API: what reads is answered ([`read`]), what writes is refused with a sentence that cargo
//! shows: why, and where to go.

mod contents;
mod json;
pub(super) mod lists;
mod owners;
mod parameters;
pub(super) mod read;
mod readme;

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
        "this server is a mirror and changes no owners: do it at the registry itself, which is crates.io with `cargo owner --registry crates-io`",
    ),
    (
        "/me",
        "",
        "this server makes no tokens: ask whoever runs it for one, and give that to `cargo login`",
    ),
];

/// Returns what is said of a path that the server does not have, if there is anything to say.
pub(super) fn told(path: &str) -> Option<&'static str> {
    let matches = |(begin, end, _): &&(&str, &str, &str)| match *end {
        "" => path == *begin,
        end => path.starts_with(begin) && path.ends_with(end),
    };
    let found = COMMANDS.iter().find(matches);
    found.map(|(_, _, told)| *told)
}
