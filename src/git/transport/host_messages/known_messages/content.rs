//! Refusals of what is pushed: commits, files, and their size.

use super::{Row, answer};
use crate::error::Kind::Permission;
use crate::transport::host_messages::FSCK_ERROR;

pub(super) const ROWS: &[Row] = &[
    (
        &[
            "commit message '*' does not follow the pattern",
            "commit message '*' contains the forbidden pattern",
            "commit message must contain a dco signoff",
        ],
        answer(
            Permission,
            "Exempt this project from the rule on commit messages (GitLab: Settings, Repository, Push rules). It \
             applies to every pushed commit: to those of crates-ferry and, in `history: merge`, to upstream's own.",
        ),
    ),
    (
        &[
            "committer's email '*' does not follow the pattern",
            "author's email '*' does not follow the pattern",
            "author '*' is not a member of team",
            "committer '*' is not a member of team",
            "committer email '*' is not verified",
            "you cannot push commits for '",
            "inconsistent with*gitlab account name",
            "would publish a private email address",
            "email privacy restrictions",
            "is not registered in your account",
            "you can only push your own commits in this repository",
        ],
        answer(
            Permission,
            "Set `mirror.author` (FERRY_MIRROR_AUTHOR) to a name and address that the rule accepts: one that the host \
             knows, and where it requires the pusher's own, a verified one of the user who owns the key or token (for \
             a deploy key: of who created it). The rule applies to every pushed commit, in `history: merge` to \
             upstream's own as well: then exempt this project from it (GitLab: Settings, Repository, Push rules), or \
             switch to `history: snapshot`, which pushes no commits but those of crates-ferry.",
        ),
    ),
    (
        &[
            "commit must be signed",
            "commits must have verified signatures",
            "is protected from unverified commit",
        ],
        answer(
            Permission,
            "Exempt this project from the rule on signed commits (GitLab: Settings, Repository, Push rules): neither \
             crates-ferry's commits nor upstream's have a signature that this host can verify.",
        ),
    ),
    (
        &["branch name*does not follow the pattern"],
        answer(
            Permission,
            "Set `mirror.branch` to a name that the rule accepts, or exempt this project from it (GitLab: Settings, \
             Repository, Push rules).",
        ),
    ),
    (
        &[
            "file name * was prohibited by the",
            "the path '*' is locked by",
            "push blocked: secrets detected",
            "push cannot contain secrets",
            "is protected from changing file",
            // Azure DevOps: secrets.
            "vs403654:",
        ],
        answer(
            Permission,
            "Exempt this project from the rules on file names and secrets (GitLab: Settings, Repository, Push rules; \
             Secret push protection. Gitea, Forgejo: the branch's protected file patterns. Azure DevOps: Advanced \
             Security), or remove the lock from the path: upstream's files are pushed unchanged.",
        ),
    ),
    (
        &["user limit and*read-only"],
        answer(
            Permission,
            "Take users out of the group or workspace that owns the repository, or change its plan: it has more users than \
             the plan allows, and accepts no pushes until then.",
        ),
    ),
    (
        &[
            "is larger than the allowed size of",
            "blobs which exceed the",
            "files which exceed the",
            "file size limit of",
            "exceeded its size limit",
            "to exceed the size limit",
            "would exceed storage limits",
            "exceeded the allocated storage",
            "exceed the allocated storage",
            "exceeds maximum allowed size",
            "repository size is over limitation",
            // With the host's name: a full disk of the server's user says "Disk quota exceeded".
            "forgejo: quota exceeded",
            // Azure DevOps: the size of a push.
            "tf402462:",
            // GitLab: a group over its limit, which no waiting cures; a GitLab in maintenance says `read-only` in other
            // words.
            "read-only state",
        ],
        answer(
            Permission,
            "Raise the host's limit on the size of pushes, files, the repository or its group, or free space there. \
             Retrying does not help. `history: snapshot` needs a small part of what `history: merge` does.",
        ),
    ),
    (
        &[FSCK_ERROR],
        answer(
            Permission,
            "The mirror's repository checks what is pushed (`receive.fsckObjects`), and upstream's objects are pushed \
             unchanged. If they are to be accepted, set `receive.fsck.<id>` to `ignore` in that repository, with the \
             message's id for <id>, or name the object in the file of `receive.fsck.skipList`.",
        ),
    ),
];
