//! A push that is killed leaves nothing for good: the next one removes it, and nothing that a running one needs.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::fsck;
use crate::support::ferry::{Ferry, empty_mirror};
use crate::support::repo::{git, repos};
use crate::support::upstream::Upstream;

/// An upstream and a mirror in folders.
struct Folders {
    repos: TempDir,
    upstream: Upstream,
    mirror: PathBuf,
}

impl Folders {
    fn new() -> Self {
        let repos = repos();
        let mut upstream = Upstream::create(repos.path(), "upstream.git");
        upstream.publish_many("old", 5);
        let mirror = empty_mirror(repos.path(), "mirror.git");
        Self {
            repos,
            upstream,
            mirror,
        }
    }

    fn ferry(&self, command: &str) -> Output {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let ferry = Ferry::new(text(self.upstream.path()), text(&self.mirror));
        let variables = ferry.variables().iter().cloned();
        Command::new(env!("CARGO_BIN_EXE_crates-ferry"))
            .arg(command)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.repos.path())
            .envs(variables)
            .output()
            .unwrap()
    }

    /// Lets a hook kill the process that runs it.
    fn kill_in(&self, hook: &str, condition: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.mirror.join("hooks").join(hook);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let script = format!("#!/bin/sh\n{condition} || exit 0\nkill -9 $PPID\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn spare(&self, hook: &str) {
        std::fs::remove_file(self.mirror.join("hooks").join(hook)).unwrap();
    }

    /// Returns what only a push that is under way has there.
    fn left(&self) -> Vec<String> {
        let objects = self.mirror.join("objects");
        let names = |folder: &Path| {
            let entries = std::fs::read_dir(folder).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<Vec<_>>()
        };
        let mut all = names(&objects);
        all.extend(names(&objects.join("pack")));
        all.retain(|name| {
            name.starts_with("tmp_") || name.starts_with('.') || name.ends_with(".keep")
        });
        all
    }

    fn carried(&self, command: &str) {
        let output = self.ferry(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(self.left(), Vec::<String>::new(), "{said}");
        fsck(&self.mirror);
    }
}

#[test]
fn the_next_push_removes_what_a_killed_one_left() {
    let mut folders = Folders::new();
    for command in ["init", "sync"] {
        // In quarantine, and once the pack is the repository's but no ref leads to it.
        for (hook, condition, what) in [
            ("pre-receive", "true", "tmp_objdir-incoming-"),
            ("reference-transaction", "test \"$1\" = prepared", ".keep"),
        ] {
            folders.kill_in(hook, condition);
            let output = folders.ferry(command);
            assert_eq!(
                output.status.signal(),
                Some(9),
                "{command}, {hook}: {output:?}"
            );
            let left = folders.left();
            assert!(left.iter().any(|name| name.contains(what)), "{left:?}");
            folders.spare(hook);
        }
        folders.carried(command);
        // Nothing keeps a pack from git's own tidying.
        git(&folders.mirror, &["gc", "-q", "--prune=now"]);
        fsck(&folders.mirror);
        folders.upstream.publish_many("new", 3);
    }
}

#[test]
fn a_keep_of_somebody_elses_stays() {
    let folders = Folders::new();
    folders.carried("init");
    let pack = folders.mirror.join("objects/pack");
    std::fs::write(pack.join("pack-a.keep"), "receive-pack 1 on git.example\n").unwrap();
    std::fs::write(pack.join("pack-b.keep"), "").unwrap();
    let mut folders = folders;
    folders.upstream.publish_many("new", 3);
    assert!(folders.ferry("sync").status.success());
    let mut left = folders.left();
    left.sort();
    assert_eq!(left, ["pack-a.keep", "pack-b.keep"]);
}
