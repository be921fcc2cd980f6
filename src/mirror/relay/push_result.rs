//! Reads a server's report of a push: done, or the kind of failure, and whether a retry without some object would help.

use super::draft::NewObject;
use crate::error::{Kind, Result};
use crate::git::transport::{HostMessage, Meaning, Remote};
use crate::git::wire::receive_pack::ReportStatus;

/// Another push moved the branch, or is about to.
const RACE: Meaning = Meaning {
    kind: Kind::Race,
    advice: "Run it again: it starts from the mirror's new tip.",
};

/// The server could not unpack the pack, for an unknown reason.
const NOT_TAKEN: Meaning = Meaning {
    kind: Kind::Server,
    advice: "Try again. If it fails again, ask the server's administrator (disk, quota, size limits).",
};

/// The server rejected the push, for an unknown reason.
const DECLINED: Meaning = Meaning {
    kind: Kind::Permission,
    advice: "Allow the key or token to push to this branch (GitLab: Settings, Repository, Protected branches, and \
             \"Grant write permissions\" on the deploy key), or check what the server's hook requires.",
};

/// Turns the server's report into a result.
pub(super) fn check(mirror: &Remote, report: &ReportStatus) -> Result<()> {
    let said = HostMessage::new(&report.messages);
    let (answer, why, refused) = match (&report.unpack_error, &report.reference_error) {
        (Some(why), _) => (
            unpack_answer(why, &said),
            why,
            "the server could not unpack the push",
        ),
        (None, Some(why)) => (refusal(why, &said), why, "the server rejected the push"),
        (None, None) => return Ok(()),
    };
    let message = match said.is_empty() {
        true => format!("{mirror}: {refused}: {why}"),
        false => format!("{mirror}: {refused}: {why} ({said})"),
    };
    Err(answer.error(message))
}

fn unpack_answer(why: &str, said: &HostMessage) -> Meaning {
    known(why, said).unwrap_or(NOT_TAKEN)
}

/// Tells a race, an outage of the server and a rejection apart.
fn refusal(why: &str, said: &HostMessage) -> Meaning {
    const RACES: [&str; 6] = [
        "fetch first",
        "non-fast-forward",
        "failed to update ref",
        "failed to lock",
        "cannot lock ref",
        "reference already exists",
    ];
    // What prevents a server from writing a ref, which it reports in the same way as a race.
    const OBSTACLES: [&str; 4] = ["denied", "No space", "unable to", "cannot create"];
    let has_any = |text: &str, list: &[&str]| list.iter().any(|part| text.contains(part));
    if has_any(why, &RACES) {
        return match has_any(&said.to_string(), &OBSTACLES) {
            true => Meaning::OUTAGE,
            false => RACE,
        };
    }
    // git reports `ng REF unpacker error` for every ref of a pack that it could not unpack.
    let is_outage = why.contains("unpacker error") || HostMessage::new(why).is_outage();
    let guess = match is_outage || said.is_outage() {
        true => Meaning::OUTAGE,
        false => DECLINED,
    };
    known(why, said).unwrap_or(guess)
}

/// Returns the meaning of the hook's message, or else of the reason in the report, if a known host sends it.
fn known(why: &str, said: &HostMessage) -> Option<Meaning> {
    said.meaning().or_else(|| HostMessage::new(why).meaning())
}

/// Removes an object that a strict server rejected because upstream's pack contains it, too: a file or tree of the mirror's own
/// that upstream once had as well. Says whether there was one.
///
/// Which objects a pack will contain is not known before it is sent, so the server's message is the only way to learn
/// of it.
pub(super) fn remove_duplicate(objects: &mut Vec<NewObject>, report: &ReportStatus) -> bool {
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
    fn a_race_an_outage_and_a_rejection_are_told_apart() {
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
            let said = HostMessage::new(messages);
            assert_eq!(refusal(why, &said).kind, kind, "{why}: {messages}");
        }
    }

    #[test]
    fn a_hosts_own_message_counts_more_than_the_report_and_less_than_a_race() {
        let sizes = HostMessage::new("fatal: pack exceeds maximum allowed size");
        let taken = unpack_answer("index-pack abnormal exit", &sizes);
        assert_eq!(taken.kind, Kind::Permission);
        assert_eq!(unpack_answer("disk full", &HostMessage::new("")), NOT_TAKEN);
        let busy = HostMessage::new("GitLab: Internal API unreachable");
        assert_eq!(
            refusal("pre-receive hook declined", &busy).kind,
            Kind::Server
        );
        assert_eq!(refusal("failed to lock", &busy), RACE);
        let ruled = refusal(
            "push declined due to repository rule violations",
            &HostMessage::new(""),
        );
        assert!(ruled.advice.contains("bypass list"));
    }
}
