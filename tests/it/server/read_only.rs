//! A store folder that can only be read.

use crate::support::mount::ReadOnly;
use crate::support::server::{Site, noise};

#[test]
fn a_folder_that_is_read_only_is_read() {
    let mut site = Site::new();
    let files: Vec<_> = [1_000, 2_000_000, 3_000].map(|size| noise(size, 1)).into();
    for (number, bytes) in files.iter().enumerate() {
        site.publish("foo", &format!("{number}.0.0"), bytes);
    }
    let server = site.serve(&[]);
    for number in 0..2 {
        let version = format!("{number}.0.0");
        assert!(server.download("foo", &version).is_whole);
        server.wait_for("kept", || site.kept("foo", &version).is_file());
    }
    drop(server);
    let Some(_folder) = ReadOnly::make(&site.data().join("crates")) else {
        eprintln!("no folder can be mounted by this user");
        return;
    };
    assert!(std::fs::write(site.data().join("crates/x"), b"").is_err());
    let server = site.serve(&[]);
    for (number, bytes) in files.iter().enumerate() {
        let got = server.download("foo", &format!("{number}.0.0"));
        assert!(got.is_whole && got.body == *bytes, "{}", server.log());
    }
    // One was not held; it was served without being kept.
    assert_eq!(site.host.requests().len(), 3);
    server.wait_for("told", || {
        server.metric("crates_ferry_store_write_failures_total") == 1.0
    });
    assert_eq!(server.metric("crates_ferry_store_files"), 2.0);
}
