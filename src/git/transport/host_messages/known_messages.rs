//! The messages of known git hosts, and what each means. To add one: a pattern here, and the host's message in `samples.txt`.

use super::Meaning;
use crate::error::Kind::{self, Auth, Permission, Server};

const fn answer(kind: Kind, advice: &'static str) -> Meaning {
    Meaning { kind, advice }
}

/// Patterns in lower case, in which `*` stands for any text, and the meaning of a message that one of them matches. The first
/// row that matches counts: rules on content come first, because they quote what was pushed, which may hold any text.
pub(super) const KNOWN_MESSAGES: [(&[&str], Meaning); 29] = [
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
        ],
        answer(
            Permission,
            "Exempt this project from the rules on file names and secrets (GitLab: Settings, Repository, Push rules; \
             Secret push protection), or remove the lock from the path: upstream's files are pushed unchanged.",
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
            "exceeds maximum allowed size",
            "repository size is over limitation",
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
        &[super::FSCK_ERROR],
        answer(
            Permission,
            "The mirror's repository checks what is pushed (`receive.fsckObjects`), and upstream's objects are pushed \
             unchanged. If they are to be accepted, set `receive.fsck.<id>` to `ignore` in that repository, with the \
             message's id for <id>, or name the object in the file of `receive.fsck.skipList`.",
        ),
    ),
    (
        &[
            // Before the row on protected branches: GitHub's text says "Protected branch" as well, but is mended
            // elsewhere.
            "gh006",
            "gh013",
            "repository rule violations",
            "cannot update this protected ref",
        ],
        answer(
            Permission,
            "Let the deploy key or the token's user bypass the protection of this branch (GitHub: Settings, Rules, \
             the ruleset's bypass list; or Settings, Branches).",
        ),
    ),
    (
        // Before the next row, whose advice is for hosts: a plain repository protects what its work tree shows.
        &[
            "branch is currently checked out",
            "refusing to update checked out branch",
        ],
        answer(
            Permission,
            "Make the mirror a bare repository (`git init --bare`), which has no work tree, or set \
             `receive.denyCurrentBranch` to `ignore` in it, which leaves the work tree as it is.",
        ),
    ),
    (
        &["deny updating a hidden ref"],
        answer(
            Permission,
            "Take the branch out of `receive.hideRefs` and `transfer.hideRefs` in the mirror's repository, or set \
             `mirror.branch` to another.",
        ),
    ),
    (
        &[
            "insufficient permission for adding an object",
            "cannot write to * permission denied",
            "cannot lock ref * permission denied",
        ],
        answer(
            Permission,
            "Let the user that runs the git service write to the whole repository: look at the owner and the mode of its \
             files and folders (`ls -l`, `chown -R`, `chmod -R u+rwX`).",
        ),
    ),
    (
        &["repository not exported", "service not enabled"],
        answer(
            Permission,
            "Check the URL. A git daemon serves a repository that has the file git-daemon-export-ok, and takes pushes if \
             `daemon.receivepack` is set there.",
        ),
    ),
    (
        &[
            "missing necessary objects",
            "did not receive expected object",
        ],
        Meaning::INCOMPLETE,
    ),
    (
        &[
            "protected branch",
            "ask a project owner or maintainer to create a default branch",
        ],
        answer(
            Permission,
            "Allow the key or token to push to this branch (GitLab: Settings, Repository, Protected branches, \
             \"Allowed to push\": the deploy key itself, or the role of the token). Who created the deploy key must \
             still be a member of the project.",
        ),
    ),
    (
        &[
            "deploy key does not have write access",
            "deploy keys are not allowed to push",
            "deploy key: * is not authorized to write",
            "has been marked as read only",
            "denied to deploy key",
            "access via a deployment key is read-only",
        ],
        answer(
            Permission,
            "Give the deploy key write access (GitLab: Settings, Repository, Deploy keys, \"Grant write \
             permissions\"; GitHub: add it again with \"Allow write access\").",
        ),
    ),
    (
        &[
            // Of protected branches GitLab says this as well; the row on them, further up, has matched that.
            "you are not allowed to push code",
            "you are not allowed to upload code",
            // After the row on deploy keys, whose message ends in the same words.
            "is not authorized to write",
            "permission denied for writing",
            "write access to repository not granted",
        ],
        answer(
            Permission,
            "Give the user or token write access to this repository (GitLab: the role Developer or higher, and for a \
             token the scope write_repository), or use a deploy key with \"Grant write permissions\".",
        ),
    ),
    (
        &[
            "your ssh key has expired",
            "your ssh key type is forbidden",
            "cannot find key:",
        ],
        answer(
            Auth,
            "Create a new key of a type that the host accepts, add its public half there (GitLab: Settings, \
             Repository, Deploy keys, with \"Grant write permissions\"), and set SSH_PRIVATE_KEY.",
        ),
    ),
    (
        &[
            "your account has been blocked",
            "your account has been deactivated",
            "your account is pending approval",
            "your account is suspended",
            "your primary email address is not confirmed",
            "your password expired",
        ],
        answer(
            Auth,
            "Have the user who owns the key or token unblocked: log in with a browser, or ask an administrator of the \
             host. Or use a deploy key of the project.",
        ),
    ),
    (
        &[
            "cannot find valid sso session",
            "enabled or enforced saml sso",
            "requires smartcard login",
            "otp verification is required",
        ],
        answer(
            Auth,
            "Use a deploy key or an access token of the project, which need no session, or authorize the key or token \
             for single sign-on: the host requires an interactive login.",
        ),
    ),
    (
        &["must accept the terms of service"],
        answer(
            Permission,
            "Log in with a browser as the user who owns the key or token, and accept the terms. Or use a deploy key \
             of the project.",
        ),
    ),
    (
        &[
            "to an archived project",
            "was archived so",
            "repo: * is archived",
            "mirror repository * is read-only",
        ],
        answer(
            Permission,
            "Unarchive the repository, make it an ordinary one if it is a copy of another, or set `mirror.url` to \
             another: the host accepts no pushes to it.",
        ),
    ),
    (
        &["has an ip allow list enabled"],
        answer(
            Permission,
            "Add the address from which this runs (a runner's, not your own) to the host's list of allowed addresses.",
        ),
    ),
    (
        &[
            "git access over * is not allowed",
            "pulling over http is not allowed",
            "pushing over http is not allowed",
        ],
        answer(
            Permission,
            "Set `mirror.url` to a URL of the other kind, ssh or https, or have this kind allowed (GitLab: Admin, \
             Settings, General, Visibility and access controls, Enabled Git access protocols).",
        ),
    ),
    (
        &[
            "authentication by ci/cd job token not allowed",
            "insufficient permissions to pull from the repository of project",
        ],
        answer(
            Permission,
            "Allow this job's project at the mirror (GitLab: Settings, CI/CD, Job token permissions), or set \
             FERRY_MIRROR_TOKEN or SSH_PRIVATE_KEY.",
        ),
    ),
    (
        &[
            "you were looking for could not be found",
            "a repository for this project does not exist yet",
            "cannot find repository",
        ],
        answer(
            Permission,
            "Check the URL. GitLab answers the same for a project that this key or token cannot see: enable the \
             deploy key in this project (Settings, Repository, Deploy keys), or give the token access. Check the IP \
             restrictions of its group as well.",
        ),
    ),
    (
        &[
            "maintenance mode",
            "to a read-only gitlab instance",
            "repository is temporarily read-only",
        ],
        answer(
            Server,
            "Run it again later: the host accepts no pushes for now (maintenance, or it is moving the repository). If \
             it fails again, ask the server's administrator. For a GitLab that is a copy of another (Geo), set \
             `mirror.url` to that one.",
        ),
    ),
    (
        &[
            "internal api unreachable",
            "internal api error",
            "api is not accessible",
            "unable to handle this request due to load",
            "server is busy",
            "push operation timed out",
            "resource exhausted",
            "error executing git hook",
            "internal server error",
        ],
        answer(
            Server,
            "Try again in a few minutes: the host has an internal error. If it fails again, check its status page \
             (status.gitlab.com for gitlab.com), or ask its administrator.",
        ),
    ),
    (&["not our ref"], Meaning::MISSING),
    (
        &[
            super::LACKS_OBJECT,
            "bad tree object",
            "object file * is empty",
            "object * is corrupt",
            "unable to read tree",
            "aborting due to possible repository corruption",
        ],
        Meaning::DAMAGED,
    ),
];
