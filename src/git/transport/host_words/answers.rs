//! The answers of git hosts that are known: their words, and what they mean. Where each comes from is in the tests.

use super::HostAnswer;
use crate::error::Kind::{self, Auth, Permission, Server};

const fn answer(kind: Kind, advice: &'static str) -> HostAnswer {
    HostAnswer { kind, advice }
}

/// Patterns in lower case, of parts that `*` divides, and what the words that one of them fits mean. The first row that fits
/// counts: rules on content come first, for they quote what was pushed, and that may hold any words.
pub(super) const ANSWERS: [(&[&str], HostAnswer); 22] = [
    (
        &[
            "commit message '*' does not follow the pattern",
            "commit message '*' contains the forbidden pattern",
            "commit message must contain a dco signoff",
        ],
        answer(
            Permission,
            "exempt this project from the rule on commit messages (GitLab: Settings, Repository, Push rules): it holds \
             for every pushed commit, those of crates-ferry and, in `history: merge`, upstream's own",
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
            "set `mirror.author` (FERRY_MIRROR_AUTHOR) to a name and address that the rule accepts: one that the host \
             knows, and where it asks for the pusher's own, a verified one of the user whose key or token this is (for a \
             deploy key: of who created it). The rule holds for every pushed commit, in `history: merge` for upstream's \
             own as well: then exempt this project from it (GitLab: Settings, Repository, Push rules), or go over to \
             `history: snapshot`, which pushes no commits but those of crates-ferry",
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
            "exempt this project from the rule on signed commits (GitLab: Settings, Repository, Push rules): neither \
             crates-ferry's commits nor upstream's carry a signature that this host could verify",
        ),
    ),
    (
        &["branch name*does not follow the pattern"],
        answer(
            Permission,
            "set `mirror.branch` to a name that the rule accepts, or exempt this project from it (GitLab: Settings, \
             Repository, Push rules)",
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
            "upstream's files are carried as they are: exempt this project from the rules on file names and secrets \
             (GitLab: Settings, Repository, Push rules; Secret push protection), or take the lock off the path",
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
            "read-only state",
        ],
        answer(
            Permission,
            "raise the host's limit on the size of pushes, files, the repository or its group, or make room there: \
             another try does not help. `history: snapshot` needs a small part of what `history: merge` does",
        ),
    ),
    (
        &[
            "gh006",
            "gh013",
            "repository rule violations",
            "cannot update this protected ref",
        ],
        answer(
            Permission,
            "let the deploy key or the token's user pass by the protection of this branch (GitHub: Settings, Rules, the \
             ruleset's bypass list; or Settings, Branches)",
        ),
    ),
    (
        &[
            "protected branch",
            "ask a project owner or maintainer to create a default branch",
        ],
        answer(
            Permission,
            "let the key or token push to this branch (GitLab: Settings, Repository, Protected branches, \"Allowed to \
             push\": the deploy key itself, or the role of the token; who created the deploy key must still be a member \
             of the project)",
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
            "give the deploy key write access (GitLab: Settings, Repository, Deploy keys, \"Grant write permissions\"; \
             GitHub: add it anew with \"Allow write access\")",
        ),
    ),
    (
        &[
            "you are not allowed to push code",
            "you are not allowed to upload code",
            "is not authorized to write",
            "permission denied for writing",
            "write access to repository not granted",
        ],
        answer(
            Permission,
            "give the user or token write access to this repository (GitLab: the role Developer or higher, and for a \
             token the scope write_repository), or use a deploy key with \"Grant write permissions\"",
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
            "the host takes this key no more: make a new one of a type that it allows, add its public half there \
             (GitLab: Settings, Repository, Deploy keys, with \"Grant write permissions\"), and set SSH_PRIVATE_KEY",
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
            "the user whose key or token this is must be let in again, by logging in with a browser or by an \
             administrator of the host; or use a deploy key of the project",
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
            "the host wants a person to log in first: use a deploy key or an access token of the project, which need no \
             session, or authorize the key or token for single sign-on",
        ),
    ),
    (
        &["must accept the terms of service"],
        answer(
            Permission,
            "log in with a browser as the user whose key or token this is, and accept the terms; or use a deploy key of \
             the project",
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
            "the host keeps this repository as it is, archived or as a copy of another: unarchive it, make it an ordinary \
             one, or set `mirror.url` to another",
        ),
    ),
    (
        &["has an ip allow list enabled"],
        answer(
            Permission,
            "add the address from which this runs (a runner's, not your own) to the host's list of allowed addresses",
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
            "set `mirror.url` to a URL of the other kind, ssh or https, or have this kind allowed (GitLab: Admin, \
             Settings, General, Visibility and access controls, Enabled Git access protocols)",
        ),
    ),
    (
        &[
            "authentication by ci/cd job token not allowed",
            "insufficient permissions to pull from the repository of project",
        ],
        answer(
            Permission,
            "let this job's project in at the mirror (GitLab: Settings, CI/CD, Job token permissions), or set \
             FERRY_MIRROR_TOKEN or SSH_PRIVATE_KEY",
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
            "look at the URL. GitLab says the same of a project that this key or token may not see: enable the deploy key \
             in this project (Settings, Repository, Deploy keys), or give the token access; look at IP restrictions of \
             its group, too",
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
            "the host takes no pushes for a while (maintenance, or it is moving the repository): run it again later. If \
             it stays so, ask whoever runs that server; a GitLab that is a copy of another (Geo) wants the URL of that \
             one in `mirror.url`",
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
            "try again in a few minutes: the host fails inside. If it stays so, look at its status page \
             (status.gitlab.com for gitlab.com), or ask whoever runs it",
        ),
    ),
    (&["not our ref"], HostAnswer::MISSING),
];
