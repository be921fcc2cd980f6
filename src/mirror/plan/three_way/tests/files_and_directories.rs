use super::*;

#[test]
fn a_crate_changed_upstream_is_changed_in_the_mirror() {
    let seen = plain(
        &[("se/rd", "1"), ("x", "x")],
        &[("se/rd", "1")],
        &[("se/rd", "2")],
    );
    seen.assert_files(&[("se/rd", "2"), ("x", "x")]);
    assert_eq!(seen.overlay(), ["x"]);
    assert_eq!(seen.warnings(), [""; 0]);
}

#[test]
fn a_crate_deleted_upstream_is_gone_from_the_mirror() {
    let seen = plain(
        &[("se/rd/serde", "1"), ("se/rd/serdx", "1"), ("x", "x")],
        &[("se/rd/serde", "1"), ("se/rd/serdx", "1")],
        &[("se/rd/serde", "1")],
    );
    seen.assert_files(&[("se/rd/serde", "1"), ("x", "x")]);
}

#[test]
fn a_private_crate_deep_in_a_directory_that_upstream_changed_stays() {
    let seen = plain(
        &[("my/pr/private", "p"), ("my/pr/public", "1")],
        &[("my/pr/public", "1")],
        &[("my/pr/public", "2")],
    );
    seen.assert_files(&[("my/pr/private", "p"), ("my/pr/public", "2")]);
    assert_eq!(seen.overlay(), ["my/pr/private"]);
    assert_eq!(seen.rounds, [3, 3, 3]);
}

#[test]
fn a_path_that_the_mirror_changed_and_upstream_did_not_stays() {
    let seen = plain(
        &[("a", "m"), ("b", "1")],
        &[("a", "1"), ("b", "1")],
        &[("a", "1"), ("b", "2")],
    );
    seen.assert_files(&[("a", "m"), ("b", "2")]);
}

#[test]
fn the_same_change_on_both_sides_is_no_conflict() {
    let seen = plain(
        &[("d/a", "2"), ("x", "x")],
        &[("d/a", "1")],
        &[("d/a", "2"), ("y", "y")],
    );
    seen.assert_files(&[("d/a", "2"), ("x", "x"), ("y", "y")]);
}

#[test]
fn an_emptied_directory_disappears_with_those_above_it() {
    let seen = plain(
        &[("d/e/a", "1"), ("x", "x")],
        &[("d/e/a", "1"), ("d/e/b", "1")],
        &[("d/e/b", "1"), ("y", "y")],
    );
    seen.assert_files(&[("x", "x"), ("y", "y")]);
    assert_eq!(seen.overlay(), ["d/e/b", "x"]);
}

#[test]
fn a_merge_that_empties_the_root_leaves_an_empty_tree() {
    let seen = plain(&[("a", "1")], &[("a", "1"), ("b", "1")], &[("b", "1")]);
    assert_eq!(seen.merged.root, MergedTree::New(BTreeMap::new()));
}

#[test]
fn a_mode_changed_on_one_side_and_a_content_changed_on_the_other_join() {
    let seen = plain(&[("a", "755 1")], &[("a", "1")], &[("a", "2")]);
    seen.assert_files(&[("a", "755 2")]);
    let seen = plain(&[("a", "2")], &[("a", "1")], &[("a", "755 1")]);
    seen.assert_files(&[("a", "755 2")]);
}

#[test]
fn a_file_may_become_a_directory_upstream() {
    let seen = plain(&[("a", "1"), ("x", "x")], &[("a", "1")], &[("a/b", "1")]);
    seen.assert_files(&[("a/b", "1"), ("x", "x")]);
    let seen = plain(&[("a/b", "1"), ("x", "x")], &[("a/b", "1")], &[("a", "1")]);
    seen.assert_files(&[("a", "1"), ("x", "x")]);
}

#[test]
fn a_merge_that_gives_a_tree_of_either_side_names_it_instead_of_making_it_anew() {
    let seen = plain(
        &[("a", "1"), ("b", "2")],
        &[("a", "1"), ("b", "1")],
        &[("a", "2"), ("b", "2")],
    );
    assert_eq!(seen.merged.root, MergedTree::Existing(seen.theirs));
    let seen = plain(
        &[("a", "2"), ("b", "2")],
        &[("a", "1"), ("b", "1")],
        &[("a", "2"), ("b", "1")],
    );
    assert_eq!(seen.merged.root, MergedTree::Existing(seen.ours));
}

#[test]
fn a_mirror_without_a_base_takes_everything_that_does_not_collide() {
    let mut world = World::default();
    let theirs = world.root(&[("a", "1")]);
    let roots = Sides {
        ours: None,
        base: None,
        theirs: Some(theirs),
    };
    let mut merge = Merge::new(roots, Rules::default());
    merge.supply(theirs, world.trees[&theirs].clone());
    let Step::Done(merged) = merge.step() else {
        panic!("asks on")
    };
    assert_eq!(merged.root, MergedTree::Existing(theirs));
}
