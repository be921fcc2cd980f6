//! Whether one commit of the index comes after another one in the same history: only then is a line that vanished one that was
//! taken back. After a rewind, a change of address or a rewritten branch it may never have been there.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::objects::Commit;
use crate::git::transport::{Remote, UploadPack};
use crate::git::wire::pack::{Object, ObjectKind};
use crate::git::wire::upload_pack::Fetch;
use crate::index::commit_message::previous_head;

/// How many generations of commits are asked for, until they lead to the earlier commit.
const DEPTHS: [u32; 4] = [8, 64, 512, 4096];

/// A commit of the index, and its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The commit.
    pub commit: ObjectId,
    /// Its root tree.
    pub tree: ObjectId,
}

/// What commits say of the way from one to another.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Leads,
    LeadsNot,
    /// More commits are needed.
    Unknown,
}

/// Says whether `after` comes after `before` on a branch: by its parents, or by a squash that collapses `before` itself or has its
/// tree.
///
/// # Errors
/// If the repository cannot be read.
pub async fn leads(remote: &Remote, branch: &str, before: Point, after: ObjectId) -> Result<bool> {
    let reference = branch_ref(branch);
    let (mut server, refs) = UploadPack::open_and_list(remote, &reference).await?;
    let tip = refs
        .branches
        .get(&reference)
        .copied()
        .ok_or_else(|| Error::new(Kind::Config, format!("{remote} has no branch {branch}")))?;
    // Packs begin with the commits, but for those of servers that do not name themselves.
    let has_commits_first = !server.is_plain();
    let mut has_met_it = false;
    for depth in DEPTHS {
        let mut commits = HashMap::new();
        let visit = |object: &Object| {
            let commit = match object.kind {
                ObjectKind::Commit => Commit::parse(&object.content).ok(),
                _ if has_commits_first => return ControlFlow::Break(()),
                _ => None,
            };
            let Some(commit) = commit else {
                return ControlFlow::Continue(());
            };
            // Only such a commit can decide it: the way is not followed after each of thousands.
            let may_decide = commit.parents.is_empty() || commit.parents.contains(&before.commit);
            commits.insert(object.id, commit);
            match may_decide.then(|| way(&commits, before, after)) {
                Some(Way::Leads | Way::LeadsNot) => ControlFlow::Break(()),
                Some(Way::Unknown) | None => ControlFlow::Continue(()),
            }
        };
        server.scan(&Fetch::commits(tip, depth), visit).await?;
        has_met_it |= commits.contains_key(&after);
        match way(&commits, before, after) {
            Way::Leads => return Ok(true),
            Way::LeadsNot => return Ok(false),
            Way::Unknown => {}
        }
    }
    match has_met_it {
        true => Ok(false),
        false => Err(Error::new(
            Kind::Race,
            format!(
                "{remote}: its branch does not lead to {} any more",
                after.short()
            ),
        )),
    }
}

/// Follows the parents of a commit as far as these are known.
fn way(commits: &HashMap<ObjectId, Commit>, before: Point, after: ObjectId) -> Way {
    let (mut left, mut seen) = (vec![after], HashSet::new());
    let mut is_whole = true;
    while let Some(id) = left.pop() {
        if id == before.commit {
            return Way::Leads;
        }
        if !seen.insert(id) {
            continue;
        }
        let Some(commit) = commits.get(&id) else {
            is_whole = false;
            continue;
        };
        let is_squash_of_it =
            commit.tree == before.tree || previous_head(&commit.message) == Some(before.commit);
        if commit.parents.is_empty() && is_squash_of_it {
            return Way::Leads;
        }
        left.extend(&commit.parents);
    }
    match is_whole {
        true => Way::LeadsNot,
        false => Way::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes([byte; 20])
    }

    fn commit(tree: u8, parents: &[u8], message: &str) -> Commit {
        Commit {
            tree: id(tree),
            parents: parents.iter().copied().map(id).collect(),
            seconds: 0,
            authored_seconds: 0,
            message: message.to_owned(),
        }
    }

    fn of(commits: &[(u8, Commit)]) -> Way {
        let commits = commits.iter().cloned();
        let commits = commits.map(|(number, commit)| (id(number), commit));
        let before = Point {
            commit: id(1),
            tree: id(101),
        };
        way(&commits.collect(), before, id(3))
    }

    #[test]
    fn parents_and_squashes_lead_to_a_commit_and_nothing_else_does() {
        let tip = (3, commit(103, &[2], "Update crate `a`"));
        assert_eq!(of(&[]), Way::Unknown);
        assert_eq!(of(std::slice::from_ref(&tip)), Way::Unknown);
        assert_eq!(of(&[tip.clone(), (2, commit(102, &[1], ""))]), Way::Leads);
        // A merge commit of a mirror has two parents.
        let merge = (3, commit(103, &[1, 9], "Merge"));
        assert_eq!(of(&[merge]), Way::Leads);
        assert_eq!(of(&[tip.clone(), (2, commit(102, &[], ""))]), Way::LeadsNot);
        assert_eq!(of(&[tip.clone(), (2, commit(101, &[], ""))]), Way::Leads);
        let named = format!(
            "Collapse index into one commit\n\nPrevious HEAD was {}, now on x",
            id(1)
        );
        assert_eq!(
            of(&[tip.clone(), (2, commit(102, &[], &named))]),
            Way::Leads
        );
        // The same tree in a commit with parents is one that goes back.
        assert_eq!(
            of(&[tip, (2, commit(101, &[8], "")), (8, commit(8, &[], ""))]),
            Way::LeadsNot
        );
    }
}
