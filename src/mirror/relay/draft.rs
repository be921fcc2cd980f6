//! Drafts the push: the mirror's new commits, what must be asked of upstream for them, and what to tell.
//!
//! Pure: everything that was observed goes in, one value that can be shown comes out.

use super::merge::MergedTrees;
use super::mirror_view::STAND_IN;
use super::{NewObject, Observation};
use crate::config::History;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::objects::Author;
use crate::git::objects::{Commit, NewCommit, write_tree};
use crate::git::transport::Remote;
use crate::git::wire::pack::ObjectKind;
use crate::git::wire::receive_pack::Update;
use crate::git::wire::upload_pack::Fetch;
use crate::index::CrateName;
use crate::mirror::plan::three_way::Conflict;
use crate::mirror::plan::{Outcome, Relation};

/// A push that could be made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What becomes of the mirror's branch.
    pub outcome: Outcome,
    /// The ref to move.
    pub update: Update,
    /// What upstream's pack must hold.
    pub fetch: Fetch,
    /// What is added to it.
    pub objects: Vec<NewObject>,
    /// The new commit's message; empty where no commit is made.
    pub message: String,
}

/// What a draft depends on besides what was observed.
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    /// The mirror's branch.
    pub branch: &'a str,
    /// How much of upstream's history the new commit carries.
    pub history: History,
    /// Who makes the commits.
    pub author: &'a Author,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// Decides on the mode: the one asked for, else the mirror's own.
///
/// # Errors
/// `mode` when a mirror without upstream's history is asked to carry it.
pub fn mode(asked: Option<History>, found: History) -> Result<History> {
    if asked == Some(History::Merge) && found == History::Snapshot {
        return Err(Error::new(
            Kind::Mode,
            "the mirror keeps snapshots without upstream's history, and `merge` was asked for",
        )
        .advise(
            "a mirror can go from `merge` to `snapshot`, not back, since the history in between is not there: leave \
             `mirror.history` away, or make a new mirror with `init --history merge`",
        ));
    }
    Ok(asked.unwrap_or(found))
}

/// Makes the error of an upstream from which no snapshot can be taken.
pub fn snapshot_not_servable(upstream: &Remote) -> Error {
    Error::new(
        Kind::Config,
        format!("{upstream}: the server serves no trees by their id, which `history: snapshot` needs"),
    )
    .advise(
        "use `history: merge`, or let that server speak protocol v2 (sshd: `AcceptEnv GIT_PROTOCOL`), or set \
         `uploadpack.allowAnySHA1InWant` there",
    )
}

/// Drafts the push that carries what was observed.
///
/// # Errors
/// `conflict` where only a person can settle it.
pub fn draft(seen: &Observation, trees: &MergedTrees, terms: &Terms<'_>) -> Result<Draft> {
    refuse_conflicts(&trees.merged.conflicts)?;
    let boundary = seen.boundary(terms.history);
    let fetch = Fetch {
        wants: vec![match terms.history {
            History::Merge => seen.upstream_tip,
            History::Snapshot => seen.upstream_commit.tree,
        }],
        haves: boundary.clone(),
        shallow: boundary,
        thin: true,
        done: true,
        ..Fetch::default()
    };
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
    let message = message(outcome, seen.news.commits(), seen.news.crates.iter());
    let tip = new_commits(seen, terms, root, &message, &mut objects)?;
    Ok(Draft {
        outcome,
        update: update(terms, seen.view.tip, tip),
        fetch,
        objects,
        message,
    })
}

/// A mirror whose tip is upstream's old one, with nothing of its own to keep, just moves on.
fn is_fast_forward(seen: &Observation, trees: &MergedTrees, terms: &Terms<'_>) -> bool {
    seen.view.tip == seen.base.upstream
        && seen.relation == Relation::Advanced
        && terms.history == History::Merge
        && trees
            .merged
            .overlay
            .iter()
            .all(|difference| difference.path == "config.json")
}

/// The mirror has these roots' trees, but not the commits, and upstream leaves out what it is told that we have.
fn held_roots(seen: &Observation, history: History) -> Vec<NewObject> {
    let squash = seen.squash.as_ref().filter(|_| history == History::Merge);
    let roots = squash.into_iter().flat_map(|squash| &squash.held_roots);
    roots.map(|(_, content)| commit(content.clone())).collect()
}

/// Adds the trees that neither the mirror has nor upstream's pack brings: a server may refuse the same object twice.
fn new_trees(
    seen: &Observation,
    trees: &MergedTrees,
    objects: &mut Vec<NewObject>,
) -> Result<ObjectId> {
    let mut made = Vec::new();
    let root = write_tree(&trees.merged.root, &mut made)?;
    let theirs = seen.upstream_root()?;
    for tree in made {
        if !trees.known.contains(&tree.id) {
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

/// Adds the commit on the mirror's tip and upstream's, and in `snapshot` the stand-in for the latter.
fn new_commits(
    seen: &Observation,
    terms: &Terms<'_>,
    root: ObjectId,
    message: &str,
    objects: &mut Vec<NewObject>,
) -> Result<ObjectId> {
    // A commit that is dated before its parents makes the server's connectivity check walk all history.
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

/// Makes the stand-in for an upstream commit: its tree, none of its history.
///
/// Its parent is the base's commit in the mirror, so that upstream's last tree stays reachable there and thin packs can go on
/// building on it.
///
/// # Errors
/// `config` when the author's name cannot stand in a commit.
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

/// Says in a commit's message what was carried: the number of commits, and the crates, counted where they are many.
fn message<'a>(
    outcome: Outcome,
    count: usize,
    crates: impl ExactSizeIterator<Item = &'a CrateName>,
) -> String {
    const NAMED: usize = 20;
    let plural = if count == 1 { "" } else { "s" };
    let across = match outcome {
        Outcome::Squash => " across a squash of upstream's history",
        _ => "",
    };
    let more = crates.len().saturating_sub(NAMED);
    let names: Vec<String> = crates.take(NAMED).map(ToString::to_string).collect();
    let mut text = format!("Carry {count} commit{plural}{across}");
    if !names.is_empty() {
        text = format!("{text}\n\nCrates: {}", names.join(", "));
        if more > 0 {
            text = format!("{text} and {more} more");
        }
    }
    text
}

fn refuse_conflicts(conflicts: &[Conflict]) -> Result<()> {
    const LISTED: usize = 10;
    let Some(first) = conflicts.first() else {
        return Ok(());
    };
    let listed: Vec<String> = conflicts
        .iter()
        .take(LISTED)
        .map(ToString::to_string)
        .collect();
    let more = match conflicts.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let path = &first.path;
    Err(Error::new(
        Kind::Conflict,
        format!("mirror and upstream both changed the same: {}{more}", listed.join("; ")),
    )
    .advise(format!(
        "nothing was pushed. To keep the mirror's side once: `crates-ferry sync --ours {path}`; for good: add the path to \
         `mirror.keep`; to take upstream's: undo the change in the mirror"
    )))
}
