#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const BASE: &[u8] = b"the quick brown fox";

fn apply_to_base(delta: &[u8]) -> Result<Vec<u8>> {
    apply(BASE, delta, 1_000_000)
}

#[test]
fn copies_and_insertions_make_the_object() {
    // Sizes 19 and 12; copy 4 bytes from 0, insert "slow ", copy 3 from 16.
    let delta = [&[19, 12, 0x90, 4, 5][..], b"slow ", &[0x91, 16, 3]].concat();
    assert_eq!(apply_to_base(&delta).unwrap(), b"the slow fox");
}

#[test]
fn a_copy_without_a_length_is_of_64_kib() {
    let base = vec![7; 0x10001];
    let delta = [0x81, 0x80, 0x04, 0x80, 0x80, 0x04, 0x81, 1];
    assert_eq!(apply(&base, &delta, 1_000_000).unwrap(), vec![7; 0x10000]);
}

#[test]
fn what_is_not_there_is_not_copied() {
    for delta in [
        &[19, 1, 0x91, 19, 1][..], // behind the end
        &[19, 2, 0x91, 18, 2],     // over the end
        &[19, 4, 3, b'a'],         // less to insert than it says
        &[19, 1, 0x91],            // a copy that breaks off
        &[19, 0, 0],               // the reserved instruction
    ] {
        assert!(
            matches!(apply_to_base(delta), Err(Error::Garbage(_))),
            "{delta:?}"
        );
    }
}

#[test]
fn sizes_are_kept_to() {
    for delta in [
        &[18, 1, 0x90, 1][..], // made for another base
        &[19, 2, 0x90, 1],     // makes less
        &[19, 1, 0x90, 2],     // makes more
        &[19],                 // no size
        &[0xff; 12],           // a size without end
    ] {
        assert!(
            matches!(apply_to_base(delta), Err(Error::Garbage(_))),
            "{delta:?}"
        );
    }
    let large = [19, 0xff, 0xff, 0xff, 0x7f];
    assert!(matches!(apply_to_base(&large), Err(Error::Limit { .. })));
}

proptest! {
    #[test]
    fn any_bytes_make_an_object_of_the_size_they_say_or_none(
        instructions in prop::collection::vec(any::<u8>(), 0..60),
        size in 0_u8..128,
    ) {
        let delta = [&[19, size][..], &instructions].concat();
        if let Ok(object) = apply_to_base(&delta) {
            prop_assert_eq!(object.len(), usize::from(size));
        }
    }
}

/// Makes a tree's content of names and the last byte of their ids.
fn tree(entries: &std::collections::BTreeMap<String, u8>) -> Vec<u8> {
    let mut content = Vec::new();
    for (name, id) in entries {
        content.extend_from_slice(format!("40000 {name}\0").as_bytes());
        content.extend_from_slice(&[*id; 20]);
    }
    content
}

#[test]
fn a_tree_that_differs_in_one_entry_takes_two_copies_and_that_entry() {
    let mut entries: std::collections::BTreeMap<String, u8> =
        (0..900).map(|n| (format!("{n:03}"), 7)).collect();
    let base = tree(&entries);
    entries.insert("config.json".to_owned(), 8);
    let target = tree(&entries);
    let delta = between(&base, &target);
    assert_eq!(apply(&base, &delta, 1 << 20).unwrap(), target);
    assert!(delta.len() < 64, "{} bytes", delta.len());
}

#[test]
fn a_line_that_resembles_another_is_made_of_it() {
    let line = |version: u32| {
        format!(
            "{{\"name\":\"serde\",\"vers\":\"1.0.{version}\",\"deps\":[{{\"name\":\"serde_derive\"}}]}}\n"
        )
    };
    let base: String = (0..20).map(line).collect();
    let target = format!("{base}{}", line(20));
    let delta = between(base.as_bytes(), target.as_bytes());
    let made = apply(base.as_bytes(), &delta, 1 << 20).unwrap();
    assert_eq!(made, target.as_bytes());
    assert!(delta.len() < 30, "{} bytes", delta.len());
}

proptest! {
    #[test]
    fn a_delta_makes_the_target_of_the_base(
        pieces in proptest::collection::vec("[ab]{0,40}", 1..20),
        base in proptest::collection::vec(0_usize..20, 0..20),
        target in proptest::collection::vec(0_usize..20, 0..20),
    ) {
        let join = |numbers: &[usize]| -> Vec<u8> {
            numbers.iter().flat_map(|number| pieces[number % pieces.len()].bytes()).collect()
        };
        let (base, target) = (join(&base), join(&target));
        let delta = between(&base, &target);
        prop_assert_eq!(apply(&base, &delta, 1 << 20).unwrap(), target);
    }

    #[test]
    fn a_delta_between_trees_makes_the_target_of_the_base(
        base in proptest::collection::btree_map("[a-c]{1,3}", 0_u8..3, 0..40),
        target in proptest::collection::btree_map("[a-c]{1,200}", 0_u8..3, 0..40),
    ) {
        let mut mixed = base.clone();
        mixed.extend(target);
        for (from, to) in [(&base, &mixed), (&mixed, &base)] {
            let (from, to) = (tree(from), tree(to));
            let delta = between(&from, &to);
            prop_assert_eq!(apply(&from, &delta, 1 << 20).unwrap(), to);
        }
    }
}

#[test]
fn a_copy_that_is_longer_than_one_instruction_can_say_takes_two() {
    let base = vec![7; 0xff_ffff + 2];
    let mut delta = Vec::new();
    push_size(&mut delta, base.len());
    push_size(&mut delta, base.len());
    push_copy(&mut delta, &(0..base.len()));
    assert_eq!(apply(&base, &delta, 1 << 25).unwrap(), base);
}
