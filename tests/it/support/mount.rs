//! Disks that are full or read-only, for those who may mount.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder or file mounted over itself so that not even root can write it; dropping it makes it writable again.
pub struct ReadOnly(PathBuf);

impl ReadOnly {
    /// `None` where this user may not mount.
    pub fn make(folder: &Path) -> Option<Self> {
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

/// A mounted tmpfs; dropping it takes it away.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one of that size; `None` where this user may not.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
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
