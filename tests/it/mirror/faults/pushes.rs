//! What can go wrong while the mirror takes a push: races, refusals, reports that are lost or say nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::contains;
use crate::support::frames::packet;
use crate::support::proxy::{Action, Passing, Way};
use crate::support::repo::git;
use crate::support::scene::{MASTER, Scene, Transport, told};
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::Outcome;

/// Says whether a client opens the mirror for a push.
fn opens_push(passing: &Passing<'_>) -> bool {
    passing.way == Way::Up && contains(passing.bytes, "git-receive-pack ")
}

/// Says whether this is a push's request, `OLD NEW REF NUL capabilities`.
fn is_request(passing: &Passing<'_>) -> bool {
    passing.way == Way::Up && contains(passing.bytes, &format!(" {MASTER}\0"))
}

fn is_report(passing: &Passing<'_>) -> bool {
    passing.way == Way::Down && contains(passing.bytes, "unpack ")
}

/// Adds a person's commit to the mirror.
fn commit_in(mirror: &Path) -> String {
    let message = format!("by hand, after {}", git(mirror, &["rev-parse", MASTER]));
    let parent = ["commit-tree", "-p", MASTER, "-m", &message, "master^{tree}"];
    let commit = git(mirror, &parent);
    git(mirror, &["update-ref", MASTER, &commit]);
    commit
}

/// Moves the mirror when `at` says so, as often as `times`; returns the last commit.
fn move_mirror(
    scene: &Scene,
    times: usize,
    at: fn(&Passing<'_>) -> bool,
) -> Arc<Mutex<Vec<String>>> {
    let mirror: PathBuf = scene.mirror_path();
    let made = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&made);
    scene.mirror.watch(move |passing| {
        let mut kept = kept.lock().unwrap();
        if at(passing) && kept.len() < times {
            kept.push(commit_in(&mirror));
        }
        Action::Pass
    });
    made
}

#[test]
fn a_mirror_that_moves_before_the_push_is_observed_again() {
    for at in [opens_push, is_request] {
        let scene = Scene::new("merge");
        let made = move_mirror(&scene, 1, at);
        let report = scene.sync().unwrap();
        let made = made.lock().unwrap().concat();
        assert_eq!(report.outcome, Outcome::Merge);
        assert_eq!(report.before.unwrap().to_string(), made);
        assert_eq!(git(&scene.mirror_path(), &["rev-parse", "master^1"]), made);
        scene.assert_carried();
    }
}

#[test]
fn a_mirror_that_always_moves_is_a_race() {
    for at in [opens_push, is_request] {
        let scene = Scene::new("merge");
        let made = move_mirror(&scene, usize::MAX, at);
        let error = scene.sync().expect_err("the sync wins");
        let made = made.lock().unwrap();
        assert_eq!(error.kind(), Kind::Race, "{}", told(&error));
        assert_eq!(
            (error.kind().exit_code(), made.len()),
            (1, 3),
            "{}",
            told(&error)
        );
        assert_eq!(Some(&scene.mirror_tip()), made.last());
    }
}

/// Loses the report of the first push, after it was done, and all that is asked of the mirror in the next so many connections.
fn lose_report(scene: &Scene, silent: usize) {
    let mut lost = None;
    scene.mirror.watch(move |passing| {
        let connection = passing.connection;
        match lost {
            None if is_report(passing) => lost = Some(connection),
            Some(first) if (first..=first + silent).contains(&connection) => {}
            _ => return Action::Pass,
        }
        passing.bytes.clear();
        Action::HangUp
    });
}

#[test]
fn a_push_whose_report_is_lost_turns_out_to_have_arrived() {
    // Without a further attempt, too: the mirror is asked before the sync fails.
    for retries in ["0", "1"] {
        let scene = Scene::new("merge");
        lose_report(&scene, 0);
        let ferry = scene.ferry().with("FERRY_NETWORK_RETRIES", retries);
        let report = scene.sync_as(&ferry).unwrap();
        assert_eq!((report.outcome, report.commits), (Outcome::Merge, Some(3)));
        assert_eq!(report.after.unwrap().to_string(), scene.mirror_tip());
        scene.assert_carried();
    }
}

#[test]
fn a_push_whose_report_is_lost_for_good_is_found_by_the_next_sync() {
    let scene = Scene::new("merge");
    // The next connection is the last look, which is opened once more where it is cut.
    lose_report(&scene, 2);
    let error = scene.sync().expect_err("the report is lost");
    assert_eq!(error.kind(), Kind::Network, "{}", told(&error));
    scene.mirror.watch(|_| Action::Pass);
    assert_eq!(scene.sync().unwrap().outcome, Outcome::UpToDate);
    scene.assert_carried();
}

/// Replaces what the server reports, whatever it did.
fn report_instead(scene: &Scene, lines: &[&str]) {
    let mut inner: Vec<u8> = vec![1];
    inner.extend(lines.iter().flat_map(packet));
    inner.extend_from_slice(b"0000");
    scene.mirror.watch(move |passing| {
        if is_report(passing) {
            *passing.bytes = packet(&inner);
        }
        Action::Pass
    });
}

/// Makes the mirror refuse every push.
fn refuse_pushes(scene: &Scene) {
    let hooks = scene.mirror_path().join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    let hook = hooks.join("pre-receive");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn reports_of_every_kind_have_their_own_kind_of_error() {
    let scene = Scene::new("merge");
    refuse_pushes(&scene);
    let ng = |why: &str| format!("ng {MASTER}{why}\n");
    let cases: [(Vec<String>, Kind, &str); 9] = [
        (vec![], Kind::Server, "neither the pack nor the ref"),
        (
            vec!["unpack ok\n".to_owned()],
            Kind::Server,
            "neither the pack nor the ref",
        ),
        (
            vec!["unpack ok\n".to_owned(), "ok refs/heads/other\n".to_owned()],
            Kind::Server,
            "neither",
        ),
        (
            vec!["unpack ok\n".to_owned(), ng("")],
            Kind::Permission,
            "without a reason",
        ),
        (
            vec!["unpack ok\n".to_owned(), ng(" hook declined")],
            Kind::Permission,
            "hook declined",
        ),
        (
            vec!["unpack ok\n".to_owned(), ng(" failed to update ref")],
            Kind::Race,
            "failed to update",
        ),
        (
            vec![
                "unpack ok\n".to_owned(),
                ng(" incorrect old value provided"),
            ],
            Kind::Race,
            "incorrect old value",
        ),
        (
            vec!["unpack ok\n".to_owned(), ng(" refname conflict")],
            Kind::Config,
            "refname conflict",
        ),
        (
            vec!["unpack disk full\n".to_owned(), ng(" unpacker error")],
            Kind::Server,
            "disk full",
        ),
    ];
    for (lines, kind, says) in cases {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        report_instead(&scene, &lines);
        let error = scene.refused(&scene.ferry());
        assert_eq!(error.kind(), kind, "{lines:?}: {}", told(&error));
        assert!(told(&error).contains(says), "{lines:?}: {}", told(&error));
    }
}

/// Makes the first packs that are pushed unusable to the server; returns what was asked of upstream for each push.
fn spoil_pushes(scene: &Scene, times: usize) -> Arc<Mutex<Vec<bool>>> {
    let mut spoilt = 0;
    scene.mirror.watch(move |passing| {
        if passing.way == Way::Up && passing.bytes.starts_with(b"PACK") && spoilt < times {
            // One object fewer than there are: the server sees it when it has read all of them.
            passing.bytes[11] -= 1;
            spoilt += 1;
        }
        Action::Pass
    });
    let thin = Arc::<Mutex<Vec<bool>>>::default();
    let kept = Arc::clone(&thin);
    scene.upstream.watch(move |passing| {
        let mut kept = kept.lock().unwrap();
        if passing.way == Way::Up && contains(passing.bytes, "command=fetch") {
            kept.push(false);
        }
        if passing.way == Way::Up && contains(passing.bytes, "thin-pack") {
            *kept.last_mut().unwrap() = true;
        }
        Action::Pass
    });
    thin
}

#[test]
fn a_pack_that_cannot_be_taken_in_is_sent_once_more_with_nothing_left_out() {
    let scene = Scene::new("merge");
    let thin = spoil_pushes(&scene, 1);
    scene.sync().unwrap();
    assert!(thin.lock().unwrap().ends_with(&[true, false]), "{thin:?}");
    scene.assert_carried();

    scene.restore();
    let thin = spoil_pushes(&scene, usize::MAX);
    let error = scene.refused(&scene.ferry());
    assert_eq!(error.kind(), Kind::Server, "{}", told(&error));
    assert!(
        error.to_string().contains("could not unpack the push"),
        "{error}"
    );
    assert!(thin.lock().unwrap().ends_with(&[true, false]), "{thin:?}");
}

/// Adds a commit to upstream of which `git fsck` finds that its author is not written properly.
fn publish_malformed(source: &Path) {
    let content = git(source, &["cat-file", "commit", "master"]);
    let parent = git(source, &["rev-parse", "master"]);
    let tree = content.lines().next().unwrap();
    let malformed = format!(
        "{tree}\nparent {parent}\nauthor A<a@b.example> 1700000000 +0000\n\
         committer A <a@b.example> 1700000000 +0000\n\nMalformed\n"
    );
    let file = source.join("malformed");
    std::fs::write(&file, malformed).unwrap();
    let write = ["hash-object", "-t", "commit", "-w", "--literally"];
    let id = git(source, &[&write[..], &[file.to_str().unwrap()]].concat());
    git(source, &["update-ref", MASTER, &id]);
}

#[test]
fn an_object_that_the_mirror_checks_and_refuses_needs_a_person_after_one_push() {
    for transport in [Transport::Folder, Transport::Git] {
        let scene = Scene::over(transport, "merge").unwrap();
        publish_malformed(scene.source.path());
        let pushes = Arc::<Mutex<usize>>::default();
        let counted = Arc::clone(&pushes);
        scene.mirror.watch(move |passing| {
            *counted.lock().unwrap() += usize::from(is_request(passing));
            Action::Pass
        });
        let error = scene.refused(&scene.ferry().with("FERRY_NETWORK_RETRIES", "1"));
        let said = format!("{transport:?}: {}", told(&error));
        assert_eq!(error.kind(), Kind::Permission, "{said}");
        assert_eq!(said.matches("missingSpaceBeforeEmail").count(), 1, "{said}");
        let advice = error.advice().unwrap_or_default();
        assert!(advice.contains("receive.fsck.<id>"), "{said}: {advice}");
        assert_eq!(*pushes.lock().unwrap(), 1, "{said}");
    }
}
