//! A disk that is full: a small tmpfs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::server::{Site, files_in, noise};

/// A mounted tmpfs; dropping it takes it away.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one of that size; `None` where this user may not.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output()
            .ok()?;
        mounted.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_keeps_nothing_wrong_and_small_files_are_served_all_the_same() {
    let mut site = Site::new();
    let files = [noise(100_000, 1), noise(3_000_000, 2)];
    site.publish("foo", "0.0.0", &files[0]);
    site.publish("foo", "1.0.0", &files[1]);
    let Some(_disk) = Tmpfs::mount(&site.data(), "2m") else {
        eprintln!("skipped: no tmpfs can be mounted by this user");
        return;
    };
    let server = site.serve(&[]);
    let filler = site.data().join("filler");
    let mut left = 1 << 22;
    while left > 0 {
        match std::fs::write(&filler, vec![0; left]) {
            Ok(()) => break,
            Err(_) => left /= 2,
        }
    }
    let fill =
        |number: usize| std::fs::write(site.data().join(format!("filler-{number}")), vec![0; 4096]);
    let mut number = 0;
    while fill(number).is_ok() {
        number += 1;
    }
    let small = server.download("foo", "0.0.0");
    assert!(small.is_whole && small.body == files[0], "{}", server.log());
    server.wait_for("told", || server.log().contains("cannot be kept"));
    let large = server.download("foo", "1.0.0");
    assert!(large.status == 507 || !large.is_whole, "{}", large.status);
    assert!(
        files_in(&site.data().join("crates"))
            .iter()
            .all(|path| { std::fs::read(path).unwrap() == files[0] })
    );
    for path in files_in(&site.data()) {
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("filler")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    drop(server);
    let server = site.serve(&[("FERRY_SERVE_MEMORY", "0")]);
    for _ in 0..2 {
        let got = server.download("foo", "0.0.0");
        assert!(got.is_whole && got.body == files[0]);
    }
    server.wait_for("kept", || site.kept("foo", "0.0.0").is_file());
}
