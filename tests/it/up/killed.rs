//! Killed at each of its stages, and started again.

use super::{start, wait_until_ready};
use crate::support::mirror::Mirror;
use crate::support::repo::git;
use crate::support::server::Site;

/// What the log says when a stage has begun.
const STAGES: [&str; 5] = [
    "listening on",
    "the mirror is empty",
    "the mirror: created",
    "the index is at",
    "the catalog has",
];

#[test]
fn it_starts_again_and_is_whole() {
    for stage in STAGES {
        let mut site = Site::new();
        site.index.publish_many("old", 300);
        site.publish("foo", "1.0.0", b"foo");
        let mirror = Mirror::empty(site.folder.path(), "mirror.git");
        let path = mirror.path().display().to_string();
        let pairs = [("FERRY_MIRROR_URL", path.as_str())];
        let server = start(&site, &pairs, &["--init"]);
        server.wait_for(stage, || server.log().contains(stage));
        server.kill();
        let server = start(&site, &pairs, &["--init"]);
        wait_until_ready(&site, &server);
        assert_eq!(server.entry("foo").status, 200, "{stage}");
        assert_eq!(server.download("foo", "1.0.0").body, b"foo");
        assert!(mirror.read("3/f/foo").is_some(), "{stage}");
        git(mirror.path(), &["fsck", "--strict"]);
        git(&site.data().join("index.git"), &["fsck", "--strict"]);
    }
}
