//! An upstream that is itself a mirror, and makes the commit of its `config.json` anew on top of every state of the index.

use crates_ferry::config::History;
use crates_ferry::mirror::plan::{Outcome, Relation};
use crates_ferry::mirror::report::{Report, Topic};

use crate::support::world::{BOTH, World};

const THEIRS: &str = r#"{"dl": "https://mirror.example/dl", "api": "https://mirror.example"}"#;

impl World {
    fn of_a_mirror(history: History) -> Self {
        let mut world = Self::empty();
        world.upstream.publish_many("crate", 40);
        world.upstream.write("config.json", THEIRS);
        world.init(history);
        world
    }

    /// Replaces upstream's last commit by so many crates and the same commit once more.
    fn remake(&mut self, name: &str, crates: usize) {
        self.upstream.rewind(1).publish_many(name, crates);
        self.upstream.write("config.json", THEIRS);
    }

    fn topics(report: &Report) -> Vec<Option<Topic>> {
        report
            .warnings
            .iter()
            .map(|warning| warning.calls())
            .collect()
    }
}

#[test]
fn a_config_json_that_is_committed_anew_each_time_is_ordinary() {
    for history in BOTH {
        for is_pruned in [false, history == History::Merge] {
            let mut world = World::of_a_mirror(history);
            for round in ["one", "two", "three"] {
                world.remake(round, 2);
                if is_pruned {
                    world.upstream.prune();
                }
                let report = world.carry(Outcome::Merge);
                assert_eq!(report.relation, Some(Relation::Diverged), "{report}");
                assert_eq!(report.commits, Some(3), "{report}");
                assert!(report.warnings.is_empty(), "{history:?}: {report}");
                assert!(report.to_string().contains("(diverged)"), "{report}");
                assert!(report.received_bytes < 30_000, "{report}");
            }
        }
    }
}

#[test]
fn a_line_of_the_same_tree_makes_no_commit() {
    for history in BOTH {
        let mut world = World::of_a_mirror(history);
        let (tip, base) = (world.mirror.tip(), world.upstream.tip());
        for _ in 0..3 {
            world.remake("none", 0);
            let report = world.sync();
            let seen = (report.outcome, report.relation, report.commits);
            let wanted = (Outcome::UpToDate, Some(Relation::Diverged), Some(0));
            assert_eq!(seen, wanted, "{report}");
            assert_eq!(report.base.map(|id| id.to_string()), base);
            assert!(report.warnings.is_empty(), "{report}");
            assert_eq!(world.mirror.tip(), tip);
        }
        world.remake("later", 2);
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Diverged), Some(3))
        );
        assert!(report.warnings.is_empty(), "{report}");
    }
}

#[test]
fn other_content_of_a_config_json_that_is_committed_anew_is_told_once() {
    for history in BOTH {
        let mut world = World::of_a_mirror(history);
        world
            .upstream
            .rewind(1)
            .write("config.json", r#"{"dl": "https://elsewhere.example"}"#);
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            World::topics(&report),
            [Some(Topic::UpstreamConfig)],
            "{report}"
        );
    }
}

#[test]
fn a_file_of_upstreams_own_that_is_committed_anew_is_ordinary_where_it_is_the_same_or_kept() {
    for history in BOTH {
        for (kept, content, topics) in [
            ("", "the same\n", vec![]),
            ("", "another\n", vec![Some(Topic::Rewritten)]),
            (".gitlab-ci.yml", "another\n", vec![None]),
        ] {
            let mut world = World::empty();
            world.upstream.publish_many("crate", 40);
            world.upstream.write(".gitlab-ci.yml", "the same\n");
            world.set("FERRY_MIRROR_KEEP", kept);
            world.init(history);
            world
                .upstream
                .rewind(1)
                .publish("new", "1.0.0")
                .write(".gitlab-ci.yml", content);
            let report = world.carry(Outcome::Merge);
            assert_eq!(
                World::topics(&report),
                topics,
                "{kept}, {content}: {report}"
            );
        }
    }
}
