//! `init --adopt`: a mirror's project that has files of its own before the first commit.

use crates_ferry::config::History;
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::{Outcome, Relation};
use crates_ferry::mirror::report::Report;
use serde_json::Value;

use crate::support::upstream::Upstream;
use crate::support::world::{BOTH, World, error_of};

impl World {
    /// Makes an upstream of forty crates, and a mirror with the README that a host makes on request.
    fn with_readme(history: History) -> Self {
        let mut world = Self::empty();
        world.upstream.publish_many("crate", 40);
        world.mirror.write("README.md", "# The project\n");
        world.set("FERRY_MIRROR_HISTORY", history.name());
        world
    }

    fn adopt(&self) -> Report {
        let before = self.mirror.tip();
        let report = self
            .ferry
            .adopt()
            .unwrap_or_else(|error| panic!("{}", error.chain()));
        assert_eq!(report.outcome, Outcome::Created);
        assert_eq!(report.before.map(|id| id.to_string()), Some(before.clone()));
        assert_eq!(self.mirror.id("master^1"), before);
        assert_eq!(report.after.unwrap().to_string(), self.mirror.tip());
        self.mirror
            .assert_is_upstream_plus_overlay(self.upstream.path(), &report.overlay);
        self.mirror.assert_fsck_clean();
        report
    }

    /// Refuses to adopt, and leaves the mirror as it was; returns what is told.
    fn not_adopted(&self, kind: Kind) -> (String, String) {
        let (tip, objects) = (self.mirror.tip(), self.mirror.objects());
        let error = error_of(self.ferry.adopt());
        assert_eq!(error.kind(), kind, "{}", error.chain());
        assert_eq!((self.mirror.tip(), self.mirror.objects()), (tip, objects));
        (error.chain(), error.advice().unwrap().to_owned())
    }

    /// Carries something twice.
    fn go_on(&mut self, overlay: &[&str]) {
        for number in 0..2 {
            self.upstream.publish(&format!("later{number}"), "1.0.0");
            let report = self.carry(Outcome::Merge);
            assert_eq!(report.relation, Some(Relation::Advanced), "{report}");
            assert_eq!(report.overlay, overlay);
            assert!(report.warnings.is_empty(), "{report}");
        }
        self.upstream.squash();
        let report = self.carry(Outcome::Squash);
        assert!(
            report.proof.is_some() && report.warnings.is_empty(),
            "{report}"
        );
    }
}

#[test]
fn a_readme_is_adopted_and_stays() {
    for history in BOTH {
        let mut world = World::with_readme(history);
        let overlay = ["README.md", "config.json"];
        let report = world.adopt();
        assert_eq!(report.overlay, overlay);
        assert!(report.warnings.is_empty(), "{report}");
        assert_eq!(world.sync().outcome, Outcome::UpToDate);
        world.go_on(&overlay);
        assert_eq!(world.mirror.read("README.md").unwrap(), b"# The project\n");
        let subjects = world.mirror.subjects();
        let whole = subjects
            .iter()
            .any(|subject| subject == "Update crate `crate7`");
        assert_eq!(whole, history == History::Merge, "{subjects:?}");
    }
}

#[test]
fn every_advice_about_a_readme_leads_on() {
    for history in BOTH {
        let world = World::with_readme(history);
        let tip = world.mirror.tip();
        for (kind, result) in [
            (Kind::MirrorExists, world.ferry.init()),
            (Kind::Unrelated, world.ferry.sync()),
        ] {
            let error = error_of(result);
            assert_eq!(error.kind(), kind, "{}", error.chain());
            let advice = error.advice().unwrap();
            assert!(advice.contains("`crates-ferry init --adopt`"), "{advice}");
            assert!(!advice.contains("crates-ferry sync"), "{advice}");
        }
        assert_eq!(world.mirror.tip(), tip);
        world.adopt();
        for error in [error_of(world.ferry.init()), error_of(world.ferry.adopt())] {
            assert_eq!(error.kind(), Kind::MirrorExists);
            let advice = error.advice().unwrap();
            assert!(advice.contains("`crates-ferry sync`"), "{advice}");
            assert!(!advice.contains("--adopt"), "{advice}");
        }
        assert_eq!(world.sync().outcome, Outcome::UpToDate);
    }
}

#[test]
fn an_empty_mirror_has_nothing_to_adopt() {
    let world = World::empty();
    let report = world.ferry.adopt().unwrap();
    assert_eq!((report.outcome, report.before), (Outcome::Created, None));
    assert_eq!(world.sync().outcome, Outcome::UpToDate);
}

#[test]
fn files_in_a_directory_of_upstreams_are_adopted_beside_upstreams() {
    for history in BOTH {
        let mut world = World::with_readme(history);
        world
            .mirror
            .write("cr/at/private", "ours\n")
            .write("my/cr/mycrate", "ours\n");
        let overlay = ["README.md", "config.json", "cr/at/private", "my/"];
        assert_eq!(world.adopt().overlay, overlay);
        world.go_on(&overlay);
        assert_eq!(world.mirror.read("cr/at/private").unwrap(), b"ours\n");
    }
}

#[test]
fn a_path_that_both_have_is_refused_by_name_unless_it_is_kept() {
    for history in BOTH {
        let mut world = World::with_readme(history);
        world
            .mirror
            .write("cr/at/crate7", "ours\n")
            .write("cr/at/crate8/x", "ours\n");
        let (said, advice) = world.not_adopted(Kind::Conflict);
        assert!(
            said.contains("cr/at/crate7: added here, added upstream"),
            "{said}"
        );
        assert!(said.contains("cr/at/crate8: a file on one side"), "{said}");
        assert!(
            advice.contains("`mirror.keep`") && !advice.contains("--ours"),
            "{advice}"
        );
        world.set("FERRY_MIRROR_KEEP", "cr/at/crate7,cr/at/crate8");
        world.adopt();
        world.upstream.publish("later", "1.0.0");
        world.carry(Outcome::Merge);
        assert_eq!(world.mirror.read("cr/at/crate7").unwrap(), b"ours\n");
    }
}

#[test]
fn a_config_json_of_the_mirrors_own_stays_if_it_is_one_of_an_index() {
    for history in BOTH {
        let mut world = World::with_readme(history);
        world
            .mirror
            .write("config.json", r#"{"name": "a web app"}"#);
        let (said, advice) = world.not_adopted(Kind::Conflict);
        assert!(
            said.contains("config.json is not one of an index"),
            "{said}"
        );
        assert!(advice.contains("Remove or rename"), "{advice}");
        let own = r#"{"dl": "https://own.example/dl"}"#;
        world.mirror.write("config.json", own);
        let report = world.adopt();
        assert_eq!(report.overlay, ["README.md", "config.json"]);
        assert!(report.warnings[0].contains("were not written"), "{report}");
        world.go_on(&["README.md", "config.json"]);
        assert_eq!(world.mirror.read("config.json").unwrap(), own.as_bytes());
    }
}

#[test]
fn a_copy_of_upstreams_files_without_its_history_is_adopted() {
    for history in BOTH {
        let mut world = World::empty();
        world.upstream.publish_many("crate", 40);
        let mut copy = Upstream::empty(world.folder(), "copy.git");
        copy.fetch(world.upstream.path(), &["master:master"])
            .replace_with_root("Copy the files\n");
        world.mirror.copy_of(&copy);
        world.upstream.publish("since", "1.0.0");
        world.set("FERRY_MIRROR_HISTORY", history.name());
        // Its files say nothing of where they come from, once upstream has moved on.
        assert_eq!(error_of(world.ferry.sync()).kind(), Kind::Unrelated);
        assert_eq!(world.adopt().overlay, ["config.json"]);
        let made: Value =
            serde_json::from_slice(&world.mirror.read("config.json").unwrap()).unwrap();
        assert_eq!(made["dl"], "https://crates.example/dl");
        world.go_on(&["config.json"]);
    }
}

#[test]
fn a_mirror_of_another_index_is_not_adopted() {
    let mut world = World::initialised(History::Merge);
    world.upstream.start_over();
    let (_, advice) = world.not_adopted(Kind::Unrelated);
    assert!(!advice.contains("--adopt"), "{advice}");
}
