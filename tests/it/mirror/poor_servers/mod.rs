//! Servers with git's default configuration, in both protocols, on either side and on both: everything works within a few
//! times the bytes, and a whole tree is never fetched.

mod servers;
use crate::support::ferry::{Ferry, empty_mirror};
use crate::support::proxy::{Action, Way};
use crate::support::repo::git;
use crate::support::scene::told;
use crate::support::upstream::{Commit, commit_to, index_path};
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::{Outcome, Relation};
use servers::{Poor, SERVERS, Server, copy_without_the_rest, hide, one_at_a_time, young};

/// Carries some commits, a squash with the mirror abreast, more commits, and a squash with the mirror behind.
fn live(upstream: Server, mirror: Server, history: &str) {
    let mut poor = Poor::new(upstream, mirror, history);
    let what = |step: &str| format!("{upstream:?} to {mirror:?}, {history}, {step}");
    poor.source.publish_many("first", 3);
    assert_eq!(poor.sync(&what("commits")).outcome, Outcome::Merge);
    assert_eq!(poor.sync(&what("nothing")).outcome, Outcome::UpToDate);
    poor.source.squash();
    assert_eq!(poor.sync(&what("a bare squash")).outcome, Outcome::Squash);
    poor.source.publish_many("second", 2);
    assert_eq!(
        poor.sync(&what("commits on a squash")).outcome,
        Outcome::Merge
    );
    poor.source.publish_many("third", 2);
    poor.source.squash();
    poor.source.publish_many("fourth", 2);
    assert_eq!(
        poor.sync(&what("a squash with commits around it")).outcome,
        Outcome::Squash
    );
    poor.source.publish_many("fifth", 1);
    assert_eq!(
        poor.sync(&what("commits at the end")).outcome,
        Outcome::Merge
    );
}

#[test]
fn a_base_without_parents_is_learnt_from_upstream() {
    for mirror in SERVERS {
        young(Server::V2, mirror).sync("a young index");
    }
}

#[test]
fn a_base_without_parents_that_nobody_serves_is_told_with_advice() {
    let poor = young(Server::V0, Server::V0);
    let error = poor.ferry.sync().expect_err("nobody can tell the base");
    assert_eq!(error.kind(), Kind::Config, "{}", told(&error));
    assert!(error.advice().unwrap().contains("allowAnySHA1InWant"));
}

#[test]
fn an_old_copy_of_upstream_is_refused_whatever_the_mirror_serves() {
    for (upstream, mirror) in [Server::V2, Server::V0]
        .into_iter()
        .flat_map(|upstream| SERVERS.map(|mirror| (upstream, mirror)))
    {
        let what = format!("{upstream:?} to {mirror:?}");
        let mut poor = Poor::new(upstream, mirror, "merge");
        poor.source.publish_many("early", 3);
        poor.sync(&what);
        // No tip that was ever synced, and further back than the commits of the mirror that a sync reads.
        poor.source.publish_many("middle", 10);
        let old = poor.source.id("master");
        poor.source.publish_many("late", 20);
        poor.sync(&what);
        let before = git(&poor.mirror(), &["rev-parse", "master"]);
        let whole = poor.folder.path().join("whole.git");
        std::fs::rename(poor.source.path(), &whole).unwrap();
        copy_without_the_rest(&whole, poor.source.path(), &old);
        upstream.configure(poor.source.path());
        let error = poor.ferry.sync().expect_err(&what);
        assert_eq!(error.kind(), Kind::Rewound, "{what}: {}", told(&error));
        assert_eq!(git(&poor.mirror(), &["rev-parse", "master"]), before);
        std::fs::remove_dir_all(poor.source.path()).unwrap();
        std::fs::rename(&whole, poor.source.path()).unwrap();
        poor.source.publish_many("later", 1);
        assert_eq!(poor.sync(&what).outcome, Outcome::Merge, "{what}");
    }
}

#[test]
fn an_upstream_that_was_rewritten_is_followed_whatever_the_mirror_serves() {
    for mirror in SERVERS {
        let mut poor = Poor::new(Server::V2, mirror, "merge");
        poor.source.publish_many("withdrawn", 12);
        poor.sync("commits");
        poor.source.rewind(12).publish_many("instead", 2);
        let report = poor.sync(&format!("{mirror:?}"));
        assert_eq!(report.relation, Some(Relation::Diverged));
    }
}

#[test]
fn an_upstream_without_thin_packs_sends_whole_objects() {
    let mut poor = Poor::new(Server::V0, Server::V2, "merge");
    poor.servers.1.watch(|passing| {
        let is_wanted = passing.way == Way::Up && passing.bytes[4..].starts_with(b"want ");
        let wish = String::from_utf8_lossy(passing.bytes).into_owned();
        assert!(!is_wanted || !wish.contains("thin-pack"), "{wish}");
        hide(passing, &["thin-pack"]);
        Action::Pass
    });
    poor.source.publish_many("first", 3);
    poor.sync("commits");
}

#[test]
fn a_sha256_repository_on_either_side_is_refused_by_name() {
    for (name, side) in [("upstream.git", "upstream"), ("mirror.git", "mirror")] {
        for server in [Server::V2, Server::V0] {
            let poor = young(server, server);
            let repo = poor.folder.path().join(name);
            std::fs::remove_dir_all(&repo).unwrap();
            std::fs::create_dir_all(&repo).unwrap();
            let format = "--object-format=sha256";
            git(&repo, &["init", "-q", "--bare", "-b", "master", format]);
            let tree = git(&repo, &["mktree"]);
            let commit = git(&repo, &["commit-tree", "-m", "first", &tree]);
            git(&repo, &["update-ref", "refs/heads/master", &commit]);
            let error = poor.ferry.sync().expect_err("sha256 is carried");
            let said = told(&error);
            assert_eq!(error.kind(), Kind::Config, "{said}");
            assert!(said.contains("sha256") && said.contains(side), "{said}");
        }
    }
}

/// Puts private crates into the mirror, one in a folder that upstream changes and one elsewhere, and goes on from there.
fn live_with_private_crates(upstream: Server, mirror: Server, history: &str) {
    let mut poor = Poor::new(upstream, mirror, history);
    let what = |step: &str| format!("{upstream:?} to {mirror:?}, {history}, {step}");
    let beside = index_path("first-private");
    let private = Commit::new("Add private crates").file("my/pr/private", "{}\n");
    commit_to(&poor.mirror(), [private.file(&beside, "{}\n")]);
    for step in ["first", "second", "third"] {
        // All of them lie in the folder of the private one.
        poor.source.publish_many(&format!("first-{step}"), 2);
        assert_eq!(poor.sync(&what(step)).outcome, Outcome::Merge);
    }
    poor.source.squash();
    assert_eq!(poor.sync(&what("squash")).outcome, Outcome::Squash);
    poor.source.publish_many("first-fourth", 2);
    assert_eq!(
        poor.sync(&what("commits on a squash")).outcome,
        Outcome::Merge
    );
    for path in [beside.as_str(), "my/pr/private"] {
        git(
            &poor.mirror(),
            &["cat-file", "-e", &format!("master:{path}")],
        );
    }
}

#[test]
fn private_crates_deep_in_the_tree_stay_where_a_mirror_serves_no_ids() {
    for upstream in SERVERS {
        live_with_private_crates(upstream, Server::V0, "merge");
    }
    live_with_private_crates(Server::V2, Server::V0, "snapshot");
}

#[test]
fn private_crates_deep_in_the_tree_stay_where_no_side_filters() {
    live_with_private_crates(Server::V0, Server::V2, "merge");
    live_with_private_crates(Server::V2, Server::V2, "snapshot");
}

fn live_with_every_mirror(upstream: Server, history: &str) {
    for mirror in SERVERS {
        live(upstream, mirror, history);
    }
}

#[test]
fn upstream_in_version_2_without_filters() {
    live_with_every_mirror(Server::V2, "merge");
}

#[test]
fn upstream_in_version_0_by_default() {
    live_with_every_mirror(Server::V0, "merge");
}

#[test]
fn upstream_in_version_0_with_filters() {
    live_with_every_mirror(Server::V0Filters, "merge");
}

#[test]
fn upstream_in_version_0_with_filters_and_ids() {
    live_with_every_mirror(Server::V0Both, "merge");
}

#[test]
fn snapshots_from_an_upstream_that_serves_ids() {
    for upstream in SERVERS.into_iter().filter(|server| server.serves_ids()) {
        live_with_every_mirror(upstream, "snapshot");
    }
}

#[test]
fn snapshots_from_an_upstream_that_serves_no_ids_are_refused() {
    for upstream in SERVERS.into_iter().filter(|server| !server.serves_ids()) {
        let mut poor = Poor::new(upstream, Server::V2, "snapshot");
        poor.source.publish_many("first", 3);
        let error = poor.ferry.sync().expect_err("a snapshot without trees");
        assert_eq!(error.kind(), Kind::Config, "{}", told(&error));
        assert!(
            error.advice().unwrap().contains("history: merge"),
            "{error}"
        );
    }
}

#[test]
fn a_server_that_closes_the_connection_at_what_it_does_not_expect_is_asked_in_plain_words() {
    live(Server::Dulwich, Server::V2, "merge");
    live(Server::V2, Server::Dulwich, "merge");
    live(Server::Dulwich, Server::Dulwich, "merge");
    live(Server::V2, Server::Dulwich, "snapshot");
}

#[test]
fn packs_are_read_without_a_sideband() {
    live(Server::Bare, Server::V2, "merge");
    live(Server::V0Both, Server::Bare, "merge");
}

#[test]
fn a_server_without_shallow_is_told_in_one_sentence() {
    for is_upstream in [true, false] {
        let mut poor = Poor::new(Server::V2, Server::V2, "merge");
        let side = match is_upstream {
            true => &poor.servers.1,
            false => &poor.servers.2,
        };
        // What go-git's server is left with.
        side.watch(|passing| {
            let names = [
                "multi_ack",
                "side-band",
                "shallow",
                "thin-pack",
                "filter",
                "deepen",
            ];
            hide(passing, &names);
            Action::Pass
        });
        poor.source.publish_many("first", 1);
        if is_upstream {
            // The commits since the base need none.
            assert_eq!(poor.sync("commits").outcome, Outcome::Merge);
            let mirror = empty_mirror(poor.folder.path(), "new.git");
            let upstream = format!("git://127.0.0.1:{}/upstream.git", poor.servers.1.port());
            let error = Ferry::new(upstream, mirror.to_str().unwrap()).init();
            assert_lacks_shallow(&error.expect_err("everything is fetched"), "upstream");
        } else {
            let error = poor.ferry.sync().expect_err("everything is fetched");
            assert_lacks_shallow(&error, "mirror");
        }
    }
}

fn assert_lacks_shallow(error: &crates_ferry::error::Error, side: &str) {
    let said = told(error);
    assert_eq!(error.kind(), Kind::Config, "{said}");
    assert!(
        said.contains(side) && said.contains("does not offer `shallow`"),
        "{said}"
    );
}

#[test]
fn a_mirror_that_talks_to_one_client_at_a_time_is_not_kept_waiting() {
    let mut poor = Poor::new(Server::V2, Server::Dulwich, "merge");
    poor.source.publish_many("first", 2);
    let port = one_at_a_time(poor.servers.2.port());
    let upstream = format!("git://127.0.0.1:{}/upstream.git", poor.servers.1.port());
    let mirror = format!("git://127.0.0.1:{port}/mirror.git");
    poor.ferry = Ferry::new(upstream, mirror).with("FERRY_NETWORK_IDLE_TIMEOUT", "20s");
    assert_eq!(poor.sync("one client at a time").outcome, Outcome::Merge);
}

#[test]
fn a_hidden_head_at_which_the_server_hangs_up_is_an_answer() {
    for mirror in [Server::V2, Server::V0] {
        let mut poor = Poor::new(Server::V0, mirror, "merge");
        poor.servers.1.watch(|passing| {
            hide(passing, &[]);
            let is_refused = passing.bytes.windows(11).any(|part| part == b"not our ref");
            if passing.way == Way::Down && is_refused {
                passing.bytes.clear();
                return Action::HangUp;
            }
            Action::Pass
        });
        poor.source.publish_many("first", 2);
        poor.source.squash();
        poor.source.publish_many("second", 1);
        git(
            poor.source.path(),
            &["config", "transfer.hideRefs", "refs/heads/snapshot"],
        );
        for name in git(poor.source.path(), &["for-each-ref", "--format=%(refname)"]).lines() {
            if name.contains("snapshot") {
                git(
                    poor.source.path(),
                    &["config", "--add", "transfer.hideRefs", name],
                );
            }
        }
        let report = poor.ferry.sync();
        let report = report.unwrap_or_else(|error| panic!("{mirror:?}: {}", told(&error)));
        assert_eq!(report.outcome, Outcome::Squash);
    }
}

#[test]
fn a_first_mirror_without_addresses_of_its_own_needs_no_single_file_of_upstream() {
    for upstream in [Server::V0, Server::V0Filters, Server::Dulwich] {
        let poor = young(upstream, Server::V2);
        let mirror = empty_mirror(poor.folder.path(), "new.git");
        let url = format!("git://127.0.0.1:{}/upstream.git", poor.servers.1.port());
        let ferry = Ferry::new(url, mirror.to_str().unwrap());
        let ferry = ferry
            .with("FERRY_MIRROR_DL", "")
            .with("FERRY_MIRROR_API", "");
        let report = ferry.init();
        let report = report.unwrap_or_else(|error| panic!("{upstream:?}: {}", told(&error)));
        assert_eq!(report.outcome, Outcome::Created);
        let tree = |repo: &std::path::Path| git(repo, &["rev-parse", "master^{tree}"]);
        assert_eq!(tree(&mirror), tree(poor.source.path()), "{upstream:?}");
    }
}
