//! Packs and the objects in them.

use crates_ferry::git::objects::{Commit, parse_tree};
use crates_ferry::git::wire::Result;
use crates_ferry::git::wire::pack::{ObjectKind, Rewriter, Scanner, whole_entry};

/// The length of a pack's header, which is passed on as soon as it is there.
const HEADER: usize = 12;
/// The length of the checksum at a pack's end.
const TRAILER: usize = 20;

/// Objects have the id of their content, and do not depend on the pieces in which the pack arrives.
pub(crate) fn scanner(bytes: &[u8]) {
    let whole = scan(bytes, bytes.len().max(1));
    let pieces = scan(bytes, 7);
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (Err(_), Err(_)) => {}
        _ => panic!("whole: {whole:?}, in pieces: {pieces:?}"),
    }
}

/// What is passed on is never a whole pack unless the received one was; then it is one again, with what was appended.
pub(crate) fn rewriter(bytes: &[u8]) {
    let appended = whole_entry(ObjectKind::Blob, b"ours").expect("memory takes all bytes");
    let (passed, end) = rewrite(bytes, vec![appended]);
    let Ok(end) = end else {
        assert!(passed.len() <= HEADER.max(bytes.len().saturating_sub(TRAILER)));
        return;
    };
    let (again, end) = rewrite(&[passed.as_slice(), &end].concat(), Vec::new());
    end.expect("what was made of a whole pack is a whole pack");
    assert!(again.len() >= passed.len());
}

pub(crate) fn commit(bytes: &[u8]) {
    if let Ok(commit) = Commit::parse(bytes) {
        assert!(!commit.subject().contains('\n'));
        let _ = commit.upstream_commit();
    }
}

pub(crate) fn tree(bytes: &[u8]) {
    if let Ok(tree) = parse_tree(bytes) {
        // A space, NUL and an id: no entry is shorter, even without a mode and a name.
        assert!(tree.len() * 22 <= bytes.len());
    }
}

/// Returns each object's kind and length, in the order in which they are found.
fn scan(bytes: &[u8], piece: usize) -> Result<Vec<(ObjectKind, usize)>> {
    let mut scanner = Scanner::new();
    let mut objects = Vec::new();
    for chunk in bytes.chunks(piece) {
        scanner.push(chunk)?;
        while let Some(object) = scanner.next_object()? {
            assert_eq!(object.kind.id_of(&object.content), object.id);
            assert!(scanner.has(&object.id));
            objects.push((object.kind, object.content.len()));
        }
    }
    Ok(objects)
}

fn rewrite(bytes: &[u8], appended: Vec<bytes::Bytes>) -> (Vec<u8>, Result<bytes::Bytes>) {
    let mut rewriter = Rewriter::new(appended);
    let mut passed = Vec::new();
    for chunk in bytes.chunks(11) {
        match rewriter.push(chunk) {
            Ok(piece) => passed.extend_from_slice(&piece),
            Err(error) => return (passed, Err(error)),
        }
    }
    (passed, rewriter.finish())
}
