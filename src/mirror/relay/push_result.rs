//! Reads a server's report of a push: done, or the kind of failure, and whether a retry without some object would help.

use super::draft::NewObject;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::transport::{HostMessage, Meaning, Remote};
use crate::git::wire::receive_pack::ReportStatus;

/// Another push moved the branch, or is about to.
const RACE: Meaning = Meaning::new(
    Kind::Race,
    "Run it again: it starts from the mirror's new tip.",
);

/// Another process holds the lock of the branch, or one that was killed has left it behind.
const LOCKED: Meaning = Meaning::new(
    Kind::Server,
    "See that no other git process is running in the mirror's repository. Then remove the lock file that the message \
             names, and run it again.",
);

/// The server could not unpack the pack, for an unknown reason.
const NOT_TAKEN: Meaning = Meaning::new(
    Kind::Server,
    "Try again. If it fails again, ask the server's administrator (disk, quota, size limits).",
);

/// Another branch stands in the way: `a` and `a/b` cannot both exist.
const NAME_CONFLICT: Meaning = Meaning::new(
    Kind::Config,
    "Set `mirror.branch` to a name that neither begins with another branch's name and a slash, nor is such a \
             beginning, or delete the other branch.",
);

/// The server rejected the push, for an unknown reason.
const DECLINED: Meaning = Meaning::new(
    Kind::Permission,
    "Check what the server's hook requires, and allow the user, key or token to push to this branch (GitLab: \
             Settings, Repository, Protected branches, and \"Grant write permissions\" on the deploy key).",
);

/// Returns the failure that a server's report of a push tells of, if it does.
pub fn report_error(remote: &Remote, report: &ReportStatus) -> Option<Error> {
    check(remote, report).err()
}

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
    Err(answer.error(format!("{mirror}: {refused}: {}", reason(why, &said))))
}

/// Joins the reason in the report with the server's messages, which often repeat it.
fn reason(why: &str, said: &HostMessage) -> String {
    let said = said.to_string();
    if said.is_empty() || said.trim_start_matches("fatal: ") == why {
        why.to_owned()
    } else if said.contains(why) {
        said
    } else {
        format!("{why} ({said})")
    }
}

fn unpack_answer(why: &str, said: &HostMessage) -> Meaning {
    known(why, said).unwrap_or(NOT_TAKEN)
}

/// Tells a race, an outage of the server and a rejection apart.
fn refusal(why: &str, said: &HostMessage) -> Meaning {
    // With these words the server has compared the ref's values itself: its messages only repeat them. The last four are git's
    // since 2.50 (refs.c, `ref_transaction_error_msg`).
    const RACES: [&str; 6] = [
        "fetch first",
        "non-fast-forward",
        "reference already exists",
        "reference does not exist",
        "incorrect old value provided",
        "expected symref but found regular ref",
    ];
    // With these it only says that the ref was not written, which its messages may explain.
    const UNWRITTEN: [&str; 3] = ["failed to update ref", "failed to lock", "cannot lock ref"];
    // What prevents a server from writing a ref, which it reports in the same way as a race.
    const OBSTACLES: [&str; 4] = ["denied", "No space", "unable to", "cannot create"];
    const NAMES: [&str; 2] = ["refname conflict", "reference conflict"];
    // Words of git about itself. It reports `ng REF unpacker error` for every ref of a pack that it could not unpack.
    const OUTAGES: [&str; 4] = [
        "unpacker error",
        "transaction failed to start",
        "invalid new value provided",
        "unknown failure",
    ];
    let has_any = |text: &str, list: &[&str]| list.iter().any(|part| text.contains(part));
    if has_any(why, &RACES) {
        return RACE;
    }
    if has_any(why, &NAMES) {
        return NAME_CONFLICT;
    }
    let words = said.to_string();
    // git's words, and libgit2's.
    let is_locked =
        words.contains(".lock': File exists") || words.contains("failed to lock file '");
    if has_any(why, &UNWRITTEN) && is_locked {
        return LOCKED;
    }
    if has_any(why, &UNWRITTEN) {
        return if words.contains("exists; cannot create 'refs/") {
            NAME_CONFLICT
        } else if has_any(&words, &OBSTACLES) {
            said.meaning().unwrap_or(Meaning::OUTAGE)
        } else {
            RACE
        };
    }
    let is_outage = has_any(why, &OUTAGES) || HostMessage::new(why).is_outage();
    let guess = match is_outage || said.is_outage() {
        true => Meaning::OUTAGE,
        false => DECLINED,
    };
    known(why, said).unwrap_or(guess)
}

/// Returns the meaning of the hook's message, or else of the reason in the report, if a known host sends it.
fn known(why: &str, said: &HostMessage) -> Option<Meaning> {
    let reason = HostMessage::new(why).meaning();
    // git's own messages only name one of the objects, as they would in a damaged repository.
    if reason == Some(Meaning::INCOMPLETE) {
        return reason;
    }
    said.meaning().or(reason)
}

/// Removes an object that a strict server rejected because upstream's pack contains it, too: a file or tree of the mirror's own
/// that upstream once had as well. Says whether there was one.
///
/// Which objects a pack will contain is not known before it is sent, so the server's message is the only way to learn
/// of it.
pub(super) fn remove_duplicate(objects: &mut Vec<NewObject>, report: &ReportStatus) -> bool {
    let why = report.unpack_error.iter().map(String::as_str);
    let twice = why.chain([report.messages.as_str()]).find_map(sent_twice);
    let before = objects.len();
    objects.retain(|object| Some(object.id()) != twice);
    objects.len() < before
}

/// Returns the object that a message says is in the pack twice, in the words of `index-pack`, or of `unpack-objects`, to which
/// git gives small packs.
fn sent_twice(text: &str) -> Option<ObjectId> {
    let of_index_pack = || {
        let (_, rest) = text.split_once("same object ")?;
        rest.contains("appears twice").then(|| rest.get(..40))?
    };
    let of_unpack_objects = || {
        let (before, _) = text.split_once(" tried to add buffer twice")?;
        before.rsplit(' ').next()
    };
    of_index_pack().or_else(of_unpack_objects)?.parse().ok()
}

/// Says whether the push may succeed where the pack names no object that it leaves out: the server could not unpack it, and
/// did not say why, or for a reason that is not known to be another. The larger pack would meet a limit or a full disk again.
pub(super) fn whole_objects_may_help(report: &ReportStatus) -> bool {
    // What the system says of a full disk, or of one that is full for this user (`strerror`).
    const FULL: [&str; 2] = ["No space left", "quota exceeded"];
    let Some(why) = &report.unpack_error else {
        return false;
    };
    let is_full = |text: &str| FULL.iter().any(|words| text.contains(words));
    let said = HostMessage::new(&report.messages);
    !is_full(why) && !is_full(&report.messages) && known(why, &said).is_none()
}

/// Says whether the server refuses a push because what the branch has would no longer be on it.
pub(super) fn refuses_force(report: &ReportStatus) -> bool {
    let why = report.reference_error.as_deref();
    why.is_some_and(|why| why.contains("non-fast-forward"))
}

/// Makes the error of a server that allows no forced push.
pub(super) fn force_refused(mirror: &Remote, reference: &str) -> Error {
    let message = format!(
        "{mirror}: the server rejected the push: non-fast-forward: what {reference} has would no longer be on it"
    );
    Error::new(Kind::Permission, message).advise(
        "Allow forced pushes to that branch on its host (GitLab: Settings > Repository > Protected branches; git: \
         receive.denyNonFastForwards), or delete the branch there. Then run it again.",
    )
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
                "error: cannot lock ref 'refs/heads/x': Unable to create '/x.git/refs/heads/x.lock': File exists.\n\n\
                 Another git process seems to be running in this repository",
                Kind::Server,
            ),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/x': old reference value does not match",
                Kind::Race,
            ),
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
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/x': Unable to create '/x.git/refs/heads/x.lock': Permission denied",
                Kind::Permission,
            ),
            (
                "missing necessary objects",
                "error: the repository lacks the object 1234; run `git fsck` there",
                Kind::Permission,
            ),
            (
                "prohibited",
                "push denied for this branch",
                Kind::Permission,
            ),
            // What git says of a transaction that it rejected (refs.c, `ref_transaction_error_msg`).
            ("incorrect old value provided", "", Kind::Race),
            (
                "reference does not exist",
                "error: cannot lock ref 'refs/heads/x': unable to resolve reference 'refs/heads/x'",
                Kind::Race,
            ),
            ("reference already exists", "", Kind::Race),
            ("expected symref but found regular ref", "", Kind::Race),
            ("refname conflict", "", Kind::Config),
            (
                "reference conflict due to case-insensitive filesystem",
                "",
                Kind::Config,
            ),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/a/b': 'refs/heads/a' exists; cannot create 'refs/heads/a/b'",
                Kind::Config,
            ),
            ("invalid new value provided", "", Kind::Server),
            ("unknown failure", "", Kind::Server),
            ("transaction failed to start", "", Kind::Server),
            (
                "unable to migrate objects to permanent storage",
                "",
                Kind::Server,
            ),
        ];
        for (why, messages, kind) in cases {
            let said = HostMessage::new(messages);
            assert_eq!(refusal(why, &said).kind, kind, "{why}: {messages}");
        }
    }

    #[test]
    fn a_reason_that_the_messages_repeat_is_told_once() {
        for (why, said, expected) in [
            ("disk full", "", "disk full"),
            ("disk full", "fatal: disk full", "disk full"),
            (
                "disk full",
                "error: x\nfatal: disk full",
                "error: x / fatal: disk full",
            ),
            ("hook declined", "No.", "hook declined (No.)"),
        ] {
            assert_eq!(reason(why, &HostMessage::new(said)), expected);
        }
    }

    #[test]
    fn only_an_unknown_failure_to_unpack_is_worth_a_pack_with_whole_objects() {
        let cases = [
            (
                "index-pack abnormal exit",
                "fatal: pack has 3 unresolved deltas",
                true,
            ),
            ("disk full", "", true),
            (
                "index-pack abnormal exit",
                "fatal: pack exceeds maximum allowed size",
                false,
            ),
            (
                "index-pack abnormal exit",
                "remote: Your push to this repository would exceed storage limits",
                false,
            ),
            (
                "index-pack abnormal exit",
                "fatal: write error: No space left on device",
                false,
            ),
            (
                "index-pack abnormal exit",
                "fatal: write error: Disk quota exceeded",
                false,
            ),
        ];
        for (why, messages, expected) in cases {
            let report = ReportStatus {
                unpack_error: Some(why.to_owned()),
                reference_error: Some("unpacker error".to_owned()),
                messages: messages.to_owned(),
            };
            assert_eq!(
                whole_objects_may_help(&report),
                expected,
                "{why}: {messages}"
            );
        }
        assert!(!whole_objects_may_help(&ReportStatus::default()));
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
