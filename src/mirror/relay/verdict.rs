//! Reads a server's report of a push: done, or which kind of failure it is, and whether leaving something out would help.

use super::NewObject;
use crate::error::{Kind, Result};
use crate::git::transport::{HostAnswer, HostWords, Remote};
use crate::git::wire::receive_pack::Report;

/// Somebody else moved the branch, or is about to.
const RACE: HostAnswer = HostAnswer {
    kind: Kind::Race,
    advice: "run it again: it starts from what is there then",
};

/// The pack was not taken in, for a reason that is not known.
const NOT_TAKEN: HostAnswer = HostAnswer {
    kind: Kind::Server,
    advice: "try again; if it stays so, ask whoever runs that server (disk, quota, size limits)",
};

/// The server does not want the push, for a reason that is not known.
const DECLINED: HostAnswer = HostAnswer {
    kind: Kind::Permission,
    advice: "let the key or token push to this branch (GitLab: Settings, Repository, Protected branches, and \
             \"Grant write permissions\" on the deploy key), or look at what the server's hook demands",
};

/// Makes a result of the server's report.
pub(super) fn judge(mirror: &Remote, report: &Report) -> Result<()> {
    let said = HostWords::new(&report.messages);
    let (answer, why, refused) = match (&report.unpack_error, &report.reference_error) {
        (Some(why), _) => (
            unpack_answer(why, &said),
            why,
            "it could not take the pack in",
        ),
        (None, Some(why)) => (refusal(why, &said), why, "it refused the push"),
        (None, None) => return Ok(()),
    };
    let message = match said.is_empty() {
        true => format!("{mirror}: {refused}: {why}"),
        false => format!("{mirror}: {refused}: {why} ({said})"),
    };
    Err(answer.error(message))
}

fn unpack_answer(why: &str, said: &HostWords) -> HostAnswer {
    known(why, said).unwrap_or(NOT_TAKEN)
}

/// Tells a race, a trouble of the server's own and a refusal apart.
fn refusal(why: &str, said: &HostWords) -> HostAnswer {
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
        return match has_any(&said.to_string(), &OBSTACLES) {
            true => HostAnswer::TROUBLED,
            false => RACE,
        };
    }
    let is_trouble = why.contains("unpacker error") || HostWords::new(why).tell_trouble();
    let guess = match is_trouble || said.tell_trouble() {
        true => HostAnswer::TROUBLED,
        false => DECLINED,
    };
    known(why, said).unwrap_or(guess)
}

/// Returns what the hook's words mean, or else the reason in the report, where hosts are known to say so.
fn known(why: &str, said: &HostWords) -> Option<HostAnswer> {
    said.meaning().or_else(|| HostWords::new(why).meaning())
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
            let said = HostWords::new(messages);
            assert_eq!(refusal(why, &said).kind, kind, "{why}: {messages}");
        }
    }

    #[test]
    fn a_hosts_own_words_count_more_than_the_report_and_less_than_a_race() {
        let sizes = HostWords::new("fatal: pack exceeds maximum allowed size");
        let taken = unpack_answer("index-pack abnormal exit", &sizes);
        assert_eq!(taken.kind, Kind::Permission);
        assert_eq!(unpack_answer("disk full", &HostWords::new("")), NOT_TAKEN);
        let busy = HostWords::new("GitLab: Internal API unreachable");
        assert_eq!(
            refusal("pre-receive hook declined", &busy).kind,
            Kind::Server
        );
        assert_eq!(refusal("failed to lock", &busy), RACE);
        let ruled = refusal(
            "push declined due to repository rule violations",
            &HostWords::new(""),
        );
        assert!(ruled.advice.contains("bypass list"));
    }
}
