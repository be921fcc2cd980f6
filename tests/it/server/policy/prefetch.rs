//! What a prefetch fetches where there is a policy.

use jiff::{SignedDuration, Timestamp};

use super::{MIN_AGE, publish};
use crate::support::server::{Site, files_in, printed};

/// Makes a site of which the newest versions are a day old.
fn site() -> Site {
    let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
    let mut site = Site::new();
    publish(&mut site, "foo", "1.0.0", None);
    publish(&mut site, "foo", "1.1.0", Some(yesterday));
    publish(&mut site, "fresh", "0.1.0", Some(yesterday));
    publish(&mut site, "evil", "1.0.0", None);
    site
}

fn stored(site: &Site) -> Vec<String> {
    let files = files_in(&site.data().join("crates")).into_iter();
    let mut names: Vec<_> = files
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name.ends_with(".crate"))
        .collect();
    names.sort();
    names
}

const DENY: (&str, &str) = ("FERRY_POLICY_DENY", "evil");

#[test]
fn the_latest_version_is_one_that_is_not_on_hold_and_a_denied_one_is_not_fetched() {
    let site = site();
    let run = |arguments: &[&str]| site.run_with(&[MIN_AGE, DENY], arguments);
    printed(&run(&["prefetch", "--latest"]), 0);
    assert_eq!(stored(&site), ["foo-1.0.0.crate"]);
    printed(&run(&["prefetch", "--all"]), 0);
    assert_eq!(
        stored(&site),
        ["foo-1.0.0.crate", "foo-1.1.0.crate", "fresh-0.1.0.crate"]
    );
}

#[test]
fn a_named_version_is_fetched_while_it_is_on_hold_and_missing_while_it_is_denied() {
    let site = site();
    let run = |arguments: &[&str]| site.run_with(&[MIN_AGE, DENY], arguments);
    let said = printed(
        &run(&["prefetch", "--crate", "foo@1.1.0", "--crate", "evil@1.0.0"]),
        1,
    );
    assert_eq!(stored(&site), ["foo-1.1.0.crate"]);
    assert!(
        said.contains("evil 1.0.0: denied: policy.deny: evil"),
        "{said}"
    );
    let said = printed(&run(&["prefetch", "--crate", "fresh"]), 1);
    let told = "fresh: the index lists no version of it that is neither yanked, on hold nor denied";
    assert!(said.contains(told), "{said}");
}
