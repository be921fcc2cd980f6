//! Refusals of who pushes, and of where it is pushed to: keys, tokens, branches, repositories.

use super::{Row, answer};
use crate::error::Kind::{Auth, Permission};
use crate::transport::host_messages::Meaning;

pub(super) const ROWS: &[Row] = &[
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
        // `W refs/heads/master REPOSITORY USER DENIED by RULE`; `fallthru` where no rule allows it.
        &["fatal: * denied by ", "invalid repo name: '"],
        answer(
            Permission,
            "Check the URL, then give the key's user `RW` in gitolite.conf on this repository and branch: `ssh USER@HOST info` \
             lists what it may do. After `DENIED by` stands the rule that denies, or `fallthru` where none allows it. \
             gitolite says the same of a repository that does not exist.",
        ),
    ),
    (
        // Bitbucket Data Center, and Bitbucket Cloud.
        &[
            "can only be modified through pull requests",
            "check your branch permissions configuration",
            "permission denied to update branch",
        ],
        answer(
            Permission,
            "Allow the user or access key to push to this branch without a pull request (Bitbucket: Repository settings, \
             Branch restrictions; in Data Center, Branch permissions).",
        ),
    ),
    (
        &["tf402455:"],
        answer(
            Permission,
            "Give the user \"Bypass policies when pushing\" on this branch (Azure DevOps: Repos, Branches, Branch security), \
             or take the branch policies away: they demand pull requests.",
        ),
    ),
    (
        &["tf401027:"],
        answer(
            Permission,
            "Allow the user the permission that the message names (Azure DevOps: Project settings, Repositories, Security; \
             GenericContribute is \"Contribute\", GenericRead is \"Read\"). The token needs the scope Code (Read & write).",
        ),
    ),
    (
        &[
            "protected branch",
            "is protected from",
            "ask a project owner or maintainer to create a default branch",
        ],
        answer(
            Permission,
            "Allow the key or token to push to this branch (GitLab: Settings, Repository, Protected branches, \
             \"Allowed to push\": the deploy key itself, or the role of the token. Gitea, Forgejo: Settings, Branches). \
             In GitLab, who created the deploy key must still be a member of the project.",
        ),
    ),
    (
        &[
            "deploy key does not have write access",
            "deploy keys are not allowed to push",
            "deploy key: * is not authorized to write",
            "(deploy) key: * is not authorized to",
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
            "credentials lack one or more required privilege scopes",
        ],
        answer(
            Permission,
            "Give the user or token write access to this repository (GitLab: the role Developer or higher, and for a \
             token the scope write_repository; Bitbucket: the scope repository:write), or use a deploy key with write access.",
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
             Repository, Deploy keys; for the mirror with \"Grant write permissions\"), and set SSH_PRIVATE_KEY.",
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
            "this repo is archived",
            "mirror repository*is read-only",
            // gitolite: a copy of another server's repository.
            "pushing '*' to copy '*' not allowed",
            "' is mirrored but not here",
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
            "Use a URL of the other kind, ssh or https, or have this kind allowed (GitLab: Admin, \
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
            // Gitea and Forgejo.
            "cannot find repository",
            "push to create is not enabled",
            "is not authorized to read",
            // Bitbucket Cloud, and Bitbucket Data Center.
            "conq: repository does not exist",
            "deployment key is not associated with the requested repository",
            "access to this repository or it no longer exists",
            "requested repository either does not exist or you do not have access",
            "requested repository does not exist, or you do not have permission",
            // Azure DevOps.
            "tf401019:",
        ],
        answer(
            Permission,
            "Check the URL, and create the repository if it does not exist or enable it if it is disabled. Hosts answer the \
             same for one that this key or token may not see: add the key to this repository (Gitea, Forgejo: Settings, \
             Deploy keys; Bitbucket: Repository settings, Access keys), or give the user or token access to it.",
        ),
    ),
];
