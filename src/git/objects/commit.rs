//! Commits: the fields that planning reads, and new ones.

use gix_object::bstr::ByteSlice;
use gix_object::{CommitRef, WriteTo};

use crate::ObjectId;
use crate::error::{Error, Kind, Result};

/// The trailer that marks a commit of the relay and names the upstream commit that it merged.
const UPSTREAM_COMMIT: &str = "Upstream-Commit";

/// The fields of a commit that planning reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its root tree.
    pub tree: ObjectId,
    /// Its parents, the first first.
    pub parents: Vec<ObjectId>,
    /// The commit date, in seconds since 1970.
    pub seconds: i64,
    /// The author date, in seconds since 1970.
    pub authored_seconds: i64,
    /// Its whole message.
    pub message: String,
}

impl Commit {
    /// Parses a commit object.
    ///
    /// # Errors
    /// `server` when it is not a commit.
    pub fn parse(content: &[u8]) -> Result<Self> {
        let commit = CommitRef::from_bytes(content, gix_hash::Kind::Sha1).map_err(|error| {
            Error::new(Kind::Server, "a commit cannot be parsed")
                .because(error.to_string())
                .advise("Run `git fsck` in that repository.")
        })?;
        // A malformed date counts as 0, as in git. Odd tools have made some, and dates only order commits here.
        let seconds = commit
            .committer()
            .map_or(0, |committer| committer.seconds());
        let authored_seconds = commit.author().map_or(0, |author| author.seconds());
        Ok(Self {
            authored_seconds,
            tree: ours(commit.tree()),
            parents: commit.parents().map(ours).collect(),
            seconds,
            message: commit.message.to_str_lossy().into_owned(),
        })
    }

    /// Returns the first line of the message.
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// Returns the upstream commit that the trailer `Upstream-Commit` names, if there is one.
    pub fn upstream_commit(&self) -> Option<ObjectId> {
        let message = gix_object::commit::MessageRef::from_bytes(self.message.as_bytes());
        let trailers = message.body()?;
        let named = trailers
            .trailers()
            .find(|trailer| trailer.token == UPSTREAM_COMMIT)?;
        named.value.to_str().ok()?.parse().ok()
    }
}

/// A name and a mail address, as git writes them: `Name <address>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

/// A commit to be created.
#[derive(Debug, Clone)]
pub struct NewCommit<'a> {
    /// Its root tree.
    pub tree: ObjectId,
    /// Its parents, the first first.
    pub parents: &'a [ObjectId],
    /// The author and committer.
    pub author: &'a Author,
    /// The commit date, in seconds since 1970.
    pub seconds: i64,
    /// The author date, likewise: for a stand-in, the commit date of upstream's commit.
    pub authored_seconds: i64,
    /// The message, without the trailer.
    pub message: &'a str,
    /// The upstream commit that it merges or stands in for.
    pub upstream_commit: ObjectId,
}

impl NewCommit<'_> {
    /// Returns the commit object, with the trailer at the end of its message.
    ///
    /// # Errors
    /// `config` when the author's name or address is not allowed in a commit.
    pub fn content(&self) -> Result<Vec<u8>> {
        let commit = gix_object::Commit {
            tree: theirs(self.tree),
            parents: self.parents.iter().copied().map(theirs).collect(),
            author: signature(self.author, self.authored_seconds),
            committer: signature(self.author, self.seconds),
            encoding: None,
            // A paragraph of its own: git reads trailers from the last paragraph only.
            message: format!(
                "{}\n\n{UPSTREAM_COMMIT}: {}\n",
                self.message.trim_end(),
                self.upstream_commit
            )
            .into(),
            extra_headers: Vec::new(),
        };
        written(&commit).map_err(|error| unusable(self.author, error))
    }
}

/// A commit to be created that carries nothing of upstream's.
#[derive(Debug, Clone)]
pub struct OwnCommit<'a> {
    /// Its root tree.
    pub tree: ObjectId,
    /// Its parent; `None` for the first commit of a branch.
    pub parent: Option<ObjectId>,
    /// Whose change it is.
    pub author: &'a Author,
    /// Who commits it.
    pub committer: &'a Author,
    /// The date of both, in seconds since 1970.
    pub seconds: i64,
    /// The message.
    pub message: &'a str,
}

impl OwnCommit<'_> {
    /// Returns the commit object.
    ///
    /// # Errors
    /// `config` when a name or address is not allowed in a commit.
    pub fn content(&self) -> Result<Vec<u8>> {
        let commit = gix_object::Commit {
            tree: theirs(self.tree),
            parents: self.parent.map(theirs).into_iter().collect(),
            author: signature(self.author, self.seconds),
            committer: signature(self.committer, self.seconds),
            encoding: None,
            message: format!("{}\n", self.message.trim_end()).into(),
            extra_headers: Vec::new(),
        };
        written(&commit).map_err(|error| unusable(self.author, error))
    }
}

fn written(commit: &gix_object::Commit) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    commit.write_to(&mut content)?;
    Ok(content)
}

fn unusable(author: &Author, error: std::io::Error) -> Error {
    let Author { name, email } = author;
    let message = format!("{name} <{email}> cannot be a commit's author");
    Error::new(Kind::Config, message)
        .because(error)
        .advise("Set `mirror.author` to a name and an address: \"Name <address>\".")
}

fn signature(author: &Author, seconds: i64) -> gix_actor::Signature {
    gix_actor::Signature {
        name: author.name.clone().into(),
        email: author.email.clone().into(),
        // UTC, wherever this runs: the zone is part of the id, and the same plan must give the same commit.
        time: gix_object::date::Time { seconds, offset: 0 },
    }
}

/// Turns an id of gix into ours.
pub(super) fn ours(id: gix_hash::ObjectId) -> ObjectId {
    // Cannot panic: every id here was parsed as SHA-1.
    let mut bytes = [0; 20];
    bytes.copy_from_slice(id.as_slice());
    ObjectId::from_bytes(bytes)
}

/// Turns an id into one of gix.
pub(super) fn theirs(id: ObjectId) -> gix_hash::ObjectId {
    gix_hash::ObjectId::from(*id.as_bytes())
}
