//! What a stock git gets and gives.

use std::path::Path;

use super::{History, Stage, fsck, objects};
use crate::support::repo::git;

#[test]
fn a_stock_git_gets_what_the_repository_holds_clone_after_fetch() {
    for seed in 1..=8 {
        let stage = Stage::new();
        let served = stage.served();
        let mut history = History::new(seed);
        history.commits("master", None, 30);
        history.commits("side", Some("master"), 10);
        history.tag("v1", "side");
        history.import(&served);
        let clone = stage.clone("clone.git", &["--mirror"]);
        for round in 0..4 {
            assert_eq!(
                objects(&clone, &["--all"]),
                objects(&served, &["--all"]),
                "seed {seed}"
            );
            assert_eq!(git(&clone, &["show-ref"]), git(&served, &["show-ref"]));
            fsck(&clone);
            history.commits("master", Some("side"), 12);
            history.commits("side", Some("master"), 5);
            history.tag(&format!("v2.{round}"), "master");
            history.import(&served);
            if round % 2 == 1 {
                // Stored as deltas from then on.
                git(&served, &["repack", "-adfq"]);
            }
            git(&clone, &["fetch", "-q"]);
        }
    }
}

#[test]
fn shallow_and_filtered_clones_hold_what_they_hold_from_git_itself() {
    for seed in 1..=4 {
        let stage = Stage::new();
        let served = stage.served();
        let mut history = History::new(seed);
        history.commits("master", None, 30);
        history.commits("side", Some("master"), 10);
        history.commits("master", Some("side"), 10);
        history.import(&served);
        git(&served, &["config", "uploadpack.allowFilter", "true"]);
        let file = format!("file://{}", served.display());
        for (number, options) in [
            &["--depth=1"][..],
            &["--depth=3", "--no-single-branch"],
            &["--filter=blob:none"],
            &["--filter=tree:0"],
            &["--filter=tree:0", "--depth=4"],
        ]
        .iter()
        .enumerate()
        {
            let ours = stage.clone(&format!("ours{number}.git"), options);
            let theirs = stage.path(&format!("theirs{number}.git"));
            let place = theirs.to_str().unwrap();
            let arguments = [&["clone", "-q", "--bare"][..], options, &[&file, place]].concat();
            git(stage.folder.path(), &arguments);
            let all = |repo: &Path| {
                let ids = [
                    "cat-file",
                    "--batch-all-objects",
                    "--batch-check=%(objectname)",
                ];
                git(repo, &ids)
            };
            assert_eq!(all(&ours), all(&theirs), "seed {seed}: {options:?}");
            let shallow = |repo: &Path| {
                let text = std::fs::read_to_string(repo.join("shallow")).unwrap_or_default();
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                lines.sort_unstable();
                lines
            };
            assert_eq!(shallow(&ours), shallow(&theirs), "seed {seed}: {options:?}");
            if number < 2 {
                git(&ours, &["fetch", "-q", "--depth=5", "origin"]);
                fsck(&ours);
                history.commits("master", Some("side"), 6);
                history.import(&served);
                git(&ours, &["fetch", "-q", "origin", "master:master"]);
                fsck(&ours);
                git(&ours, &["fetch", "-q", "--unshallow", "origin"]);
                fsck(&ours);
                assert_eq!(objects(&ours, &["master"]), objects(&served, &["master"]));
            }
        }
    }
}

#[test]
fn a_stock_git_pushes_history_after_history() {
    for seed in 1..=6 {
        let stage = Stage::new();
        let work = stage.init("work.git");
        let served = stage.served();
        for (key, value) in [
            ("receive.fsckObjects", "true"),
            ("receive.denyNonFastForwards", "true"),
        ] {
            git(&served, &["config", key, value]);
        }
        let mut history = History::new(seed);
        for round in 0..5 {
            history.commits("master", Some("side").filter(|_| round > 0), 9);
            history.commits("side", Some("master"), 4);
            history.tag(&format!("v{round}"), "master");
            history.import(&work);
            let output = stage.try_push(&work, &["-q", "refs/*:refs/*"]);
            assert!(output.status.success(), "{output:?}");
            assert_eq!(git(&work, &["show-ref"]), git(&served, &["show-ref"]));
            assert_eq!(objects(&work, &["--all"]), objects(&served, &["--all"]));
            fsck(&served);
        }
    }
}

#[test]
fn a_change_that_was_undone_hides_nothing_that_came_between() {
    let stage = Stage::new();
    let served = stage.served();
    let contents = ["one", "two", "three", "one", "four", "two", "one"];
    for content in contents {
        let commit = crate::support::upstream::Commit::new(content)
            .file("a/b/c/file", content)
            .file("other", content);
        crate::support::upstream::commit_to(&served, [commit]);
        if content == "four" {
            git(&served, &["gc", "-q"]);
        }
    }
    for since in 1..contents.len() {
        let clone = stage.init(&format!("clone{since}.git"));
        let url = stage.url();
        git(
            &served,
            &["branch", "-f", "old", &format!("master~{since}")],
        );
        git(&clone, &["fetch", "-q", &url, "old:old"]);
        git(&clone, &["fetch", "-q", &url, "master:master"]);
        fsck(&clone);
        assert_eq!(objects(&clone, &["master"]), objects(&served, &["master"]));
    }
}
