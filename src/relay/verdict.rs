//! Reads a server's report of a push: done, or which kind of failure it is, and whether leaving something out would help.

use super::NewObject;
use crate::error::{Error, Kind, Result};
use crate::transport::{Remote, is_trouble};
use crate::wire::receive_pack::Report;

/// Makes a result of the server's report.
pub(super) fn judge(mirror: &Remote, report: &Report) -> Result<()> {
    if let Some(why) = &report.unpack_error {
        let text = with_messages(why, report);
        return Err(Error::new(
            Kind::Server,
            format!("{mirror}: it could not take the pack in: {text}"),
        )
        .advise(
            "try again; if it stays so, ask whoever runs that server (disk, quota, size limits)",
        ));
    }
    let Some(why) = &report.reference_error else {
        return Ok(());
    };
    let text = with_messages(why, report);
    let kind = refusal_kind(why, &report.messages);
    let error = Error::new(kind, format!("{mirror}: it refused the push: {text}"));
    Err(match kind {
        Kind::Race => error.advise("run it again: it starts from what is there then"),
        Kind::Permission => error.advise(
            "let the key or token push to this branch (GitLab: Settings, Repository, Protected branches, and \
             \"Grant write permissions\" on the deploy key), or look at what the server's hook demands",
        ),
        _ => error.advise("try again; if it stays so, ask whoever runs that server"),
    })
}

/// Tells a race, a trouble of the server's own and a refusal apart.
fn refusal_kind(why: &str, messages: &str) -> Kind {
    const RACES: [&str; 6] = [
        "fetch first",
        "non-fast-forward",
        "failed to update ref",
        "failed to lock",
        "cannot lock ref",
        "reference already exists",
    ];
    // What keeps a server from writing a ref, which it then reports as it reports a race.
    const OBSTACLES: [&str; 4] = ["denied", "No space", "unable to", "cannot create"];
    let has_any = |text: &str, list: &[&str]| list.iter().any(|part| text.contains(part));
    if has_any(why, &RACES) {
        return match has_any(messages, &OBSTACLES) {
            true => Kind::Server,
            false => Kind::Race,
        };
    }
    if why.contains("unpacker error") || is_trouble(why) || is_trouble(messages) {
        return Kind::Server;
    }
    Kind::Permission
}

fn with_messages(why: &str, report: &Report) -> String {
    let lines: Vec<&str> = report
        .messages
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        return why.to_owned();
    }
    format!("{why} ({})", lines.join(" / "))
}

/// Leaves out an object that a strict server refused because upstream's pack brings it, too: a file or tree of the mirror's
/// own that upstream once had as well. Says whether there was one.
pub(super) fn leave_out(objects: &mut Vec<NewObject>, report: &Report) -> bool {
    let why = report.unpack_error.iter().map(String::as_str);
    let twice = why
        .chain([report.messages.as_str()])
        .filter(|text| text.contains("appears twice"))
        .find_map(|text| text.split_once("same object ")?.1.get(..40)?.parse().ok());
    let before = objects.len();
    objects.retain(|object| Some(object.id()) != twice);
    objects.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_a_trouble_of_the_server_and_a_refusal_are_told_apart() {
        let cases = [
            ("failed to update ref", "", Kind::Race),
            (
                "failed to update ref",
                "error: No space left on device",
                Kind::Server,
            ),
            (
                "failed to lock",
                "error: unable to create file",
                Kind::Server,
            ),
            ("unpacker error", "", Kind::Server),
            (
                "pre-receive hook declined",
                "GitLab: access denied",
                Kind::Permission,
            ),
            (
                "pre-receive hook declined",
                "read-only maintenance",
                Kind::Server,
            ),
            ("deny updating a hidden ref", "", Kind::Permission),
            (
                "prohibited",
                "push denied for this branch",
                Kind::Permission,
            ),
        ];
        for (why, messages, kind) in cases {
            assert_eq!(refusal_kind(why, messages), kind, "{why}: {messages}");
        }
    }
}
