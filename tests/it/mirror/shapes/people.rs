//! People commit to the mirror as well.

use crates_ferry::config::History;
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::{Outcome, Relation};
use crates_ferry::mirror::sync::Options;

use crate::support::upstream::{Commit, IndexLine};
use crate::support::world::{BOTH, World, error_of};

#[test]
fn three_hundred_commits_of_people_on_top_do_not_hide_the_base() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.publish("first", "1.0.0");
        world.sync();
        let ours = |number| Commit::new("By hand").file("pr/iv/private", format!("{number}\n"));
        world.mirror.commit((0..300).map(ours));
        world.upstream.publish("second", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Advanced), Some(1))
        );
        assert_eq!(report.overlay, ["config.json", "pr/"]);
        assert!(report.warnings.is_empty(), "{report}");
        assert_eq!(world.mirror.read("pr/iv/private").unwrap(), b"299\n");
    }
}

#[test]
fn a_private_crate_in_a_directory_that_upstream_changes_too_stays() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.mirror.write("cr/at/crate-private", "ours\n");
        world
            .upstream
            .publish("crate-public", "1.0.0")
            .publish("crate7", "2.0.0")
            .delete("crate8");
        let report = world.carry(Outcome::Merge);
        assert_eq!(report.overlay, ["config.json", "cr/at/crate-private"]);
        assert!(report.warnings.is_empty(), "{report}");
        assert_eq!(world.mirror.read("cr/at/crate-private").unwrap(), b"ours\n");
        assert_eq!(world.mirror.read("cr/at/crate8"), None);
        world.upstream.squash();
        world.upstream.publish("crate-late", "1.0.0");
        assert_eq!(
            world.carry(Outcome::Squash).overlay,
            ["config.json", "cr/at/crate-private"]
        );
    }
}

#[test]
fn what_a_person_added_beside_the_index_stays() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world
            .mirror
            .write(".gitlab-ci.yml", "sync: {}\n")
            .write("README.md", "ours\n");
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            report.overlay,
            [".gitlab-ci.yml", "README.md", "config.json"]
        );
    }
}

#[test]
fn the_old_files_that_a_reverted_sync_leaves_behind_are_told() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world
            .upstream
            .publish("crate7", "2.0.0")
            .publish("reverted", "1.0.0");
        world.sync();
        world.mirror.revert_tip();
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Advanced), Some(1))
        );
        assert_eq!(report.overlay, ["config.json", "cr/at/crate7", "re/"]);
        let told = [
            "cr/at/crate7 differs from upstream's",
            "re/ differs from upstream's",
        ];
        assert_eq!(report.warnings.len(), told.len(), "{report}");
        for (warning, told) in report.warnings.iter().zip(told) {
            assert!(warning.contains(told), "{warning}");
        }
        assert!(world.mirror.read("ne/w/new").is_none() && world.mirror.read("3/n/new").is_some());
    }
}

#[test]
fn a_persons_merge_of_a_newer_upstream_commit_becomes_the_base() {
    let mut world = World::initialised(History::Merge);
    world.upstream.publish("first", "1.0.0");
    world.sync();
    world
        .upstream
        .publish("second", "1.0.0")
        .publish("crate7", "2.0.0");
    world.mirror.merge(&world.upstream, "master");
    let merged = world.upstream.tip();
    world.upstream.publish("crate7", "3.0.0");
    let report = world.carry(Outcome::Merge);
    assert_eq!(
        (report.relation, report.commits),
        (Some(Relation::Advanced), Some(1))
    );
    assert_eq!(report.base.map(|id| id.to_string()), merged);
    assert_eq!(report.overlay, ["config.json"]);
}

#[test]
fn a_persons_merge_of_upstreams_tip_leaves_nothing_to_do() {
    let mut world = World::initialised(History::Merge);
    world.upstream.publish("first", "1.0.0");
    world.mirror.merge(&world.upstream, "master");
    assert_eq!(world.sync().outcome, Outcome::UpToDate);
}

#[test]
fn a_persons_merge_of_a_newer_upstream_commit_stands_before_a_squash_too() {
    for late in [0, 2] {
        let mut world = World::initialised(History::Merge);
        world.upstream.publish("first", "1.0.0");
        world.mirror.merge(&world.upstream, "master");
        world.upstream.publish_many("late", late);
        world.upstream.squash();
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Squash);
        assert!(
            report.proof.is_some() && report.warnings.is_empty(),
            "{report}"
        );
        assert_eq!(report.overlay, ["config.json"]);
    }
}

#[test]
fn a_crate_that_upstream_deleted_is_gone_from_the_mirror() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.publish("alone", "1.0.0");
        world.sync();
        world.upstream.delete("alone").delete("crate7");
        let report = world.carry(Outcome::Merge);
        assert_eq!(report.overlay, ["config.json"]);
        assert_eq!(report.crates, ["alone", "crate7"]);
        assert_eq!(
            (
                world.mirror.read("al/on/alone"),
                world.mirror.read("cr/at/crate7")
            ),
            (None, None)
        );
    }
}

#[test]
fn a_crate_that_upstream_deleted_and_a_person_changed_is_a_conflict() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.mirror.write("cr/at/crate7", "ours\n");
        world.upstream.delete("crate7").publish("new", "1.0.0");
        let error = world.refused(Kind::Conflict);
        assert!(
            error
                .to_string()
                .contains("cr/at/crate7: changed here, deleted upstream"),
            "{error}"
        );
        assert!(error.advice().unwrap().contains("sync --ours cr/at/crate7"));
    }
}

#[test]
fn a_conflict_is_settled_by_naming_its_path_and_stays_settled() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world
            .mirror
            .write("cr/at/crate7", "ours\n")
            .write("cr/at/crate9", "ours\n");
        world
            .upstream
            .publish("crate7", "2.0.0")
            .publish("crate9", "2.0.0");
        let error = world.refused(Kind::Conflict);
        assert!(
            error
                .to_string()
                .contains("cr/at/crate9: changed here, changed upstream"),
            "{error}"
        );
        let one = Options {
            ours: vec!["cr/at/crate7".to_owned()],
            ..Options::default()
        };
        assert_eq!(error_of(world.ferry.sync_with(&one)).kind(), Kind::Conflict);
        let both = Options {
            ours: vec!["cr/at/crate7".to_owned(), "cr/at/crate9".to_owned()],
            ..Options::default()
        };
        let report = world.carry_with(&both, Outcome::Merge);
        assert_eq!(
            report.overlay,
            ["config.json", "cr/at/crate7", "cr/at/crate9"]
        );
        assert_eq!(world.mirror.read("cr/at/crate7").unwrap(), b"ours\n");
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            report.overlay,
            ["config.json", "cr/at/crate7", "cr/at/crate9"]
        );
        assert_eq!(report.warnings.len(), 2, "{report}");
    }
}

#[test]
fn a_kept_path_stays_ours_when_a_stranger_takes_its_name_upstream() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.set("FERRY_MIRROR_KEEP", "cr/at/crate-mine,ou/*");
        world.mirror.write("cr/at/crate-mine", "ours\n");
        let stranger = Commit::publish("crate-mine", &[IndexLine::new("6.6.6")]);
        world.upstream.commit([stranger]);
        world.upstream.publish("ours", "6.6.6");
        let report = world.carry(Outcome::Merge);
        assert_eq!(world.mirror.read("cr/at/crate-mine").unwrap(), b"ours\n");
        assert_eq!(world.mirror.read("ou/rs/ours"), None);
        assert_eq!(
            report.overlay,
            ["config.json", "cr/at/crate-mine", "ou/rs/"]
        );
        assert!(
            report
                .warnings
                .iter()
                .any(|warning| warning.contains("cr/at/crate-mine, which mirror.keep names")),
            "{report}"
        );
        world
            .upstream
            .publish("crate-mine", "6.6.7")
            .publish("new", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(world.mirror.read("cr/at/crate-mine").unwrap(), b"ours\n");
        assert!(
            report
                .warnings
                .iter()
                .any(|warning| warning.contains("crate-mine")),
            "{report}"
        );
    }
}

#[test]
fn a_config_json_that_upstream_changed_stays_ours_with_a_warning() {
    for history in BOTH {
        let mut world = World::initialised(history);
        let ours = world.mirror.read("config.json").unwrap();
        world
            .upstream
            .write("config.json", r#"{"dl": "https://moved.example/dl"}"#)
            .publish("new", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            report
                .warnings
                .iter()
                .map(|warning| &**warning)
                .collect::<Vec<_>>(),
            ["upstream changed its config.json; the mirror keeps its own"]
        );
        assert_eq!(world.mirror.read("config.json").unwrap(), ours);
        world.upstream.publish("newer", "1.0.0");
        assert!(world.carry(Outcome::Merge).warnings.is_empty());
    }
}

#[test]
fn a_thousand_private_crates_in_upstreams_directories_are_one_warning() {
    let mut world = World::empty();
    let fill = |name: &'static str| {
        (0..=1000).fold(Commit::new("Fill"), move |commit, number| {
            commit.file(&format!("{number:04}/{name}"), format!("{number}\n"))
        })
    };
    world.upstream.commit([fill("public")]);
    world.init(History::Merge);
    world.mirror.commit([fill("private")]);
    world.upstream.publish("new", "1.0.0");
    let report = world.carry(Outcome::Merge);
    assert_eq!(report.warnings.len(), 1, "{report}");
    assert!(report.warnings[0].contains("cut"), "{report}");
    assert!(!report.overlay.iter().any(|path| path == "…"), "{report}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["overlay_cut"], true);
}

#[test]
fn a_path_given_as_ours_that_settles_no_conflict_is_told() {
    let mut world = World::initialised(History::Merge);
    world.mirror.write("cr/at/crate7", "ours\n");
    world.upstream.publish("crate7", "2.0.0");
    let options = Options {
        ours: ["cr/at/crate7", "/no/such/path"].map(str::to_owned).into(),
        ..Options::default()
    };
    let report = world.carry_with(&options, Outcome::Merge);
    let told = |path| {
        report
            .warnings
            .iter()
            .filter(move |text| text.contains(path))
    };
    assert_eq!(told("--ours no/such/path").count(), 1, "{report}");
    assert_eq!(told("--ours cr/").count(), 0, "{report}");
}
