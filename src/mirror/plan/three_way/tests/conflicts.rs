use super::*;

#[test]
fn a_path_that_both_sides_changed_is_a_conflict_and_no_overlay() {
    let seen = plain(&[("d/a", "2")], &[("d/a", "1")], &[("d/a", "3")]);
    assert_eq!(seen.conflicts(), [("d/a", ConflictKind::BothChanged)]);
    assert_eq!(seen.overlay(), [""; 0]);
    assert_eq!(
        seen.merged.conflicts[0].to_string(),
        "d/a: changed here, changed upstream"
    );
}

#[test]
fn each_way_of_colliding_has_its_words() {
    let seen = plain(
        &[
            ("added", "2"),
            ("changed", "2"),
            ("link", "link 1"),
            ("mode", "755 1"),
        ],
        &[("changed", "1"), ("deleted", "1"), ("link", "1")],
        &[
            ("added", "3"),
            ("deleted", "2"),
            ("link", "2"),
            ("mode", "1"),
        ],
    );
    let expected = [
        ("added", ConflictKind::BothAdded),
        ("changed", ConflictKind::DeletedUpstream),
        ("deleted", ConflictKind::DeletedHere),
        ("link", ConflictKind::BothChanged),
        ("mode", ConflictKind::BothAdded),
    ];
    assert_eq!(seen.conflicts(), expected);
}

#[test]
fn a_file_here_and_a_directory_upstream_collide() {
    let seen = plain(&[("a", "1")], &[], &[("a/b", "1")]);
    assert_eq!(seen.conflicts(), [("a", ConflictKind::FileAndDirectory)]);
    let seen = plain(&[("a/b", "1")], &[], &[("a", "1")]);
    assert_eq!(seen.conflicts(), [("a", ConflictKind::FileAndDirectory)]);
    assert_eq!(seen.overlay(), [""; 0]);
}

#[test]
fn a_directory_deleted_upstream_in_which_the_mirror_changed_a_crate_is_a_conflict_there() {
    let seen = plain(
        &[("d/a", "2"), ("d/b", "1")],
        &[("d/a", "1"), ("d/b", "1")],
        &[("x", "x")],
    );
    assert_eq!(seen.conflicts(), [("d/a", ConflictKind::DeletedUpstream)]);
}

#[test]
fn a_conflict_is_settled_with_ours_at_or_below_a_named_path() {
    let (ours, base, theirs): (Files<'_>, Files<'_>, Files<'_>) = (
        &[("d/e/a", "2"), ("d/e/b", "1"), ("x", "2")],
        &[("d/e/a", "1"), ("d/e/b", "1"), ("x", "1")],
        &[("d/e/a", "3"), ("d/e/b", "2"), ("x", "3")],
    );
    for path in ["d/e/a", "d/e", "/d/"] {
        let seen = merge(ours, base, theirs, with_ours(&[path]));
        assert_eq!(
            seen.conflicts(),
            [("x", ConflictKind::BothChanged)],
            "{path}"
        );
    }
    let seen = merge(ours, base, theirs, with_ours(&["d", "x"]));
    seen.assert_files(&[("d/e/a", "2"), ("d/e/b", "2"), ("x", "2")]);
    assert_eq!(seen.warnings(), ["differs d/e/a", "differs x"]);
    assert_eq!(
        merge(ours, base, theirs, with_ours(&["d/e/", "y"]))
            .conflicts()
            .len(),
        1
    );
    assert_eq!(
        merge(ours, base, theirs, with_ours(&["d/e/ab"]))
            .conflicts()
            .len(),
        2
    );
}

#[test]
fn ours_settles_a_deletion_and_a_file_against_a_directory() {
    let seen = merge(
        &[("x", "x")],
        &[("a", "1")],
        &[("a", "2")],
        with_ours(&["a"]),
    );
    seen.assert_files(&[("x", "x")]);
    let seen = merge(&[("a", "1")], &[], &[("a/b", "1")], with_ours(&["a"]));
    seen.assert_files(&[("a", "1")]);
    assert_eq!(seen.overlay(), ["a", "a/"]);
    let seen = merge(&[("a/b", "1")], &[], &[("a", "1")], with_ours(&["a"]));
    seen.assert_files(&[("a/b", "1")]);
    assert_eq!(seen.overlay(), ["a", "a/"]);
}

#[test]
fn directories_nested_beyond_reason_are_a_conflict_instead_of_an_endless_conversation() {
    let deep = |name: &str| format!("{}{name}", "d/".repeat(80));
    let (path, mine) = (deep("a"), deep("m"));
    let seen = plain(
        &[(&path, "1"), (&mine, "m")],
        &[(&path, "1")],
        &[(&path, "2")],
    );
    assert_eq!(seen.conflicts()[0].1, ConflictKind::TooDeep);
    assert_eq!(seen.rounds.len(), MAX_DEPTH + 1);
    let seen = plain(
        &[(&path, "1"), (&mine, "m")],
        &[(&path, "1")],
        &[(&path, "1")],
    );
    assert!(seen.merged.overlay_cut);
}
