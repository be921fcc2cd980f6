//! Upstream and mirror as folders that are mounted into the container, which holds no git program.

use std::os::unix::fs::MetadataExt;

use super::container::{Image, RESTRICTED, text};
use crate::support::ferry::Ferry;
use crate::support::incompressible::incompressible;
use crate::support::mirror::Mirror;
use crate::support::upstream::Upstream;

#[test]
fn folders_with_packs_larger_than_the_containers_memory_are_carried() {
    let Some(image) = Image::built() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut upstream = Upstream::create(folder.path(), "upstream.git");
    let mirror = Mirror::empty(folder.path(), "mirror.git");
    let volume = format!("{}:/repositories", folder.path().display());
    let we = std::fs::metadata(folder.path()).unwrap().uid();
    // A repository that belongs to somebody else is refused by git and by the program alike.
    let owner = |user: u32| {
        let root = ["--user", "0", "--volume", &volume];
        image.shell(&root, &format!("chown -R {user} /repositories"));
    };
    let ferry = Ferry::new(
        "/repositories/upstream.git".to_owned(),
        "/repositories/mirror.git".to_owned(),
    );
    let carry = |command: &str| {
        owner(10001);
        let options = [&RESTRICTED[..], &["--volume", &volume]].concat();
        let output = image.run(&options, &ferry, &[command]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        owner(we);
    };

    upstream.commit(incompressible("first", 5120, 64));
    carry("init");
    upstream.commit(incompressible("second", 5120, 64));
    carry("sync");
    mirror.assert_is_upstream_plus_overlay(upstream.path(), &["config.json"]);
    mirror.assert_fsck_clean();
}
