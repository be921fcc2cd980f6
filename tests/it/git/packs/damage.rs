//! Packs that are cut, wrong or no packs at all.

use crates_ferry::git::wire::Error;
use crates_ferry::git::wire::pack::{Object, ObjectKind};
use proptest::prelude::*;

use super::rewriter::{entries, own_objects, rewritten};
use super::scanner::scanned;
use super::small;

#[test]
fn a_pack_that_is_cut_at_any_byte_is_never_completed() {
    let pack = small();
    let appended = entries(&[(ObjectKind::Blob, b"ours".to_vec())]);
    let (whole, end) = rewritten(pack, &[100], appended.clone());
    end.unwrap();
    for at in 0..pack.len() {
        let (out, end) = rewritten(&pack[..at], &[7], appended.clone());
        assert!(
            matches!(end, Err(Error::Cut | Error::Checksum)),
            "{at}: {end:?}"
        );
        assert!(
            whole.starts_with(&out) && out.len() <= pack.len() - 20,
            "{at}"
        );
    }
}

#[test]
fn a_pack_with_a_wrong_byte_anywhere_is_never_completed() {
    let pack = small();
    for at in 0..pack.len() {
        let mut wrong = pack.to_vec();
        wrong[at] ^= 0x10;
        let (out, end) = rewritten(&wrong, &[64], Vec::new());
        match at {
            0..8 => assert!(matches!(end, Err(Error::Garbage(_))), "{at}: {end:?}"),
            _ => assert!(matches!(end, Err(Error::Checksum)), "{at}: {end:?}"),
        }
        assert!(out.len() <= pack.len() - 20);
    }
    let longer = [pack, b"x"].concat();
    assert!(matches!(
        rewritten(&longer, &[64], Vec::new()).1,
        Err(Error::Checksum)
    ));
}

#[test]
fn more_entries_than_a_pack_can_have_are_refused() {
    let full = [&b"PACK\0\0\0\x02\xff\xff\xff\xff"[..], &[0; 40]].concat();
    let appended = entries(&[(ObjectKind::Blob, b"ours".to_vec())]);
    assert!(matches!(
        rewritten(&full, &[64], appended).1,
        Err(Error::Garbage(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn pieces_of_any_size_give_the_same(sizes in prop::collection::vec(1_usize..60, 1..20)) {
        let pack = small();
        let objects = own_objects("", "");
        let (out, end) = rewritten(pack, &sizes, entries(&objects));
        prop_assert!(end.is_ok());
        prop_assert_eq!(out, rewritten(pack, &[usize::MAX], entries(&objects)).0);
        let mut next = sizes.iter().cycle();
        let (scanner, _) = scanned(pack, || *next.next().unwrap()).unwrap();
        prop_assert!(scanner.is_complete());
    }

    #[test]
    fn damage_is_an_error_or_another_object_and_never_a_panic(
        at in 0_usize..300,
        bytes in prop::collection::vec(any::<u8>(), 1..4),
    ) {
        let mut pack = small().to_vec();
        let at = at.min(pack.len() - bytes.len());
        pack[at..at + bytes.len()].copy_from_slice(&bytes);
        if let Ok((_, objects)) = scanned(&pack, || 50) {
            for Object { kind, id, content } in objects {
                prop_assert_eq!(kind.id_of(&content), id);
            }
        }
    }

    #[test]
    fn any_bytes_behind_a_header_are_read_to_an_end(
        count in 0_u8..4,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let pack = [&b"PACK\0\0\0\x02\0\0\0"[..], &[count], &bytes].concat();
        if let Ok((scanner, objects)) = scanned(&pack, || 9) {
            prop_assert!(objects.len() <= usize::from(count) && scanner.len() <= objects.len());
        }
        prop_assert!(rewritten(&pack, &[9], Vec::new()).1.is_err());
    }
}
