//! An upstream that is a shallow clone: refused before any push where the mirror needs what it lacks, and carried where not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crates_ferry::error::{Error, Kind};
use crates_ferry::mirror::plan::{Outcome, Relation};

use super::contains;
use crate::support::ferry::{Ferry, empty_mirror};
use crate::support::proxy::{Action, Way};
use crate::support::repo::git;
use crate::support::scene::{Scene, Transport, told};
use crate::support::upstream::bare;

const TRANSPORTS: [Transport; 4] = [
    Transport::Git,
    Transport::Ssh,
    Transport::Http,
    Transport::Folder,
];

/// A scene whose upstream is replaced by a shallow clone of it.
struct Shallow {
    scene: Scene,
    full: PathBuf,
    pushes: Arc<AtomicUsize>,
}

impl Shallow {
    fn over(transport: Transport, history: &'static str, depth: usize) -> Option<Self> {
        let scene = Scene::over(transport, history)?;
        let full = scene.folder.path().join("full.git");
        std::fs::rename(scene.source.path(), &full).unwrap();
        let pushes = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&pushes);
        scene.mirror.watch(move |passing| {
            let is_push = passing.way == Way::Up && contains(passing.bytes, "report-status");
            counted.fetch_add(usize::from(is_push), Ordering::SeqCst);
            Action::Pass
        });
        let shallow = Self {
            scene,
            full,
            pushes,
        };
        shallow.fetch(depth);
        Some(shallow)
    }

    /// Makes the clone anew, as a job does that keeps nothing.
    fn fetch(&self, depth: usize) {
        std::fs::remove_dir_all(self.clone()).ok();
        bare(self.scene.folder.path(), "upstream.git");
        let (url, depth) = (format!("file://{}", self.full.display()), depth.to_string());
        let fetch = ["fetch", "-q", "--depth", &depth, &url, "master:master"];
        git(self.clone(), &fetch);
        assert!(self.clone().join("shallow").exists());
    }

    fn clone(&self) -> &Path {
        self.scene.source.path()
    }

    /// Returns the crates that the three commits name which the mirror lacks.
    fn subjects(&self) -> Vec<String> {
        let log = git(&self.full, &["log", "-3", "--format=%s", "master"]);
        let name = |subject: &str| subject.split('`').nth(1).unwrap().to_owned();
        let mut names: Vec<String> = log.lines().map(name).collect();
        names.sort();
        names
    }

    /// Lets the git daemon before upstream speak version 0.
    fn speak_v0(&self) {
        self.scene.upstream.watch(|passing| {
            if passing.way == Way::Up && contains(passing.bytes, "git-upload-pack") {
                let text = String::from_utf8_lossy(&passing.bytes[4..]);
                let text = text.replace("\0version=2\0", "");
                *passing.bytes =
                    crate::support::frames::packet(text.trim_end_matches('\0').to_owned() + "\0");
            }
            Action::Pass
        });
    }

    fn assert_refused(&self, error: &Error, what: &str) {
        let said = format!("{what}: {}", told(error));
        assert_eq!(error.kind(), Kind::Config, "{said}");
        assert!(
            said.contains("upstream.git: it is a shallow clone"),
            "{said}"
        );
        let advice = error.advice().unwrap();
        assert!(advice.contains("git fetch --unshallow"), "{said}: {advice}");
        assert!(advice.contains("--history snapshot"), "{said}: {advice}");
        assert_eq!(self.pushes.load(Ordering::SeqCst), 0, "{said}");
        assert!(self.scene.is_untouched(), "{said}");
    }
}

/// Says what is tried: each transport, and version 0 of the protocol.
fn cases() -> impl Iterator<Item = (Transport, bool)> {
    let all = TRANSPORTS.map(|transport| (transport, false));
    all.into_iter().chain([(Transport::Git, true)])
}

#[test]
fn a_history_that_begins_after_the_mirror_is_refused_before_any_push() {
    for (transport, is_v0) in cases() {
        let what = format!("{transport:?}, v0: {is_v0}");
        let Some(shallow) = Shallow::over(transport, "merge", 2) else {
            continue;
        };
        if is_v0 {
            shallow.speak_v0();
        }
        let ferry = shallow.scene.ferry().with("FERRY_NETWORK_RETRIES", "1");
        let error = shallow.scene.refused(&ferry);
        shallow.assert_refused(&error, &what);
        // What is advised.
        let ferry = ferry.with("FERRY_MIRROR_HISTORY", "snapshot");
        let report = shallow.scene.sync_as(&ferry).unwrap();
        assert_eq!(report.outcome, Outcome::Merge, "{what}: {report}");
        shallow.scene.assert_carried();
        git(
            shallow.clone(),
            &["fetch", "-q", "--unshallow", shallow.full.to_str().unwrap()],
        );
        shallow.scene.restore();
        let report = shallow.scene.sync().unwrap();
        assert_eq!(
            report.relation,
            Some(Relation::Advanced),
            "{what}: {report}"
        );
        shallow.scene.assert_carried();
    }
}

#[test]
fn no_mirror_is_begun_with_a_history_that_is_cut_off() {
    for (transport, is_v0) in cases() {
        let what = format!("{transport:?}, v0: {is_v0}");
        let Some(shallow) = Shallow::over(transport, "merge", 3) else {
            continue;
        };
        if is_v0 {
            shallow.speak_v0();
        }
        let name = shallow.scene.mirror_path();
        std::fs::remove_dir_all(&name).unwrap();
        let mirror = empty_mirror(
            shallow.scene.folder.path(),
            name.file_name().unwrap().to_str().unwrap(),
        );
        let error = shallow.scene.ferry().init().expect_err("it is cut off");
        shallow.scene.mirror.settle();
        let said = format!("{what}: {}", told(&error));
        assert_eq!(error.kind(), Kind::Config, "{said}");
        assert!(
            said.contains("upstream.git: it is a shallow clone"),
            "{said}"
        );
        assert!(error.advice().unwrap().contains("--history snapshot"));
        assert_eq!(shallow.pushes.load(Ordering::SeqCst), 0, "{said}");
        assert_eq!(git(&mirror, &["count-objects"]), "0 objects, 0 kilobytes");
        let snapshot = shallow
            .scene
            .ferry()
            .with("FERRY_MIRROR_HISTORY", "snapshot");
        snapshot.init().unwrap();
        shallow.scene.assert_carried();
    }
}

#[test]
fn a_history_that_reaches_back_to_the_mirror_is_carried() {
    // The first commit that is new, and the one before it, which the mirror has.
    for (depth, (transport, is_v0)) in [3, 4]
        .into_iter()
        .flat_map(|depth| cases().map(move |case| (depth, case)))
    {
        let Some(shallow) = Shallow::over(transport, "merge", depth) else {
            continue;
        };
        if is_v0 {
            shallow.speak_v0();
        }
        let report = shallow.scene.sync().unwrap();
        let seen = (report.outcome, report.relation, report.commits);
        let wanted = (Outcome::Merge, Some(Relation::Advanced), Some(3));
        assert_eq!(
            seen, wanted,
            "{transport:?}, v0: {is_v0}, {depth}: {report}"
        );
        assert!(report.warnings.is_empty(), "{report}");
        shallow.scene.assert_carried();
    }
}

#[test]
fn a_mirror_of_snapshots_follows_clones_of_one_commit() {
    let shallow = Shallow::over(Transport::Git, "snapshot", 1).unwrap();
    let mut published = shallow.subjects();
    for round in 0..3 {
        let report = shallow.scene.sync().unwrap();
        assert_eq!(report.outcome, Outcome::Merge, "{report}");
        // The one commit that upstream has names one crate alone; the others show in the trees.
        assert_eq!(report.crates, published, "{report}");
        let message = git(&shallow.scene.mirror_path(), &["log", "-1", "--format=%B"]);
        let named = |name: &String| message.contains(name.as_str());
        assert!(published.iter().all(named), "{message}");
        assert_eq!(report.warnings.len(), 1, "{report}");
        assert!(
            report.warnings[0].contains("is a shallow clone"),
            "{report}"
        );
        assert_eq!(report.warnings[0].calls(), None);
        shallow.scene.assert_carried();
        assert_eq!(shallow.scene.sync().unwrap().outcome, Outcome::UpToDate);
        let mut full =
            crate::support::upstream::Upstream::open(shallow.scene.folder.path(), "full.git");
        full.publish_many(&format!("round{round}-"), 2);
        published = vec![format!("round{round}-0"), format!("round{round}-1")];
        shallow.fetch(1);
    }
}

#[test]
fn a_clone_of_one_commit_that_goes_back_is_refused() {
    let shallow = Shallow::over(Transport::Git, "snapshot", 1).unwrap();
    let mut full =
        crate::support::upstream::Upstream::open(shallow.scene.folder.path(), "full.git");
    // As a job does that keeps its clone, with the objects of what it leaves.
    let follow = || {
        let url = format!("file://{}", shallow.full.display());
        let fetch = ["fetch", "-q", "--depth", "1", &url, "+master:master"];
        git(shallow.clone(), &fetch);
    };
    full.publish_many("kept", 1);
    follow();
    shallow.scene.sync().unwrap();
    full.publish_many("lost", 2);
    follow();
    shallow.scene.sync().unwrap();
    git(
        &shallow.full,
        &["update-ref", "refs/heads/master", "master~1"],
    );
    follow();
    let pushes = shallow.pushes.load(Ordering::SeqCst);
    assert_eq!(shallow.scene.sync().unwrap_err().kind(), Kind::Rewound);
    assert_eq!(shallow.pushes.load(Ordering::SeqCst), pushes);
}

#[test]
fn a_clone_that_goes_back_within_a_second_is_refused() {
    let shallow = Shallow::over(Transport::Git, "snapshot", 1).unwrap();
    let mut full =
        crate::support::upstream::Upstream::open(shallow.scene.folder.path(), "full.git");
    let follow = || {
        let url = format!("file://{}", shallow.full.display());
        let fetch = ["fetch", "-q", "--depth", "1", &url, "+master:master"];
        git(shallow.clone(), &fetch);
    };
    let mut earlier = vec![full.tip().unwrap()];
    shallow.scene.sync().unwrap();
    // No date tells which of them is older.
    for name in ["one", "two", "three"] {
        // Two, of which the clone has one: the one between the tips, by which they would be in order, is nowhere.
        full.commit_at_once(["first", "second"].map(|word| {
            crate::support::upstream::Commit::new(name).file(name, format!("{word}\n"))
        }));
        follow();
        shallow.scene.sync().unwrap();
        earlier.push(full.tip().unwrap());
    }
    earlier.pop();
    let pushes = shallow.pushes.load(Ordering::SeqCst);
    for id in earlier {
        full.move_to(&id);
        follow();
        assert_eq!(
            shallow.scene.sync().unwrap_err().kind(),
            Kind::Rewound,
            "{id}"
        );
    }
    assert_eq!(shallow.pushes.load(Ordering::SeqCst), pushes);
}

#[test]
fn a_server_without_trees_by_id_is_not_sent_from_one_mode_to_the_other() {
    for history in ["merge", "snapshot"] {
        let shallow = Shallow::over(Transport::Git, history, 2).unwrap();
        shallow.speak_v0();
        let key = "uploadpack.allowAnySHA1InWant";
        git(shallow.clone(), &["config", key, "false"]);
        let refused = |error: &Error| {
            let said = format!("{history}: {}", told(error));
            assert_eq!(error.kind(), Kind::Config, "{said}");
            let advice = error.advice().unwrap().to_owned();
            assert!(advice.contains(key), "{said}: {advice}");
            advice
        };
        let advice = refused(&shallow.scene.sync().unwrap_err());
        match history {
            "merge" => {
                assert!(advice.contains("git fetch --unshallow"), "{advice}");
                assert!(
                    advice.contains("and then use `--history snapshot`"),
                    "{advice}"
                );
            }
            _ => assert!(
                advice.contains("`history: merge` cannot be used instead"),
                "{advice}"
            ),
        }
        let asked = |history: &str| shallow.scene.ferry().with("FERRY_MIRROR_HISTORY", history);
        let advice = refused(&shallow.scene.sync_as(&asked("snapshot")).unwrap_err());
        assert!(
            advice.contains("`history: merge` cannot be used instead"),
            "{advice}"
        );
        // What is advised.
        git(shallow.clone(), &["config", key, "true"]);
        shallow.scene.sync_as(&asked("snapshot")).unwrap();
        shallow.scene.assert_carried();
    }
}

#[test]
fn a_plain_copy_of_an_older_upstream_is_told_why_nothing_is_in_common() {
    let shallow = Shallow::over(Transport::Git, "merge", 2).unwrap();
    let copy = empty_mirror(shallow.scene.folder.path(), "copy.git");
    git(
        &shallow.full,
        &[
            "push",
            "-q",
            copy.to_str().unwrap(),
            "master~3:refs/heads/master",
        ],
    );
    let ferry = Ferry::new(shallow.clone().to_str().unwrap(), copy.to_str().unwrap());
    for history in ["merge", "snapshot"] {
        let error = ferry
            .clone()
            .with("FERRY_MIRROR_HISTORY", history)
            .sync()
            .expect_err("it is cut off");
        assert_eq!(error.kind(), Kind::Config, "{}", told(&error));
        assert!(told(&error).contains("shallow clone"), "{}", told(&error));
        let advice = error.advice().unwrap();
        assert!(
            advice.contains("--unshallow") && !advice.contains("snapshot"),
            "{advice}"
        );
    }
    git(
        shallow.clone(),
        &["fetch", "-q", "--unshallow", shallow.full.to_str().unwrap()],
    );
    ferry.sync().unwrap();
}
