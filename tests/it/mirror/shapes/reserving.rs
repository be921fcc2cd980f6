//! Names that upstream may never fill (`policy.reserved`).

use crates_ferry::mirror::plan::Outcome;
use crates_ferry::mirror::report::Report;

use crate::support::upstream::{Commit, IndexLine};
use crate::support::world::{BOTH, World};

/// Returns the crates that the report warns of.
fn warned(report: &Report) -> Vec<&str> {
    let warnings = report.warnings.iter();
    warnings
        .map(|warning| {
            let rest = warning.strip_prefix("upstream has the crate ").unwrap();
            assert!(rest.contains("(dependency confusion)"), "{rest}");
            rest.split(',').next().unwrap()
        })
        .collect()
}

#[test]
fn a_strangers_crate_with_a_reserved_name_is_left_out_and_ones_own_stays() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.set("FERRY_POLICY_RESERVED", "acme-*,cr-own");
        world.mirror.write("ac/me/acme_core", "ours\n");
        let stranger = |name: &str| Commit::publish(name, &[IndexLine::new("6.6.6")]);
        world
            .upstream
            .commit(["acme_core", "acme-new", "cr-own", "acme"].map(stranger));
        let report = world.carry(Outcome::Merge);
        assert_eq!(world.mirror.read("ac/me/acme_core").unwrap(), b"ours\n");
        assert_eq!(world.mirror.read("ac/me/acme-new"), None);
        assert_eq!(world.mirror.read("cr/-o/cr-own"), None);
        assert!(world.mirror.read("ac/me/acme").is_some());
        assert_eq!(
            report.overlay,
            [
                "ac/me/acme-new",
                "ac/me/acme_core",
                "config.json",
                "cr/-o/cr-own"
            ]
        );
        assert_eq!(warned(&report), ["acme-new", "acme_core", "cr-own"]);
        // As long as upstream has them, a person is told.
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(warned(&report), ["acme-new", "acme_core", "cr-own"]);
    }
}

#[test]
fn what_the_mirror_has_of_upstream_is_taken_out_when_its_name_is_reserved() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.publish("acme-core", "6.6.6");
        world.sync();
        assert!(world.mirror.read("ac/me/acme-core").is_some());
        world.set("FERRY_POLICY_RESERVED", "acme-*");
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(world.mirror.read("ac/me/acme-core"), None);
        assert_eq!(warned(&report), ["acme-core"]);
    }
}

#[test]
fn a_tree_that_upstream_had_in_between_is_carried_as_any_other() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.set("FERRY_POLICY_RESERVED", "acme-*");
        // Without the second one the directory is as the first commit made it, whose tree is in upstream's pack.
        world
            .upstream
            .publish("acme", "1.0.0")
            .publish("acme-core", "6.6.6");
        let report = world.carry(Outcome::Merge);
        assert!(world.mirror.read("ac/me/acme").is_some());
        assert_eq!(world.mirror.read("ac/me/acme-core"), None);
        assert_eq!(warned(&report), ["acme-core"]);
    }
}

#[test]
fn a_first_commit_has_no_crate_of_upstream_with_a_reserved_name() {
    for history in BOTH {
        let mut world = World::empty();
        world.upstream.publish_many("crate", 3);
        world.upstream.publish("acme-core", "6.6.6");
        world.set("FERRY_POLICY_RESERVED", "acme-*");
        let report = world.init(history);
        assert_eq!(world.mirror.read("ac/me/acme-core"), None);
        assert!(
            report
                .warnings
                .iter()
                .any(|text| text.contains("acme-core"))
        );
    }
}
