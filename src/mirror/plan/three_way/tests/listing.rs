use super::*;

#[test]
fn a_reverted_sync_is_listed_with_a_warning() {
    let seen = plain(
        &[("d/a", "old"), ("x", "x")],
        &[("d/a", "new"), ("d/b", "new")],
        &[("d/a", "new"), ("d/b", "new"), ("e", "1")],
    );
    seen.assert_files(&[("d/a", "old"), ("e", "1"), ("x", "x")]);
    assert_eq!(seen.overlay(), ["d/a", "d/b", "x"]);
    assert_eq!(seen.warnings(), ["differs d/a", "differs d/b"]);
    assert_eq!(seen.merged.overlay[1].ours, None);
}

#[test]
fn a_directory_of_the_mirrors_own_is_listed_as_one_path() {
    let seen = plain(
        &[("my/pr/a", "1"), ("my/pr/b", "1")],
        &[],
        &[("se/rd", "1")],
    );
    assert_eq!(seen.overlay(), ["my/"]);
    assert_eq!(seen.warnings(), [""; 0]);
}

#[test]
fn a_directory_that_differs_by_one_private_crate_is_listed_as_that_file() {
    let public = ("my/pr/public", "1");
    let seen = plain(
        &[("my/pr/a", "1"), public],
        &[public],
        &[public, ("z", "1")],
    );
    assert_eq!(seen.overlay(), ["my/pr/a"]);
    assert_eq!(seen.rounds, [3, 2, 2]);
}

#[test]
fn nothing_is_asked_for_where_nothing_differs() {
    let seen = plain(&[("a", "1")], &[("a", "1")], &[("a", "1")]);
    assert_eq!(seen.rounds, [0; 0]);
    assert_eq!(seen.merged.root, MergedTree::Existing(seen.ours));
}

#[test]
fn a_directory_that_only_upstream_changed_is_not_entered() {
    let seen = plain(
        &[("a/b/c", "1"), ("x", "x")],
        &[("a/b/c", "1")],
        &[("a/b/c", "2")],
    );
    assert_eq!(seen.rounds, [3]);
}

#[test]
fn a_tree_that_two_sides_share_is_asked_for_once() {
    let seen = plain(&[("a", "2")], &[("a", "1")], &[("a", "1")]);
    assert_eq!(seen.rounds, [2]);
}

#[test]
fn a_very_long_list_is_cut_at_a_directory_level() {
    let paths: Vec<_> = (0..=1000).map(|n| format!("{n}/a")).collect();
    let files = |content| -> Vec<_> { paths.iter().map(|path| (path.as_str(), content)).collect() };
    let (ours, base) = (files("m"), files("1"));
    let seen = plain(&ours, &base, &base);
    assert!(seen.merged.overlay_cut);
    assert_eq!(seen.merged.overlay.len(), 1001);
    assert!(
        seen.merged
            .overlay
            .iter()
            .all(|difference| difference.path.ends_with('/'))
    );
    assert_eq!(seen.rounds, [2]);
    assert_eq!(seen.warnings(), ["cut"]);
    let kept: Vec<_> = (0..=1000).map(|n| n.to_string()).collect();
    let globs: Vec<_> = kept.iter().map(String::as_str).collect();
    let seen = merge(&ours, &base, &base, keeping(&globs));
    assert!(seen.merged.overlay_cut);
    assert_eq!(seen.warnings(), [""; 0], "nothing may hide in what is kept");
    let seen = plain(&ours[1..], &base[1..], &base[1..]);
    assert!(!seen.merged.overlay_cut);
    assert!(seen.overlay().contains(&"7/a"));
}
