//! Decides what is sent to the mirror: which pack is fetched from upstream, which objects are appended to it (new trees, the
//! merge commit, a stand-in, roots of squashes), and which ref moves.
//!
//! Pure: the observation goes in, a [`Draft`] comes out, which a dry run shows and `apply` pushes.

use std::io;

use bytes::Bytes;

use super::Observation;
use super::merge::MergedTrees;
use super::mirror_view::STAND_IN;
use crate::config::History;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::objects::Author;
use crate::git::objects::{Commit, NewCommit, NewTree, write_tree};
use crate::git::transport::{Remote, UploadPack};
use crate::git::wire::pack::{ObjectKind, between, delta_entry, whole_entry};
use crate::git::wire::receive_pack::Update;
use crate::git::wire::upload_pack::Fetch;
use crate::index::CrateName;
use crate::index::config_json::CONFIG_JSON;
use crate::mirror::plan::three_way::Conflict;
use crate::mirror::plan::{Outcome, Relation};
use crate::shown::shell_word;

/// An object that is appended to upstream's pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its content.
    pub content: Vec<u8>,
    /// A similar tree, which the mirror has or upstream's pack contains, as base for a delta.
    pub alike: Option<NewTree>,
}

impl NewObject {
    /// Makes an object that is sent whole.
    pub fn whole(kind: ObjectKind, content: Vec<u8>) -> Self {
        Self {
            kind,
            content,
            alike: None,
        }
    }

    /// Returns the id.
    pub fn id(&self) -> ObjectId {
        self.kind.id_of(&self.content)
    }

    /// Returns the object's entry in the pack: in a thin pack a root tree is a delta against upstream's.
    ///
    /// That saves sending tens of kilobytes, here and in the next sync, which gets the delta back from the mirror's host.
    ///
    /// # Errors
    /// None in practice: compressing into memory does not fail.
    pub fn entry(&self, thin: bool) -> io::Result<Bytes> {
        let base = self.alike.as_ref().filter(|_| thin);
        let delta = base.map(|base| (base.id, between(&base.content, &self.content)));
        match delta {
            Some((base, delta)) => delta_entry(base, &delta),
            None => whole_entry(self.kind, &self.content),
        }
    }
}

/// A push to be made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What becomes of the mirror's branch.
    pub outcome: Outcome,
    /// The ref to move.
    pub update: Update,
    /// The fetch of upstream's pack.
    pub fetch: Fetch,
    /// The objects that are appended to it.
    pub objects: Vec<NewObject>,
    /// The new commit's message; empty for a fast-forward.
    pub message: String,
}

/// What a draft depends on besides the observation.
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    /// The mirror's branch.
    pub branch: &'a str,
    /// How much of upstream's history the mirror gets.
    pub history: History,
    /// The author and committer.
    pub author: &'a Author,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// Returns the history mode: the requested one, else the mirror's own.
///
/// # Errors
/// `mode` when `merge` is requested of a mirror without upstream's history.
pub fn mode(asked: Option<History>, found: History) -> Result<History> {
    if asked == Some(History::Merge) && found == History::Snapshot {
        return Err(Error::new(
            Kind::Mode,
            "the mirror has snapshots without upstream's history, and `merge` was requested",
        )
        .advise(
            "Remove `mirror.history`, or create a new mirror with `init --history merge`. A mirror can switch from `merge` to \
             `snapshot`, not back: the history in between is missing.",
        ));
    }
    Ok(asked.unwrap_or(found))
}

/// What a server needs for snapshots.
const SERVE_BY_ID: &str = "enable protocol v2 on that server (sshd: `AcceptEnv GIT_PROTOCOL`), or set \
                           `uploadpack.allowAnySHA1InWant` there";

/// Makes the error of an upstream from which no snapshot can be taken. `no_merge` says why `history: merge` cannot be used instead, if it
/// cannot.
pub fn snapshot_not_servable(upstream: &Remote, no_merge: Option<&str>) -> Error {
    let advice = match no_merge {
        None => format!("Use `history: merge`, or {SERVE_BY_ID}."),
        Some(why) => format!(
            "On upstream's server, {SERVE_BY_ID}. `history: merge` cannot be used instead: {why}."
        ),
    };
    Error::new(
        Kind::Config,
        format!(
            "{upstream}: the server does not serve trees by id, which `history: snapshot` needs"
        ),
    )
    .advise(advice)
}

/// Makes the error of an upstream that lacks a part of the history that a mirror with `history: merge` needs. `serves_by_id` says
/// whether snapshots can be taken of it.
pub fn shallow_upstream(upstream: &Remote, serves_by_id: bool) -> Error {
    let advice = match serves_by_id {
        true => "Run `git fetch --unshallow` in that repository, or use `--history snapshot`, which carries no history.".to_owned(),
        false => format!(
            "Run `git fetch --unshallow` in that repository. Or {SERVE_BY_ID}, and then use `--history snapshot`, which carries no \
             history."
        ),
    };
    Error::new(
        Kind::Config,
        format!("{upstream}: it is a shallow clone, which lacks the older history"),
    )
    .advise(advice)
}

/// Says why a mirror cannot have upstream's history, if it cannot.
pub fn no_merge(upstream: &UploadPack<'_>, mirror: History) -> Option<&'static str> {
    match mirror {
        History::Snapshot => Some("the mirror has snapshots, and lacks the history in between"),
        _ if !upstream.shallow().is_empty() => Some("upstream is a shallow clone"),
        History::Merge => None,
    }
}

/// Drafts the push of what was observed.
///
/// # Errors
/// `conflict` when both sides changed the same path.
pub fn draft(seen: &Observation, trees: &MergedTrees, terms: &Terms<'_>) -> Result<Draft> {
    // First, because the merged tree has the mirror's side at a conflict and must not be pushed.
    refuse_conflicts(&trees.merged.conflicts)?;
    let fetch = seen.pack(terms.history);
    if is_fast_forward(seen, trees, terms) {
        return Ok(Draft {
            outcome: Outcome::FastForward,
            update: update(terms, seen.view.tip, seen.upstream_tip),
            fetch,
            objects: Vec::new(),
            message: String::new(),
        });
    }
    let outcome = match seen.relation {
        Relation::Squashed => Outcome::Squash,
        _ => Outcome::Merge,
    };
    let mut objects = held_roots(seen, terms.history);
    let root = new_trees(seen, trees, &mut objects)?;
    let message = message(
        outcome,
        seen.new_commits.commits(),
        seen.new_commits.crates.iter(),
    );
    let tip = new_commits(seen, terms, root, &message, &mut objects)?;
    Ok(Draft {
        outcome,
        update: update(terms, seen.view.tip, tip),
        fetch,
        objects,
        message,
    })
}

/// Says whether the branch can move to upstream's tip: the mirror's tip is upstream's old one, and it has no paths of its own.
fn is_fast_forward(seen: &Observation, trees: &MergedTrees, terms: &Terms<'_>) -> bool {
    seen.view.tip == seen.base.upstream
        && seen.relation == Relation::Advanced
        && terms.history == History::Merge
        && trees
            .merged
            .overlay
            .iter()
            // The mirror's tip is upstream's own commit, so this file differs only if upstream changed it since.
            .all(|difference| difference.path == CONFIG_JSON)
}

/// Returns the roots of squashes whose trees the mirror has: they are sent as `have`, so upstream's pack lacks the commits.
fn held_roots(seen: &Observation, history: History) -> Vec<NewObject> {
    // A mirror of snapshots gets no commit of upstream's.
    let squash = seen.squash.as_ref().filter(|_| history == History::Merge);
    let roots = squash.into_iter().flat_map(|squash| &squash.held_roots);
    roots.map(|(_, content)| commit(content.clone())).collect()
}

/// Adds the trees that neither the mirror has nor upstream's pack contains: a strict server rejects the same object twice.
fn new_trees(
    seen: &Observation,
    trees: &MergedTrees,
    objects: &mut Vec<NewObject>,
) -> Result<ObjectId> {
    let mut made = Vec::new();
    let root = write_tree(&trees.merged.root, &mut made)?;
    let theirs = seen.root(&seen.upstream_commit.tree)?;
    for tree in made {
        if !trees.known.contains(&tree.id) {
            // Only the root is worth a delta: it has tens of kilobytes, and differs from upstream's in an entry or two.
            let alike = theirs.clone().filter(|_| tree.id == root);
            objects.push(NewObject {
                kind: ObjectKind::Tree,
                content: tree.content,
                alike,
            });
        }
    }
    Ok(root)
}

/// Adds the merge commit of both tips and, in `snapshot`, the stand-in for upstream's.
fn new_commits(
    seen: &Observation,
    terms: &Terms<'_>,
    root: ObjectId,
    message: &str,
    objects: &mut Vec<NewObject>,
) -> Result<ObjectId> {
    // A commit dated before its parents makes the server's connectivity check walk the whole history: 0.5 s were measured.
    let mut seconds = terms
        .now
        .max(seen.view.commit.seconds)
        .max(seen.base.seconds);
    let second_parent = match terms.history {
        History::Merge => {
            seconds = seconds.max(seen.upstream_commit.seconds);
            seen.upstream_tip
        }
        History::Snapshot => {
            let upstream = (seen.upstream_tip, &seen.upstream_commit);
            let content = stand_in(upstream, &[seen.base.held], terms.author, seconds)?;
            let id = ObjectKind::Commit.id_of(&content);
            objects.push(commit(content));
            id
        }
    };
    let content = NewCommit {
        tree: root,
        // `follow_first_parents` relies on the mirror's own line being first, `base_named_by` on upstream's being last.
        parents: &[seen.view.tip, second_parent],
        author: terms.author,
        seconds,
        authored_seconds: seconds,
        message,
        upstream_commit: seen.upstream_tip,
    }
    .content()?;
    let id = ObjectKind::Commit.id_of(&content);
    objects.push(commit(content));
    Ok(id)
}

/// Makes the stand-in for an upstream commit: a commit with its tree and none of its history.
///
/// Its parent is the base's commit in the mirror, so that upstream's last tree stays reachable there after the host's gc, and
/// thin packs can build on it.
///
/// # Errors
/// `config` when the author's name is not allowed in a commit.
pub fn stand_in(
    (id, commit): (ObjectId, &Commit),
    parents: &[ObjectId],
    author: &Author,
    seconds: i64,
) -> Result<Vec<u8>> {
    NewCommit {
        tree: commit.tree,
        parents,
        author,
        seconds,
        // Keeps the date of upstream's commit, by which `is_rewound` recognises an upstream that went back.
        authored_seconds: commit.seconds,
        message: &format!("{STAND_IN}{}", id.short()),
        upstream_commit: id,
    }
    .content()
}

/// Wraps a commit's content.
pub fn commit(content: Vec<u8>) -> NewObject {
    NewObject::whole(ObjectKind::Commit, content)
}

fn update(terms: &Terms<'_>, old: ObjectId, new: ObjectId) -> Update {
    let reference = branch_ref(terms.branch);
    Update {
        reference,
        old,
        new,
    }
}

/// Returns the commit's message: the number of commits, and the first crates by name.
fn message<'a>(
    outcome: Outcome,
    count: usize,
    crates: impl ExactSizeIterator<Item = &'a CrateName>,
) -> String {
    // A commit may carry thousands of crates, and its message is fetched whenever the mirror's last commits are read.
    const NAMED: usize = 20;
    let across = match outcome {
        Outcome::Squash => " across a squash of upstream's history",
        _ => "",
    };
    let more = crates.len().saturating_sub(NAMED);
    let names: Vec<String> = crates.take(NAMED).map(ToString::to_string).collect();
    let mut text = format!("Carry {}{across}", counted(count, "commit"));
    if !names.is_empty() {
        text = format!("{text}\n\nCrates: {}", names.join(", "));
        if more > 0 {
            text = format!("{text} and {more} more");
        }
    }
    text
}

/// Lists conflicts for an error, the first of them by name.
pub fn listed(conflicts: &[Conflict]) -> String {
    // An error is one line of a log.
    const LISTED: usize = 10;
    let listed: Vec<String> = conflicts
        .iter()
        .take(LISTED)
        .map(ToString::to_string)
        .collect();
    let more = match conflicts.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    listed.join("; ") + &more
}

fn refuse_conflicts(conflicts: &[Conflict]) -> Result<()> {
    let Some(first) = conflicts.first() else {
        return Ok(());
    };
    let path = shell_word(&first.path);
    Err(Error::new(
        Kind::Conflict,
        format!("mirror and upstream changed the same paths: {}", listed(conflicts)),
    )
    .advise(format!(
        "Nothing was pushed. To keep the mirror's side once, run `crates-ferry sync --ours {path}`. To keep it always, add \
         the path to `mirror.keep`. To take upstream's, revert the change in the mirror."
    )))
}
