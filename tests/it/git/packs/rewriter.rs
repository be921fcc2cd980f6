//! Passing packs on, with objects of our own at their end.

use bytes::Bytes;
use crates_ferry::git::wire::Error;
use crates_ferry::git::wire::pack::{ObjectKind, Rewriter, whole_entry};

use super::{contents, feed, packed, repository};
use crate::support::repo::git;
use crate::support::upstream::bare;

/// Passes a pack through in pieces of these sizes; returns what came out, and how it ended.
pub(crate) fn rewritten(
    pack: &[u8],
    sizes: &[usize],
    appended: Vec<Bytes>,
) -> (Vec<u8>, Result<(), Error>) {
    let mut rewriter = Rewriter::new(appended);
    let mut out = Vec::new();
    let mut left = pack;
    for size in sizes.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let (piece, rest) = left.split_at((*size).clamp(1, left.len()));
        left = rest;
        match rewriter.push(piece) {
            Ok(bytes) => out.extend_from_slice(&bytes),
            Err(error) => return (out, Err(error)),
        }
    }
    match rewriter.finish() {
        Ok(bytes) => {
            out.extend_from_slice(&bytes);
            (out, Ok(()))
        }
        Err(error) => (out, Err(error)),
    }
}

/// Objects of every kind, the sizes around those at which a header grows by a byte.
pub(crate) fn own_objects(tree: &str, commit: &str) -> Vec<(ObjectKind, Vec<u8>)> {
    let sizes = [0, 1, 15, 16, 2047, 2048, 300_000];
    let mut objects: Vec<(ObjectKind, Vec<u8>)> = sizes
        .map(|size: usize| {
            (
                ObjectKind::Blob,
                (0..size).map(|at| (at * at) as u8).collect(),
            )
        })
        .into();
    let who = "A U Thor <a@b.example> 1700000000 +0000";
    let text = format!("tree {tree}\nparent {commit}\nauthor {who}\ncommitter {who}\n\nOurs\n");
    objects.push((ObjectKind::Commit, text.into_bytes()));
    let text = format!("object {commit}\ntype commit\ntag v2\ntagger {who}\n\nOurs\n");
    objects.push((ObjectKind::Tag, text.into_bytes()));
    let blob = ObjectKind::Blob.id_of(b"");
    let entry = [&b"100644 ours\0"[..], blob.as_bytes()].concat();
    objects.push((ObjectKind::Tree, entry));
    objects
}

pub(crate) fn entries(objects: &[(ObjectKind, Vec<u8>)]) -> Vec<Bytes> {
    let entry = |(kind, content): &(ObjectKind, Vec<u8>)| whole_entry(*kind, content).unwrap();
    objects.iter().map(entry).collect()
}

/// Git takes a pack, and has then all of these objects.
fn assert_git_takes(pack: &[u8], objects: &[(ObjectKind, Vec<u8>)], all: usize) {
    let folder = tempfile::tempdir().unwrap();
    let repo = bare(folder.path(), "other.git");
    let output = feed(&repo, &["index-pack", "--strict", "--stdin"], pack);
    assert!(output.status.success(), "{output:?}");
    let held = contents(&repo);
    assert_eq!(held.len(), all);
    for (kind, content) in objects {
        let (name, found) = &held[&kind.id_of(content).to_string()];
        assert_eq!((&name[..], found), (kind.name(), content));
    }
}

#[test]
fn appended_objects_are_taken_in_by_git_with_the_pack() {
    let folder = repository();
    let repo = folder.path().join("some.git");
    let pack = packed(&repo, &["--delta-base-offset"]);
    let mut objects = own_objects(
        &git(&repo, &["rev-parse", "master^{tree}"]),
        &git(&repo, &["rev-parse", "master"]),
    );
    // The repository has an empty file already, and no object may come twice.
    objects.remove(0);
    let all = contents(&repo).len() + objects.len();
    for sizes in [
        &[1][..],
        &[19, 21, 20],
        &[13, 1, 4000],
        &[65_515],
        &[usize::MAX],
    ] {
        let (out, end) = rewritten(&pack, sizes, entries(&objects));
        end.unwrap();
        assert_git_takes(&out, &objects, all);
    }
    let (same, end) = rewritten(&pack, &[777], Vec::new());
    end.unwrap();
    assert_eq!(same, pack, "with nothing to append it is the same pack");
}

#[test]
fn objects_alone_make_a_pack_on_top_of_an_empty_one() {
    let empty = {
        let folder = tempfile::tempdir().unwrap();
        packed(&bare(folder.path(), "empty.git"), &[])
    };
    assert_eq!(empty.len(), 32);
    let blobs: Vec<_> = own_objects("", "")
        .into_iter()
        .filter(|(kind, _)| *kind == ObjectKind::Blob)
        .collect();
    let (out, end) = rewritten(&empty, &[5], entries(&blobs));
    end.unwrap();
    assert_git_takes(&out, &blobs, blobs.len());
}
