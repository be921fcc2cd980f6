#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn parse(bytes: &[u8]) -> EntryHeader {
    // Whatever lacks a byte asks for more.
    let header = EntryHeader::parse(bytes).unwrap().unwrap();
    for at in 0..header.length {
        assert_eq!(
            EntryHeader::parse(&bytes[..at]).unwrap(),
            None,
            "{at} bytes of {bytes:?}"
        );
    }
    header
}

#[test]
fn a_small_object_has_one_byte() {
    let header = parse(&[0x3f, 0x78]);
    assert_eq!(header.kind, EntryKind::Whole(ObjectKind::Blob));
    assert_eq!((header.size, header.length), (15, 1));
}

#[test]
fn a_size_goes_on_in_groups_of_seven_bits() {
    // 0b1_0000001_0101: the low four bits first.
    let header = parse(&[0x95, 0x81, 0x01]);
    assert_eq!(header.kind, EntryKind::Whole(ObjectKind::Commit));
    assert_eq!((header.size, header.length), (5 + (1 << 4) + (1 << 11), 3));
}

#[test]
fn a_delta_names_its_base_by_distance_or_by_id() {
    // The encoding of distances has no two forms of one number: 0x80 0x00 is 128.
    let offset = parse(&[0x62, 0x80, 0x00]);
    assert_eq!(offset.kind, EntryKind::OffsetDelta(128));
    assert_eq!(parse(&[0x62, 0x7f]).kind, EntryKind::OffsetDelta(127));
    assert_eq!(
        parse(&[0x62, 0xff, 0xff, 0x7f]).kind,
        EntryKind::OffsetDelta(2_113_663)
    );
    let by_id = parse(&[&[0x72][..], &[9; 20]].concat());
    assert_eq!(
        by_id.kind,
        EntryKind::RefDelta(ObjectId::from_bytes([9; 20]))
    );
    assert_eq!(by_id.length, 21);
}

#[test]
fn types_that_do_not_exist_and_numbers_without_end_are_garbage() {
    for bytes in [
        &[0x02][..],
        &[0x52],
        &[0xff; 12],
        &[[0x62].as_slice(), &[0xff; 12]].concat(),
    ] {
        assert!(
            matches!(EntryHeader::parse(bytes), Err(Error::Garbage(_))),
            "{bytes:?}"
        );
    }
}

proptest! {
    #[test]
    fn an_entry_that_is_made_is_read_back(content in prop::collection::vec(any::<u8>(), 0..5000)) {
        for kind in [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Blob, ObjectKind::Tag] {
            let entry = whole_entry(kind, &content).unwrap();
            let header = EntryHeader::parse(&entry).unwrap().unwrap();
            prop_assert_eq!(header.kind, EntryKind::Whole(kind));
            prop_assert_eq!(header.size, content.len() as u64);
        }
    }

    #[test]
    fn any_bytes_are_a_header_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(Some(header)) = EntryHeader::parse(&bytes) {
            prop_assert!(header.length <= bytes.len());
        }
    }
}
