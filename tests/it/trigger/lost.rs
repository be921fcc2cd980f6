//! What is done and not heard of: helpers that are killed, answers that never arrive.

use crates_ferry::config::History;
use serde_json::json;

use super::mirrors::Site;
use crate::support::repo::git;
use crate::support::trigger::Helper;

#[test]
fn killed_at_any_moment_and_started_again_nothing_is_lost() {
    let mut site = Site::new(History::Merge);
    for round in 0..8 {
        // What was fired before must not carry this round's commit, but where pipelines under way are met.
        if round % 4 != 0 {
            site.gitlab.wait_for_ends(site.gitlab.pipelines().len());
        }
        let requests = site.gitlab.requests().len();
        let ended = site.gitlab.pipelines().len();
        site.publish(&format!("round-{round}"));
        let helper = Helper::start(&site.variables());
        // The moments: before the first poll, at any request, after the push.
        match round % 4 {
            0 => {}
            1 => site.gitlab.wait_for_requests(requests + 1),
            2 => drop(helper.wait_for("fired", |status| status["fired"] != json!(0))),
            _ => site.gitlab.wait_for_ends(ended + 1),
        }
        drop(helper);
    }
    let helper = Helper::start(&site.variables());
    site.wait_until_abreast(&helper);
    assert!(site.is_abreast());
    let path = site.world.folder().join("mirror.git");
    git(&path, &["fsck", "--strict"]);
}

#[test]
fn killed_while_gitlab_thinks_it_is_carried_by_the_next() {
    let mut site = Site::new(History::Merge);
    for round in 1..=3 {
        site.gitlab.hold();
        let requests = site.gitlab.requests().len();
        let helper = Helper::start(&site.variables());
        site.wait_until_abreast(&helper);
        site.publish(&format!("round-{round}"));
        site.gitlab.wait_for_requests(requests + 1);
        drop(helper);
        site.gitlab.release();
        let next = Helper::start(&site.variables());
        site.wait_until_abreast(&next);
        assert!(site.is_abreast());
    }
    site.gitlab.wait_for_ends(site.gitlab.pipelines().len());
    assert_eq!(site.gitlab.most_running(), 1);
}
