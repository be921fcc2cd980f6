//! A program of its own, and a small one: the kernel counts a child's peak memory from its parent's at the start.
//!
//! What the program takes of the machine that it runs on: little memory, whatever the index's size, and no disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod incompressible;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use incompressible::incompressible;
use support::daemon::GitDaemon;
use support::data::unbundle;
use support::ferry::{Ferry, empty_mirror};
use support::repo::git;
use support::upstream::{Upstream, bare};
use tempfile::TempDir;
use wait4::Wait4;

const MIB: u64 = 1024 * 1024;

/// What a command may take beyond a sync that has nothing to do, which maps what an unoptimised program maps of itself: some MiB more
/// than the one that people run, and more with each library.
const MEMORY: u64 = 16 * MIB;

/// An upstream, an empty mirror, and the program between them.
struct Stage {
    folder: TempDir,
    ferry: Ferry,
    _daemon: GitDaemon,
}

impl Stage {
    /// Serves the repositories `upstream.git` and `mirror.git`; the former is there already.
    fn set(folder: TempDir) -> Self {
        empty_mirror(folder.path(), "mirror.git");
        let daemon = GitDaemon::start(folder.path());
        let url = |name| format!("git://127.0.0.1:{}/{name}.git", daemon.port());
        Self {
            ferry: Ferry::new(url("upstream"), url("mirror")),
            folder,
            _daemon: daemon,
        }
    }

    /// Runs a command of the program in folders of its own, which must stay empty; returns its peak memory in bytes.
    fn run(&self, command: &str) -> u64 {
        let places = ["cwd", "home", "tmp"].map(|name| self.folder.path().join(name));
        for place in &places {
            std::fs::create_dir_all(place).unwrap();
        }
        let [cwd, home, tmp] = &places;
        let child = Command::new(assert_cmd::cargo::cargo_bin!("crates-ferry"))
            .env_clear()
            .envs(self.ferry.variables().iter().cloned())
            // As in the image.
            .env("MALLOC_ARENA_MAX", "2")
            .env("HOME", home)
            .env("TMPDIR", tmp)
            .current_dir(cwd)
            .arg(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let ended = child.wait4().unwrap();
        assert!(ended.status.success());
        for place in &places {
            assert_eq!(files_in(place), Vec::<PathBuf>::new());
        }
        ended.rusage.maxrss
    }

    fn assert_small(&self, command: &str) {
        let memory = self.run(command);
        // Now there is nothing left to do.
        let memory = memory.saturating_sub(self.run("sync"));
        println!("{command}: {:.1} MiB", memory as f64 / MIB as f64);
        assert!(memory <= MEMORY, "{command} took {memory} bytes");
    }

    /// Returns the size of the mirror's packs, in bytes.
    fn mirror_size(&self) -> u64 {
        let mirror = self.folder.path().join("mirror.git");
        let counted = git(&mirror, &["count-objects", "-v"]);
        let size = counted
            .lines()
            .find_map(|line| line.strip_prefix("size-pack: "));
        size.unwrap().parse::<u64>().unwrap() * 1024
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn init_and_sync_of_packs_larger_than_the_memory_they_may_take() {
    let folder = tempfile::tempdir().unwrap();
    let mut upstream = Upstream::create(folder.path(), "upstream.git");
    upstream.commit(incompressible("first", 2560, 64));
    let stage = Stage::set(folder);
    stage.assert_small("init");
    assert!(stage.mirror_size() > 40_000_000);

    upstream.commit(incompressible("second", 2560, 64));
    stage.assert_small("sync");
    assert!(stage.mirror_size() > 80_000_000);

    upstream.squash();
    upstream.commit(incompressible("third", 64, 1));
    stage.assert_small("sync");
    stage.assert_small("sync");
}

#[test]
fn init_of_the_real_index_of_2020_and_a_sync_of_all_its_commits() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = bare(folder.path(), "upstream.git");
    if !unbundle("index-2020.bundle", &upstream) {
        return;
    }
    let stage = Stage::set(folder);
    stage.assert_small("init");

    // Once more from its first commit on, so that all 40,584 commits are new.
    let mirror = stage.folder.path().join("mirror.git");
    std::fs::remove_dir_all(&mirror).unwrap();
    empty_mirror(stage.folder.path(), "mirror.git");
    let tip = git(&upstream, &["rev-parse", "master"]);
    let first = git(&upstream, &["rev-list", "--max-parents=0", "master"]);
    git(&upstream, &["update-ref", "refs/heads/master", &first]);
    stage.assert_small("init");
    git(&upstream, &["update-ref", "refs/heads/master", &tip]);
    stage.assert_small("sync");
}
