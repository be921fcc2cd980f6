//! Compares the planner with git's own merge on generated trees: the same tree, or a conflict on the same paths.
//!
//! Left out of the trees, since the planner is meant to differ there:
//! - `config.json` at the root, which is always the mirror's;
//! - contents that git could merge line by line: each blob holds a NUL and belongs to one path and version;
//! - renames, which are switched off: an index's file belongs to its path;
//! - submodules, into which git would look.

mod cases;
mod git;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cases::{Files, cases, merged_id, plant};
use crates_ferry::git::ObjectId;
use crates_ferry::git::tree::{MergedEntry, MergedTree, Tree, TreeEntry};
use crates_ferry::index::Keep;
use crates_ferry::mirror::plan::three_way::{ConflictKind, Merge, Merged, Rules, Sides, Step};
use git::{Verdict, verdicts};
use proptest::prelude::*;

/// All trees of a case.
type Trees = HashMap<ObjectId, Tree>;

/// Plans a case and returns the result with the trees.
fn planned(case: &Sides<Files>, rules: Rules) -> (Merged, Trees) {
    let mut trees = Trees::new();
    let roots = Sides {
        ours: Some(plant(&case.ours, &mut trees)),
        base: Some(plant(&case.base, &mut trees)),
        theirs: Some(plant(&case.theirs, &mut trees)),
    };
    let mut merge = Merge::new(roots, rules);
    let mut asked = BTreeSet::new();
    for _round in 0..4 {
        match merge.step() {
            Step::Needs(needs) => {
                for need in needs {
                    assert!(asked.insert(need.id), "a tree is asked for once");
                    merge.supply(need.id, trees[&need.id].clone());
                }
            }
            Step::Done(merged) => return (merged, trees),
        }
    }
    panic!("trees of three levels take at most three rounds of asking");
}

/// Lists a tree's files by path.
fn files_of(
    tree: &MergedTree,
    above: &str,
    trees: &Trees,
    files: &mut BTreeMap<String, TreeEntry>,
) {
    let entries: BTreeMap<Vec<u8>, MergedEntry> = match tree {
        MergedTree::Existing(id) => {
            let tree = trees[id].iter();
            tree.map(|(name, entry)| (name.clone(), (*entry).into()))
                .collect()
        }
        MergedTree::New(entries) => entries.clone(),
    };
    for (name, entry) in entries {
        let path = format!("{above}{}", str::from_utf8(&name).unwrap());
        match entry {
            MergedEntry::File(entry) => {
                files.insert(path, entry);
            }
            MergedEntry::Directory(tree) => files_of(&tree, &format!("{path}/"), trees, files),
        }
    }
}

fn listed(tree: &MergedTree, trees: &Trees) -> BTreeMap<String, TreeEntry> {
    let mut files = BTreeMap::new();
    files_of(tree, "", trees, &mut files);
    files
}

fn planted(files: &Files) -> BTreeMap<String, TreeEntry> {
    let mut trees = Trees::new();
    let root = plant(files, &mut trees);
    listed(&MergedTree::Existing(root), &trees)
}

fn agree(merged: &Merged, verdict: &Verdict) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        merged.conflicts.is_empty(),
        verdict.clean,
        "{:?} {:?}",
        merged.conflicts,
        verdict.conflicted
    );
    if verdict.clean {
        prop_assert_eq!(merged_id(&merged.root), verdict.tree);
        return Ok(());
    }
    // Where a file meets a directory or another type of file, git puts one of them under a made-up name with a `~`.
    let paths: BTreeSet<_> = merged
        .conflicts
        .iter()
        .map(|conflict| conflict.path.clone())
        .collect();
    let moved = verdict.conflicted.iter().any(|path| path.contains('~'));
    let met = merged
        .conflicts
        .iter()
        .any(|conflict| conflict.kind == ConflictKind::FileAndDirectory);
    if !moved && !met {
        prop_assert_eq!(&paths, &verdict.conflicted);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_planner_and_git_make_the_same_tree_or_the_same_conflict(
        cases in prop::collection::vec(cases(), 150)
    ) {
        let verdicts = verdicts(&cases);
        prop_assert_eq!(verdicts.len(), cases.len());
        for (case, verdict) in cases.iter().zip(&verdicts) {
            agree(&planned(case, Rules::default()).0, verdict).map_err(|error| TestCaseError::fail(format!("{error}\n{case:#?}")))?;
        }
        let clean = verdicts.iter().filter(|verdict| verdict.clean).count();
        prop_assert!(clean > 0 && clean < cases.len(), "{} of {} are clean", clean, cases.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn the_overlay_covers_every_differing_path_and_no_other(case in cases()) {
        let (merged, trees) = planned(&case, Rules::default());
        prop_assume!(merged.conflicts.is_empty());
        let (ours, theirs) = (listed(&merged.root, &trees), planted(&case.theirs));
        let paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let differing: Vec<_> = paths.into_iter().filter(|path| ours.get(*path) != theirs.get(*path)).collect();
        let covers = |listed: &str, path: &str| match listed.strip_suffix('/') {
            Some(_) => path.starts_with(listed),
            None => path == listed,
        };
        for path in &differing {
            let times = merged.overlay.iter().filter(|difference| covers(&difference.path, path)).count();
            prop_assert_eq!(times, 1, "{} in {:?}", path, merged.overlay);
        }
        for difference in &merged.overlay {
            prop_assert!(differing.iter().any(|path| covers(&difference.path, path)), "{:?}", difference);
        }
    }

    #[test]
    fn kept_paths_are_ours_and_all_others_as_without_keeping(
        case in cases(),
        globs in prop::collection::vec(prop::sample::select(vec!["a/*", "b", "**/a0", "a/a-/*", "a?", "{a,b}/b/a"]), 1..3)
    ) {
        let keep = Keep::new(&globs).unwrap();
        let (plain, trees) = planned(&case, Rules::default());
        prop_assume!(plain.conflicts.is_empty());
        let (merged, kept_trees) = planned(&case, Rules::new(keep.clone(), &[] as &[&str]));
        // A kept directory may meet a file that upstream put in its place; that is for a person.
        prop_assume!(merged.conflicts.is_empty());
        let mut expected = listed(&plain.root, &trees);
        expected.retain(|path, _| !keep.covers(path.as_bytes()));
        expected.extend(planted(&case.ours).into_iter().filter(|(path, _)| keep.covers(path.as_bytes())));
        prop_assert_eq!(listed(&merged.root, &kept_trees), expected);
    }
}
