//! The repository that a failure is about, and what to advise there: who refuses decides which setting is wrong.

use std::fmt;

use super::JOB_TOKEN_USER;

/// Which repository of the configuration a remote is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// The repository that the index comes from, which is read.
    Upstream,
    /// The repository that is pushed to.
    #[default]
    Mirror,
    /// The repository that `serve` copies: the mirror, or any other.
    Index,
    /// The repository of security advisories that `serve` copies, too.
    Advisories,
    /// The index of the private crates, which is read and pushed to.
    Private,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Side {
    /// Returns the name that messages have for it, for example `mirror`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Mirror => "mirror",
            Self::Index => "index",
            Self::Advisories => "advisories",
            Self::Private => "private index",
        }
    }

    /// Returns what to do about a denial that no known host words in this way: no access, or no such repository.
    pub(super) fn denied(self) -> &'static str {
        match self {
            Self::Upstream => {
                "Check `upstream.url`, and that the user, key or token may read that repository. Upstream is only read."
            }
            Self::Mirror => {
                "Check `mirror.url`, and what the user, key or token may do there: the mirror needs write access (GitLab: a \
                 deploy key with \"Grant write permissions\" that is allowed to push to the protected branch)."
            }
            Self::Index => {
                "Check `serve.index`, and that the user, key or token may read that repository. The index is only read."
            }
            Self::Advisories => {
                "Check `policy.advisories`, and that the user, key or token may read that repository. It is only read."
            }
            Self::Private => {
                "Check `private.index`, and what the user, key or token may do there: the private index needs write access (GitLab: \
                 a deploy key with \"Grant write permissions\" that is allowed to push to the protected branch)."
            }
        }
    }

    /// Returns what to do about a request for credentials where none were sent.
    pub(super) fn without_credentials(self) -> &'static str {
        match self {
            Self::Upstream => {
                "Put a user and a token that may read the repository into `upstream.url`, as in https://USER:TOKEN@HOST/PATH: \
                 upstream is sent no other secret. Many hosts answer the same for a repository that does not exist."
            }
            Self::Mirror => {
                "Set FERRY_MIRROR_TOKEN to a token that may write the repository, or run as a job of the mirror's own GitLab \
                 with CI_JOB_TOKEN and its setting \"Allow Git push requests to the repository\"."
            }
            Self::Index => {
                "Set FERRY_MIRROR_TOKEN to a token that may read the repository if the index is the mirror or on its host; else \
                 put a user and a token into `serve.index`, as in https://USER:TOKEN@HOST/PATH."
            }
            Self::Advisories => {
                "Set FERRY_MIRROR_TOKEN to a token that may read the repository if it is on the mirror's host; else put a user and a \
                 token into `policy.advisories`, as in https://USER:TOKEN@HOST/PATH."
            }
            Self::Private => {
                "Set FERRY_MIRROR_TOKEN to a token that may write the repository if it is on the mirror's host; else put a user and a \
                 token into `private.index`, as in https://USER:TOKEN@HOST/PATH."
            }
        }
    }

    /// Returns what to do about credentials that are not accepted.
    pub(super) fn wrong_credentials(self, user: &str) -> &'static str {
        match self {
            // The token of a job of the mirror's GitLab is never upstream's.
            Self::Upstream => {
                "Check the user and the token in `upstream.url`: they may be expired, revoked, or for another server."
            }
            Self::Mirror if user == JOB_TOKEN_USER => JOB_TOKEN,
            Self::Mirror => {
                "Check FERRY_MIRROR_TOKEN, or the user and password in `mirror.url`: they may be expired, revoked, or for \
                 another server."
            }
            Self::Index | Self::Advisories if user == JOB_TOKEN_USER => JOB_READS,
            Self::Index => {
                "Check FERRY_MIRROR_TOKEN, or the user and token in `serve.index`: they may be expired, revoked, or for another \
                 server."
            }
            Self::Advisories => {
                "Check FERRY_MIRROR_TOKEN, or the user and token in `policy.advisories`: they may be expired, revoked, or for \
                 another server."
            }
            Self::Private => {
                "Check FERRY_MIRROR_TOKEN, or the user and token in `private.index`: they may be expired, revoked, or for another \
                 server."
            }
        }
    }

    /// Returns what to do about a denial of access; `writes` says whether a push was asked for.
    pub(super) fn forbidden(self, user: Option<&str>, writes: bool) -> &'static str {
        match self {
            Self::Upstream if user.is_none() => {
                "Check that upstream allows this machine's address. Where it wants a login, put a user and a token into \
                 `upstream.url`, as in https://USER:TOKEN@HOST/PATH."
            }
            Self::Mirror | Self::Index | Self::Advisories | Self::Private if user.is_none() => {
                self.without_credentials()
            }
            Self::Upstream => {
                "Check that the user or token in `upstream.url` may read the repository, and that upstream allows this machine's \
                 address."
            }
            Self::Index | Self::Advisories if user == Some(JOB_TOKEN_USER) => JOB_READS,
            Self::Mirror if user == Some(JOB_TOKEN_USER) => JOB_TOKEN,
            Self::Mirror if writes => {
                "Check that the user or token may write the repository and push to the branch."
            }
            Self::Mirror => "Check that the user or token may read the mirror's repository.",
            Self::Index => "Check that the user or token may read the repository of `serve.index`.",
            Self::Advisories => {
                "Check that the user or token may read the repository of `policy.advisories`."
            }
            Self::Private => {
                "Check that the user or token may read and write the repository of `private.index`, and push to its branch."
            }
        }
    }

    /// Returns what to do about a repository that is not found.
    pub(super) fn not_found(self) -> &'static str {
        match self {
            Self::Upstream => {
                "Check `upstream.url`; most hosts hide private repositories this way from a user who may not see them."
            }
            Self::Mirror => {
                "Check `mirror.url`; most hosts hide private repositories this way from a user who may not see them."
            }
            Self::Advisories => {
                "Check `policy.advisories`; most hosts hide private repositories this way from a user who may not see them."
            }
            Self::Index => {
                "Check `serve.index`; most hosts hide private repositories this way from a user who may not see them."
            }
            Self::Private => {
                "Check `private.index`; most hosts hide private repositories this way from a user who may not see them."
            }
        }
    }

    /// Returns what to do about a folder that is no repository. Only a mirror may be empty.
    pub(super) fn no_repository(self) -> &'static str {
        match self {
            Self::Upstream => {
                "Set `upstream.url` to the folder of a repository that holds the index."
            }
            Self::Mirror => {
                "Check `mirror.url`. For a new mirror, `git init --bare FOLDER` makes an empty repository."
            }
            Self::Index => "Set `serve.index` to the folder of a repository that holds the index.",
            Self::Advisories => {
                "Set `policy.advisories` to the folder of a repository that holds advisories."
            }
            Self::Private => {
                "Check `private.index`. For a new one, `git init --bare FOLDER` makes an empty repository."
            }
        }
    }

    /// Returns what to do about a repository whose objects are not named by SHA-1, as those of the index are.
    pub(super) fn other_format(self) -> &'static str {
        match self {
            Self::Upstream => "Set `upstream.url` to a repository with the object format sha1.",
            Self::Mirror => {
                "Set `mirror.url` to a repository with the object format sha1: `git init --bare --object-format=sha1 FOLDER` makes one."
            }
            Self::Index => "Set `serve.index` to a repository with the object format sha1.",
            Self::Advisories => {
                "Set `policy.advisories` to a repository with the object format sha1."
            }
            Self::Private => {
                "Set `private.index` to a repository with the object format sha1: `git init --bare --object-format=sha1 FOLDER` makes one."
            }
        }
    }

    /// Returns what to do about an ssh key that the server does not know.
    pub(super) fn unknown_key(self) -> &'static str {
        match self {
            Self::Upstream => {
                "Add its public half to upstream's repository as a deploy key, which need not write, or check SSH_PRIVATE_KEY and \
                 the user of `upstream.url`."
            }
            Self::Mirror => {
                "Add its public half to the repository as a deploy key with write access, or check SSH_PRIVATE_KEY and the user of \
                 `mirror.url`."
            }
            Self::Index => {
                "Add its public half to the repository of the index as a deploy key, which need not write, or check \
                 SSH_PRIVATE_KEY and the user of `serve.index`."
            }
            Self::Advisories => {
                "Add its public half to the repository of the advisories as a deploy key, which need not write, or check \
                 SSH_PRIVATE_KEY and the user of `policy.advisories`."
            }
            Self::Private => {
                "Add its public half to the repository as a deploy key with write access, or check SSH_PRIVATE_KEY and the user of \
                 `private.index`."
            }
        }
    }

    /// Returns what to do about an ssh key that is not set.
    pub(super) fn without_key(self) -> &'static str {
        match self {
            Self::Upstream | Self::Index | Self::Advisories => {
                "Set SSH_PRIVATE_KEY to the text of a private key whose public half the server knows, for example as a deploy key \
                 (reading is enough), or use an https:// address, which may need no login."
            }
            Self::Mirror | Self::Private => {
                "Set SSH_PRIVATE_KEY to the text of a private key whose public half the server knows, for example as a deploy key \
                 with write access."
            }
        }
    }
}

const JOB_TOKEN: &str = "Turn on the project's setting \"Allow Git push requests to the repository\" (CI/CD, job token permissions), \
     without which a job's token cannot push, or set FERRY_MIRROR_TOKEN to a token that may write the repository.";

const JOB_READS: &str = "Allow this job's project to read the index's (GitLab: Settings, CI/CD, Job token permissions), or set \
     FERRY_MIRROR_TOKEN to a token that may read it.";
