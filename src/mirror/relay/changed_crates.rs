//! Names the crates between the base and upstream's tip by their files, where the commits in between, which name them otherwise, are
//! cut off.

use std::collections::{BTreeSet, HashMap};

use tokio::try_join;

use super::Session;
use crate::error::{Error, Result};
use crate::git::ObjectId;
use crate::git::transport::by_id::find_trees;
use crate::git::transport::{FetchError, UploadPack};
use crate::git::tree::{Tree, TreeEntry};
use crate::index::CrateName;

/// How many directories are read at once: the index has some 200,000 below its root, more than a sync's memory holds.
const AT_ONCE: usize = 64;
/// How many are read at most. A sync of more changes is an ordinary one that nobody reads name by name.
const DIRECTORIES: usize = 2048;

/// A directory that the base and upstream's tip have otherwise.
struct Changed {
    path: String,
    base: Option<ObjectId>,
    theirs: Option<ObjectId>,
}

/// Returns the crates whose files the base and upstream's tip have otherwise, by their names in the index, in lower case; none where
/// there are too many, or where a side does not serve its trees.
///
/// `known` are trees that were fetched already.
///
/// # Errors
/// As [`find_trees`].
pub async fn changed_crates(
    session: &mut Session<'_>,
    base: ObjectId,
    theirs: ObjectId,
    known: &HashMap<ObjectId, Tree>,
) -> Result<BTreeSet<CrateName>> {
    let mut crates = BTreeSet::new();
    let mut left = vec![Changed {
        path: String::new(),
        base: Some(base),
        theirs: Some(theirs),
    }];
    let mut read = 0;
    while !left.is_empty() {
        let some = left.split_off(left.len().saturating_sub(AT_ONCE));
        read += some.len();
        if read > DIRECTORIES {
            return Ok(BTreeSet::new());
        }
        let Session {
            upstream, mirror, ..
        } = &mut *session;
        let (theirs, ours) = try_join!(
            trees(upstream, some.iter().filter_map(|pair| pair.theirs), known),
            trees(mirror, some.iter().filter_map(|pair| pair.base), known)
        )?;
        let (Some(theirs), Some(ours)) = (theirs, ours) else {
            return Ok(BTreeSet::new());
        };
        for directory in some {
            let base = directory.base.and_then(|id| ours.get(&id));
            let theirs = directory.theirs.and_then(|id| theirs.get(&id));
            let empty = Tree::new();
            compare(
                &directory.path,
                [base, theirs].map(|tree| tree.unwrap_or(&empty)),
                &mut left,
                &mut crates,
            );
        }
    }
    Ok(crates)
}

/// Fetches trees from the side that has them; `None` where it does not serve them all.
async fn trees(
    server: &mut UploadPack<'_>,
    ids: impl Iterator<Item = ObjectId>,
    known: &HashMap<ObjectId, Tree>,
) -> Result<Option<HashMap<ObjectId, Tree>>> {
    let ids: BTreeSet<ObjectId> = ids.collect();
    let (have, lack): (Vec<_>, Vec<_>) = ids.iter().partition(|id| known.contains_key(*id));
    let mut found = match find_trees(server, &lack, &[]).await {
        Ok(found) => found,
        Err(FetchError::Missing(_)) => return Ok(None),
        Err(error) => return Err(Error::from(error)),
    };
    let copies = have
        .into_iter()
        .filter_map(|id| Some((id, known.get(&id)?.clone())));
    found.extend(copies);
    Ok((found.len() == ids.len()).then_some(found))
}

/// Takes the names on which both sides of a directory differ: crates' files, and directories to go on with.
fn compare(
    path: &str,
    [base, theirs]: [&Tree; 2],
    left: &mut Vec<Changed>,
    crates: &mut BTreeSet<CrateName>,
) {
    let names: BTreeSet<&Vec<u8>> = base.keys().chain(theirs.keys()).collect();
    for name in names {
        let entries = [base.get(name), theirs.get(name)];
        // No path of an index is anything but ASCII.
        let Ok(text) = std::str::from_utf8(name) else {
            continue;
        };
        if entries[0] == entries[1] {
            continue;
        }
        let path = format!("{path}{text}");
        let directory = |entry: Option<&TreeEntry>| {
            entry
                .filter(|entry| entry.mode.is_tree())
                .map(|entry| entry.id)
        };
        let [base, theirs] = entries.map(directory);
        let is_index_path = CrateName::is_index_path(&path);
        if is_index_path && entries.iter().flatten().any(|entry| !entry.mode.is_tree()) {
            crates.extend(CrateName::new(text));
        } else if base.or(theirs).is_some() && path.matches('/').count() < 2 {
            left.push(Changed {
                path: path + "/",
                base,
                theirs,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::git::tree::Mode;

    #[test]
    fn files_of_crates_are_named_and_directories_entered() {
        let id = |digit: &str| digit.repeat(40).parse::<ObjectId>().unwrap();
        let file = |digit| TreeEntry {
            mode: Mode::FILE,
            id: id(digit),
        };
        let tree = |entries: &[(&str, TreeEntry)]| -> Tree {
            let entries = entries.iter();
            entries
                .map(|(name, entry)| (name.as_bytes().to_vec(), *entry))
                .collect()
        };
        let base = tree(&[
            ("serde", file("1")),
            ("serf", file("1")),
            ("serdes", file("1")),
        ]);
        let theirs = tree(&[
            ("serde", file("2")),
            ("serf", file("1")),
            ("seri", file("3")),
            ("sero", TreeEntry::directory(id("4"))),
            ("README", file("5")),
        ]);
        let root = tree(&[
            ("se", TreeEntry::directory(id("1"))),
            ("config.json", file("1")),
        ]);
        let (mut left, mut crates) = (Vec::new(), BTreeSet::new());
        compare("", [&Tree::new(), &root], &mut left, &mut crates);
        let entered: Vec<_> = left
            .iter()
            .map(|directory| directory.path.as_str())
            .collect();
        assert_eq!((entered, crates.len()), (vec!["se/"], 0));
        let (mut left, mut crates) = (Vec::new(), BTreeSet::new());
        compare("se/rd/", [&base, &theirs], &mut left, &mut crates);
        let names: Vec<&str> = crates.iter().map(CrateName::as_str).collect();
        // Changed, and taken away.
        assert_eq!((names, left.len()), (vec!["serde", "serdes"], 0));
    }
}
