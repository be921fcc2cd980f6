//! Single trees and files by id, also from servers that accept no `want` for them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::ObjectId;
use crate::error::{Error, Kind, Result};
use crate::objects::{Commit, parse_tree};
use crate::transport::{FetchError, UploadPack};
use crate::tree::Tree;
use crate::wire::pack::{Object, ObjectKind};
use crate::wire::upload_pack::Fetch;

/// Reads a file at the root of a commit's tree, from a server that serves objects by id.
///
/// # Errors
/// As [`fetch_objects`].
pub async fn file_at_root(
    server: &mut UploadPack<'_>,
    tip: ObjectId,
    name: &str,
) -> Result<Option<Vec<u8>>> {
    let tree = fetch_commit(server, tip).await?.tree;
    let roots = fetch_trees(server, &[tree], &[]).await?;
    let entry = roots.get(&tree).and_then(|root| root.get(name.as_bytes()));
    let Some(id) = entry.map(|entry| entry.id) else {
        return Ok(None);
    };
    let objects = fetch_objects(server, &[id], &[]).await?;
    Ok(objects.get(&id).map(|object| object.content.to_vec()))
}

/// Fetches one commit, and none of its history.
///
/// # Errors
/// As [`UploadPack::scan`]; `server` for a commit that cannot be parsed.
pub async fn fetch_commit(server: &mut UploadPack<'_>, id: ObjectId) -> Result<Commit> {
    let mut root = None;
    let fetch = Fetch::commits(id, 1);
    let scan = server.scan(&fetch, |object| stop_at_root_tree(object, id, &mut root));
    let objects = scan.await?.objects;
    let object = objects
        .get(&id)
        .map_err(|error| server.error("reading its pack", error))?;
    let commit = object
        .filter(|object| object.kind == ObjectKind::Commit)
        .ok_or_else(|| incomplete(&id));
    commit
        .and_then(|object| Commit::parse(&object.content))
        .map_err(|error| error.on(server.remote()))
}

/// Fetches all of these objects by id.
///
/// # Errors
/// As [`UploadPack::scan`]; `config` when the server offers no way to fetch them.
pub async fn fetch_objects(
    server: &mut UploadPack<'_>,
    ids: &[ObjectId],
    fallbacks: &[Fetch],
) -> Result<HashMap<ObjectId, Object>> {
    let found = find_objects(server, ids, fallbacks).await?;
    match ids.iter().find(|id| !found.contains_key(id)) {
        None => Ok(found),
        Some(id) => Err(not_served(server, id)),
    }
}

/// Fetches objects by id, as many as the server serves.
///
/// A server without filters sends what is in a tree as well, the tree itself first: the connection is closed once the tree has
/// arrived. A server that accepts no `want` by id gets each of `fallbacks` in turn: fetches of a branch whose packs contain the
/// objects. One without `have` is skipped, since its pack would be the whole repository.
///
/// # Errors
/// As [`UploadPack::scan`].
async fn find_objects(
    server: &mut UploadPack<'_>,
    ids: &[ObjectId],
    fallbacks: &[Fetch],
) -> Result<HashMap<ObjectId, Object>, FetchError> {
    let mut found = HashMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    if !server.can_want_any() {
        for fallback in fallbacks
            .iter()
            .filter(|fallback| !fallback.haves.is_empty())
        {
            collect(server, fallback, ids, &mut found).await?;
        }
    } else if server.can_filter() {
        collect(server, &by_id(ids), ids, &mut found).await?;
    } else {
        // One fetch each: only the first tree of a pack is sure to come before contents, which closing the connection
        // then saves.
        for id in ids {
            collect(server, &by_id(&[*id]), ids, &mut found).await?;
        }
    }
    Ok(found)
}

/// Fetches trees by id, as [`fetch_objects`] does.
///
/// # Errors
/// As [`fetch_objects`]; `server` for an object that is no tree.
pub async fn fetch_trees(
    server: &mut UploadPack<'_>,
    ids: &[ObjectId],
    fallbacks: &[Fetch],
) -> Result<HashMap<ObjectId, Tree>> {
    let objects = fetch_objects(server, ids, fallbacks).await?;
    parse_trees(server, objects)
}

/// Fetches trees by id, as many as the server serves.
///
/// # Errors
/// As [`fetch_trees`], but not for trees that the server does not serve; `Missing` where it accepts ids and lacks one.
pub async fn find_trees(
    server: &mut UploadPack<'_>,
    ids: &[ObjectId],
    fallbacks: &[Fetch],
) -> Result<HashMap<ObjectId, Tree>, FetchError> {
    let objects = find_objects(server, ids, fallbacks).await?;
    Ok(parse_trees(server, objects)?)
}

/// Adds the trees that `asked` does not serve from the other side, which may have them as well: the base's trees are also
/// upstream's, and after a squash upstream's are also the base's.
///
/// # Errors
/// As [`fetch_trees`]; `config` where the other side does not serve them either.
pub async fn add_from_other(
    trees: &mut HashMap<ObjectId, Tree>,
    ids: &[ObjectId],
    asked: &UploadPack<'_>,
    other: &mut UploadPack<'_>,
    fallbacks: &[Fetch],
) -> Result<()> {
    let missing = ids.iter().filter(|id| !trees.contains_key(id));
    let missing: Vec<ObjectId> = missing.copied().collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    // A server that serves any id and did not send this one lacks it or is damaged: the other side would only hide
    // that.
    if asked.can_want_any() {
        return Err(not_served(asked, first));
    }
    match find_trees(other, &missing, fallbacks).await {
        Ok(found) => trees.extend(found),
        // The other side need not have them; what is still missing is reported below, for the side that should.
        Err(FetchError::Missing(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match missing.iter().find(|id| !trees.contains_key(id)) {
        None => Ok(()),
        Some(id) => Err(not_served(asked, id)),
    }
}

fn parse_trees(
    server: &UploadPack<'_>,
    objects: HashMap<ObjectId, Object>,
) -> Result<HashMap<ObjectId, Tree>> {
    objects
        .into_iter()
        .map(|(id, object)| Ok((id, parse_tree(&object.content)?)))
        .collect::<Result<_>>()
        .map_err(|error| error.on(server.remote()))
}

fn by_id(ids: &[ObjectId]) -> Fetch {
    Fetch {
        wants: ids.to_vec(),
        only_wanted_trees: true,
        done: true,
        ..Fetch::default()
    }
}

async fn collect(
    server: &mut UploadPack<'_>,
    fetch: &Fetch,
    ids: &[ObjectId],
    found: &mut HashMap<ObjectId, Object>,
) -> Result<(), FetchError> {
    let missing: Vec<ObjectId> = ids
        .iter()
        .filter(|id| !found.contains_key(id))
        .copied()
        .collect();
    // Such a server sends far more than was asked for, and only a closed connection stops it.
    let hangs_up = !server.can_filter() || !server.can_want_any();
    if missing.is_empty() || (hangs_up && fetch.wants.iter().all(|id| found.contains_key(id))) {
        return Ok(());
    }
    let mut left = missing.len();
    let last_wanted = |id: &ObjectId| fetch.wants.len() == 1 && fetch.wants[0] == *id;
    server
        .scan(fetch, |object| {
            if missing.contains(&object.id) && found.insert(object.id, object.clone()).is_none() {
                left -= 1;
            }
            if hangs_up && (left == 0 || last_wanted(&object.id) && ids.contains(&object.id)) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .await?;
    Ok(())
}

fn not_served(server: &UploadPack<'_>, id: &ObjectId) -> Error {
    let remote = server.remote();
    if server.can_want_any() {
        return Error::new(
            Kind::Server,
            format!("{remote}: the server did not send the object {id}, which was wanted"),
        )
        .advise(
            "Try again. If it fails again, the repository may be damaged: run `git fsck` there.",
        );
    }
    Error::new(
        Kind::Config,
        format!("{remote}: the server does not serve objects by id, and no fetch of a branch brings {id}"),
    )
    .advise(
        "Enable protocol v2 on that server (sshd: `AcceptEnv GIT_PROTOCOL`), or set `uploadpack.allowAnySHA1InWant` and \
         `uploadpack.allowFilter` in that repository.",
    )
}

/// Stops a fetch after the tip's root tree: a server without filters sends all other trees and blobs after it.
pub fn stop_at_root_tree(
    object: &Object,
    tip: ObjectId,
    root: &mut Option<ObjectId>,
) -> ControlFlow<()> {
    match object.kind {
        ObjectKind::Commit if object.id == tip => match Commit::parse(&object.content) {
            Ok(commit) => {
                *root = Some(commit.tree);
                ControlFlow::Continue(())
            }
            // Who asked for it parses it again and fails: the rest of the pack is for nothing.
            Err(_) => ControlFlow::Break(()),
        },
        ObjectKind::Tree if Some(object.id) == *root => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

/// Makes the error of a server that did not send a wanted commit.
pub fn incomplete(id: &ObjectId) -> Error {
    Error::new(
        Kind::Server,
        format!("the server did not send the commit {id}, which was wanted"),
    )
    .advise("Try again.")
}
