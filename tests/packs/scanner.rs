//! Reading packs that git made.

use crates_ferry::wire::Error;
use crates_ferry::wire::pack::{Object, Scanner};

use crate::{contents, feed, packed, repository};

pub(crate) fn scanned(
    pack: &[u8],
    mut chunk: impl FnMut() -> usize,
) -> Result<(Scanner, Vec<Object>), Error> {
    let mut scanner = Scanner::new();
    let mut objects = Vec::new();
    let mut left = pack;
    while !left.is_empty() {
        let (piece, rest) = left.split_at(chunk().clamp(1, left.len()));
        left = rest;
        scanner.push(piece)?;
        while let Some(object) = scanner.next_object()? {
            objects.push(object);
        }
    }
    Ok((scanner, objects))
}

#[test]
fn every_object_that_git_packs_is_read_as_git_reads_it() {
    let folder = repository();
    let repo = folder.path().join("some.git");
    let expected = contents(&repo);
    let forms = [
        &["--delta-base-offset", "--depth=50", "--window=20"][..],
        &["--depth=50", "--window=20"],
        &["--delta-base-offset", "--depth=4000", "--window=100"],
        &["--window=0"],
    ];
    for form in forms {
        let (scanner, objects) = scanned(&packed(&repo, form), || 4096).unwrap();
        assert!(scanner.is_complete() && scanner.len() == expected.len());
        for object in objects {
            let (kind, content) = &expected[&object.id.to_string()];
            assert_eq!((object.kind.name(), &*object.content), (&kind[..], content));
            assert_eq!(scanner.get(&object.id).unwrap(), object, "read once more");
        }
    }
}

#[test]
fn a_delta_against_what_is_not_in_the_pack_is_refused() {
    let folder = repository();
    let repo = folder.path().join("some.git");
    let arguments = [
        "pack-objects",
        "--revs",
        "--thin",
        "--stdout",
        "-q",
        "--delta-base-offset",
    ];
    let thin = feed(&repo, &arguments, b"master~1\n^master~3\n").stdout;
    let Err(error) = scanned(&thin, || 4096) else {
        panic!("a thin pack was read");
    };
    assert!(
        matches!(&error, Error::Garbage(why) if why.contains("base")),
        "{error:?}"
    );
}

#[test]
fn an_object_that_claims_a_gigantic_size_is_refused_before_it_is_inflated() {
    let header = [0xbf, 0xff, 0xff, 0xff, 0x7f];
    let pack = [&b"PACK\0\0\0\x02\0\0\0\x01"[..], &header, &[0x78, 0x9c]].concat();
    assert!(matches!(scanned(&pack, || 99), Err(Error::Limit { .. })));
}
