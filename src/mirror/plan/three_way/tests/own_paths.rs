use super::*;

#[test]
fn config_json_is_always_ours_and_a_change_upstream_is_a_warning() {
    let (ours, base) = (&[("config.json", "m")], &[("config.json", "1")]);
    let seen = plain(ours, base, &[("config.json", "2"), ("a", "1")]);
    seen.assert_files(&[("a", "1"), ("config.json", "m")]);
    assert_eq!(seen.overlay(), ["config.json"]);
    assert_eq!(seen.warnings(), ["config"]);
    assert_eq!(plain(ours, base, base).warnings(), [""; 0]);
}

#[test]
fn config_json_stays_ours_where_the_mirror_never_changed_it() {
    let same = &[("config.json", "1")];
    let seen = plain(same, same, &[("config.json", "2")]);
    seen.assert_files(same);
    assert_eq!(seen.merged.root, MergedTree::Existing(seen.ours));
}

#[test]
fn a_mirror_without_config_json_takes_upstreams() {
    let seen = plain(
        &[("x", "x")],
        &[("config.json", "1")],
        &[("config.json", "1")],
    );
    seen.assert_files(&[("config.json", "1"), ("x", "x")]);
}

#[test]
fn config_json_below_the_root_is_a_file_like_any_other() {
    let seen = plain(
        &[("co/config.json", "2")],
        &[("co/config.json", "1")],
        &[("co/config.json", "3")],
    );
    assert_eq!(
        seen.conflicts(),
        [("co/config.json", ConflictKind::BothChanged)]
    );
}

#[test]
fn a_strangers_crate_on_a_kept_path_is_left_out_with_a_warning() {
    let seen = merge(
        &[("my/pr/a", "1"), ("my/x", "1")],
        &[("my/x", "1")],
        &[("my/pr/a", "s"), ("my/pr/b", "s"), ("my/x", "2")],
        keeping(&["my/pr/*"]),
    );
    seen.assert_files(&[("my/pr/a", "1"), ("my/x", "2")]);
    assert_eq!(seen.overlay(), ["my/pr/a", "my/pr/b"]);
    assert_eq!(seen.warnings(), ["kept my/pr/a", "kept my/pr/b"]);
}

#[test]
fn a_strangers_crate_in_a_new_directory_is_left_out_where_only_upstream_changed() {
    let seen = merge(
        &[("x", "1")],
        &[("x", "1")],
        &[("my/pr/b", "s"), ("x", "1")],
        keeping(&["my/pr/*"]),
    );
    seen.assert_files(&[("x", "1")]);
    assert_eq!(seen.merged.root, MergedTree::Existing(seen.ours));
    assert_eq!(seen.warnings(), ["kept my/pr/b"]);
    assert_eq!(seen.rounds, [2, 1, 1]);
}

#[test]
fn a_strangers_crate_that_was_left_out_before_is_no_news() {
    let seen = merge(
        &[("x", "1")],
        &[("my/pr/b", "s"), ("my/q", "s"), ("x", "1")],
        &[("my/pr/b", "s"), ("my/q", "s"), ("x", "2")],
        keeping(&["my/pr/*"]),
    );
    seen.assert_files(&[("x", "2")]);
    assert_eq!(seen.overlay(), ["my/pr/b", "my/q"]);
    assert_eq!(seen.warnings(), ["differs my/q"]);
}

#[test]
fn a_kept_crate_stays_in_a_directory_that_only_upstream_changed() {
    let before = &[("my/pr/a", "1"), ("my/pr/z", "1")];
    let seen = merge(before, before, &[("my/pr/z", "2")], keeping(&["my/pr/a"]));
    seen.assert_files(&[("my/pr/a", "1"), ("my/pr/z", "2")]);
    assert_eq!(seen.warnings(), ["kept my/pr/a"]);
    let seen = merge(before, before, &[("x", "1")], keeping(&["my/pr/a"]));
    seen.assert_files(&[("my/pr/a", "1"), ("x", "1")]);
}

#[test]
fn a_kept_directory_keeps_everything_below_it_and_upstreams_next_silence_is_no_warning() {
    let (ours, theirs) = (&[("my/a", "m")], &[("my/a", "1"), ("my/b", "1")]);
    let seen = merge(ours, &[], theirs, keeping(&["my"]));
    seen.assert_files(ours);
    assert_eq!(seen.overlay(), ["my/a", "my/b"]);
    assert_eq!(seen.warnings(), ["kept my/"]);
    assert_eq!(
        merge(ours, theirs, theirs, keeping(&["my"])).warnings(),
        [""; 0]
    );
}

#[test]
fn a_kept_path_that_upstream_made_the_same_is_no_warning() {
    let seen = merge(
        &[("my", "1"), ("x", "x")],
        &[],
        &[("my", "1")],
        keeping(&["my"]),
    );
    assert_eq!(seen.warnings(), [""; 0]);
}

#[test]
fn upstreams_lines_of_a_reserved_crate_are_left_out_and_ones_own_stay() {
    let before = &[("ac/me/acme", "1"), ("se/rd/serde", "1")];
    let seen = merge(
        &[
            ("ac/me/acme", "1"),
            ("ac/me/acme_core", "own"),
            ("se/rd/serde", "1"),
        ],
        before,
        &[
            ("ac/me/acme", "2"),
            ("ac/me/acme-core", "stranger"),
            ("ac/me/acme_core", "stranger"),
            ("se/rd/serde", "1"),
        ],
        reserving(&["acme-*"]),
    );
    seen.assert_files(&[
        ("ac/me/acme", "2"),
        ("ac/me/acme_core", "own"),
        ("se/rd/serde", "1"),
    ]);
    assert_eq!(seen.overlay(), ["ac/me/acme-core", "ac/me/acme_core"]);
    assert_eq!(
        seen.warnings(),
        ["reserved ac/me/acme-core", "reserved ac/me/acme_core"]
    );
}

#[test]
fn a_reserved_crate_in_a_directory_that_only_upstream_has_is_left_out() {
    let before = &[("se/rd/serde", "1")];
    let theirs = &[("ac/me/acme-core", "stranger"), ("se/rd/serde", "1")];
    let seen = merge(before, before, theirs, reserving(&["acme-*"]));
    seen.assert_files(before);
    assert_eq!(seen.merged.root, MergedTree::Existing(seen.ours));
    assert_eq!(seen.warnings(), ["reserved ac/me/acme-core"]);
}

#[test]
fn what_an_earlier_sync_took_of_a_reserved_crate_is_taken_out() {
    let before = &[
        ("ac/me/acme-core", "stranger"),
        ("ac/me/acme-gone", "stranger"),
        ("se/rd/serde", "1"),
    ];
    let theirs = &[("ac/me/acme-core", "stranger"), ("se/rd/serde", "2")];
    let seen = merge(before, before, theirs, reserving(&["ACME_*"]));
    seen.assert_files(&[("se/rd/serde", "2")]);
    assert_eq!(seen.warnings(), ["reserved ac/me/acme-core"]);
    // The next sync finds it left out, and says so again.
    let ours = &[("se/rd/serde", "2")];
    let later = &[("ac/me/acme-core", "stranger"), ("se/rd/serde", "3")];
    let seen = merge(ours, theirs, later, reserving(&["acme-*"]));
    seen.assert_files(&[("se/rd/serde", "3")]);
    assert_eq!(seen.warnings(), ["reserved ac/me/acme-core"]);
}

#[test]
fn a_reserved_name_has_no_other_directory_read() {
    let before = &[("ac/me/acme-own", "1"), ("se/rd/serde", "1"), ("x", "1")];
    let theirs = &[("ac/me/acme-own", "1"), ("se/rd/serde", "1"), ("x", "2")];
    let seen = merge(before, before, theirs, reserving(&["acme-*"]));
    // The roots, then `ac`, then `ac/me`.
    assert_eq!(seen.rounds, [2, 1, 1]);
    assert_eq!(seen.warnings(), ["reserved ac/me/acme-own"]);
}
