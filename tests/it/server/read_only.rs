//! A store folder that can only be read.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::server::{Site, noise};

/// A folder mounted over itself so that not even root can write it; dropping it makes it writable again.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// `None` where this user may not mount.
    fn make(folder: &Path) -> Option<Self> {
        let mount = |arguments: &[&str]| {
            let mounted = Command::new("mount").args(arguments).arg(folder).output();
            mounted.is_ok_and(|mounted| mounted.status.success())
        };
        let itself = folder.display().to_string();
        if !mount(&["--bind", &itself]) {
            return None;
        }
        let made = Self(folder.to_owned());
        mount(&["-o", "remount,ro,bind"]).then_some(made)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

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
