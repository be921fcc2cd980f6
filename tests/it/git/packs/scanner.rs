//! Reading packs that git made.

use crates_ferry::git::wire::Error;
use crates_ferry::git::wire::pack::{Object, ObjectKind, Scanner, delta_entry, whole_entry};

use super::{contents, feed, packed, repository};
use crate::support::costly_pack::{deltas_in_a_chain, pack_of};

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
            let again = scanner.get(&object.id).unwrap();
            assert_eq!(again, Some(object), "read once more");
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

#[test]
fn commits_and_tags_of_more_than_a_megabyte_are_refused() {
    const LIMIT: usize = 1024 * 1024;
    for kind in [ObjectKind::Commit, ObjectKind::Tag, ObjectKind::Blob] {
        for size in [LIMIT, LIMIT + 1] {
            let pack = pack_of(&[whole_entry(kind, &vec![b'x'; size]).unwrap()]);
            let end = scanned(&pack, || 4096).map(drop);
            let refused = matches!(&end, Err(Error::Limit { limit: LIMIT, .. }));
            let expected = size > LIMIT && kind != ObjectKind::Blob;
            assert_eq!(refused, expected, "{kind:?} of {size}: {end:?}");
        }
    }
}

#[test]
fn a_commit_that_a_delta_makes_too_large_is_refused() {
    let base = vec![b'x'; 0xff_ff];
    // Seventeen copies of the base: somewhat more than the limit.
    let size = base.len() * 17;
    let varint = |size: usize| {
        [
            size as u8 | 0x80,
            (size >> 7) as u8 | 0x80,
            (size >> 14) as u8,
        ]
    };
    let copy = [0xb0, 0xff, 0xff];
    let delta = [&varint(base.len())[..], &varint(size), &copy.repeat(17)].concat();
    for (kind, taken) in [(ObjectKind::Commit, false), (ObjectKind::Blob, true)] {
        let entries = [
            whole_entry(kind, &base).unwrap(),
            delta_entry(kind.id_of(&base), &delta).unwrap(),
        ];
        let end = scanned(&pack_of(&entries), || 4096).map(drop);
        assert_eq!(end.is_ok(), taken, "{kind:?}: {end:?}");
    }
}

#[test]
fn a_small_pack_that_is_much_work_is_given_up() {
    let pack = pack_of(&deltas_in_a_chain(8 << 20, 300));
    assert!(pack.len() < 100_000, "{}", pack.len());
    let Err(error) = scanned(&pack, || 4096) else {
        panic!("gigabytes were made of {} bytes", pack.len());
    };
    assert!(
        error.to_string().contains("the work of reading a pack"),
        "{error}"
    );
}

#[test]
fn an_object_at_the_end_of_a_costly_chain_is_given_up() {
    let pack = pack_of(&deltas_in_a_chain(4 << 20, 40));
    let (scanner, objects) = scanned(&pack, || 4096).unwrap();
    let last = objects.last().unwrap().id;
    assert!(scanner.get(&objects[0].id).unwrap().is_some());
    let error = scanner.get(&last).expect_err("a chain of 160 MB");
    assert!(
        error.to_string().contains("the work of reading an object"),
        "{error}"
    );
    assert!(scanner.get(&objects[0].id).unwrap().is_some());
}

#[test]
fn an_object_in_the_smallest_pieces_is_inflated_once() {
    // As much as is inflated at once in some milliseconds, and would take minutes from its start at every byte.
    let noise: Vec<u8> = (0..400_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let pack = pack_of(&[whole_entry(ObjectKind::Blob, &noise).unwrap()]);
    let (scanner, objects) = scanned(&pack, || 1).unwrap();
    assert_eq!(*objects[0].content, noise);
    assert!(scanner.work() <= noise.len().max(pack.len()));
}

#[test]
fn deltas_that_come_before_their_base_are_read_once_it_is_there() {
    let mut entries = deltas_in_a_chain(3000, 60);
    let (_, in_order) = scanned(&pack_of(&entries), || 4096).unwrap();
    entries.reverse();
    let backwards = pack_of(&entries);
    for chunk in [1, 4096] {
        let (scanner, objects) = scanned(&backwards, || chunk).unwrap();
        assert!(scanner.is_complete());
        assert_eq!(objects, in_order);
        for object in in_order.iter().cloned() {
            assert_eq!(scanner.get(&object.id).unwrap(), Some(object));
        }
    }
    // Without its base, the rest is nothing.
    let Err(error) = scanned(&pack_of(&entries[..60]), || 4096) else {
        panic!("deltas without a base were read");
    };
    assert!(
        error.to_string().contains("base is not in the pack"),
        "{error}"
    );
}

#[test]
fn a_delta_by_offset_on_a_delta_that_waits_is_read_after_it() {
    let entries = deltas_in_a_chain(3000, 2);
    let (_, in_order) = scanned(&pack_of(&entries), || 4096).unwrap();
    let [whole, first, second] = &entries[..] else {
        panic!("{} entries", entries.len());
    };
    // The last delta again, but with the distance of its base instead of the base's id.
    let second = &second[..];
    assert_eq!(second[0] >> 4 & 7, 7, "a delta by id");
    let size = 1 + usize::from(second[0] >> 7);
    let distance = first.len();
    assert!((0x80..0x4000).contains(&distance) || distance < 0x80);
    let mut by_offset = vec![second[0] & 0x8f | 0x60];
    by_offset.extend_from_slice(&second[1..size]);
    match distance {
        0..0x80 => by_offset.push(distance as u8),
        _ => by_offset.extend([((distance >> 7) - 1) as u8 | 0x80, (distance & 0x7f) as u8]),
    }
    by_offset.extend_from_slice(&second[size + 20..]);
    let pack = pack_of(&[first.clone(), by_offset.into(), whole.clone()]);
    let (scanner, objects) = scanned(&pack, || 7).unwrap();
    assert!(scanner.is_complete());
    assert_eq!(objects, in_order);
}
