//! Failures of the server and of its repository.

use super::{Row, answer};
use crate::error::Kind::Server;
use crate::transport::host_messages::{DAMAGED_REF, LACKS_OBJECT, Meaning};

pub(super) const ROWS: &[Row] = &[
    (
        &[
            "maintenance mode",
            "to a read-only gitlab instance",
            "repository is temporarily read-only",
            // gitolite, Azure DevOps and Gitea.
            "sorry, writes are currently disabled",
            "git pack file limit has been reached",
            "repository is being created",
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
            "internal server connection error",
        ],
        answer(
            Server,
            "Try again in a few minutes: the host has an internal error. If it fails again, check its status page \
             (status.gitlab.com for gitlab.com), or ask its administrator.",
        ),
    ),
    (
        &["detected dubious ownership in repository", "unsafe repository ('"],
        answer(
            Server,
            "On the server, run `git config --global --add safe.directory PATH` as the user that runs the git service, with \
             the path that the message names, or give the repository to that user (`chown -R`).",
        )
        .lasting(),
    ),
    (
        &["unable to migrate objects"],
        answer(
            Server,
            "On the server, let the user that runs the git service write to `objects/` of the repository (owner and mode), \
             and look for a full disk or quota.",
        )
        .lasting(),
    ),
    (&["not our ref", "tf401035:"], Meaning::MISSING),
    (
        &[
            LACKS_OBJECT,
            DAMAGED_REF,
            "bad tree object",
            "object file * is empty",
            "object * is corrupt",
            "unable to read tree",
            "aborting due to possible repository corruption",
        ],
        Meaning::DAMAGED,
    ),
];
