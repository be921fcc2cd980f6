//! Which repositories are served, with a git program and without one.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::ferry::{Ferry, empty_mirror};
use crate::support::repo::git;
use crate::support::skip::skip;
use crate::support::upstream::Upstream;

/// An upstream and an empty mirror in folders, and the program in a process of its own.
struct Place {
    folder: TempDir,
    upstream: Upstream,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let mut upstream = Upstream::create(folder.path(), "upstream.git");
        upstream.publish_many("crate", 12);
        empty_mirror(folder.path(), "mirror.git");
        Self { folder, upstream }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn mirror(&self) -> std::path::PathBuf {
        self.path("mirror.git")
    }

    /// Runs a command of the program; with no git program, unless `path` says where one is.
    fn run(&self, command: &str, upstream: &Path, path: &str) -> Output {
        let ferry = Ferry::new(upstream.to_str().unwrap(), self.mirror().to_str().unwrap());
        Command::new(assert_cmd::cargo::cargo_bin!("crates-ferry"))
            .env_clear()
            .envs(ferry.variables().iter().cloned())
            .env("HOME", self.path("home"))
            .env("PATH", path)
            .current_dir(self.path("home"))
            .arg(command)
            .output()
            .unwrap()
    }

    fn succeeds(&self, command: &str) {
        let output = self.run(command, self.upstream.path(), "/nowhere");
        assert!(output.status.success(), "{output:?}");
        git(&self.mirror(), &["fsck", "--full", "--strict"]);
    }

    /// Runs `init` where that must fail as a matter of configuration; returns what the program says.
    fn fails(&self, upstream: &Path) -> String {
        let output = self.run("init", upstream, "/nowhere");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[test]
fn a_folder_that_looks_like_a_host_is_one_once_it_exists() {
    let place = Place::new();
    for name in ["git@h.example/upstream.git", "h.example/upstream.git"] {
        let said = place.fails(Path::new(name));
        assert!(said.contains("git@h.example:upstream.git"), "{said}");
    }
    let folder = place.path("home/h.example");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(place.upstream.path(), folder.join("upstream.git")).unwrap();
    let output = place.run("init", Path::new("h.example/upstream.git"), "/nowhere");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_mirror_lives_in_folders_without_a_git_program() {
    let mut place = Place::new();
    place.succeeds("init");
    place.upstream.publish_many("late", 5);
    place.succeeds("sync");
    place.upstream.squash();
    place.upstream.publish_many("later", 3);
    place.succeeds("sync");
    place.succeeds("check");
    let tree = |repo: &Path| git(repo, &["rev-parse", "master:cr"]);
    assert_eq!(tree(&place.mirror()), tree(place.upstream.path()));
    let objects = std::fs::read_dir(place.mirror().join("objects")).unwrap();
    let names = objects.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        names
            .into_iter()
            .all(|name| ["info", "pack"].contains(&name.as_str()))
    );
}

#[test]
fn a_list_of_objects_to_skip_may_be_in_the_home() {
    let place = Place::new();
    git(&place.mirror(), &["config", "receive.fsckObjects", "true"]);
    git(
        &place.mirror(),
        &["config", "receive.fsck.skipList", "~/skipped"],
    );
    std::fs::write(place.path("home/skipped"), "# none\n").unwrap();
    place.succeeds("init");
}

#[test]
fn a_repository_that_libgit2_cannot_read_is_handed_to_git_or_named() {
    let place = Place::new();
    let upstream = place.upstream.path().to_str().unwrap();
    let reftable = place.path("reftable.git");
    let clone = |arguments: &[&str], to: &Path| {
        let arguments = [
            &["clone", "-q", "--bare"][..],
            arguments,
            &[to.to_str().unwrap()],
        ]
        .concat();
        git(place.folder.path(), &arguments);
    };
    clone(&["--ref-format=reftable", upstream], &reftable);
    let partial = place.path("partial.git");
    clone(
        &["--filter=blob:none", &format!("file://{upstream}")],
        &partial,
    );
    for (repo, what) in [(&reftable, "reftable"), (&partial, "partial clone")] {
        let said = place.fails(repo);
        assert!(
            said.contains(what) && said.contains("git, which could, is not installed"),
            "{said}"
        );
    }
    let path = std::env::var("PATH").unwrap();
    let output = place.run("init", &reftable, &path);
    assert!(output.status.success(), "{output:?}");
    git(&place.mirror(), &["fsck", "--full", "--strict"]);
}

#[test]
fn a_repository_that_no_program_can_carry_is_refused_with_the_reason() {
    let place = Place::new();
    let other = place.path("sha256.git");
    git(
        place.folder.path(),
        &[
            "init",
            "-q",
            "--bare",
            "--object-format=sha256",
            "sha256.git",
        ],
    );
    let said = place.fails(&other);
    assert!(
        said.contains("object format sha256") && !said.contains("is not installed"),
        "{said}"
    );
    std::fs::write(other.join("config"), "[core\n").unwrap();
    let said = place.fails(&other);
    assert!(
        said.contains("Correct the configuration file") && said.contains("sha256.git/config"),
        "{said}"
    );
}

#[test]
fn a_repository_of_somebody_else_is_served_once_it_is_named_as_safe() {
    let place = Place::new();
    if std::os::unix::fs::chown(place.upstream.path(), Some(4321), None).is_err() {
        skip("only root can give a folder away");
        return;
    }
    let said = place.fails(place.upstream.path());
    assert!(
        said.contains("belongs to another user") && said.contains("safe.directory"),
        "{said}"
    );
    let config = format!(
        "[safe]\n\tdirectory = {}\n",
        place.upstream.path().display()
    );
    std::fs::write(place.path("home/.gitconfig"), config).unwrap();
    place.succeeds("init");
}

/// Runs the program as a user whom no folder belongs to; nothing where the machine does not allow that.
fn run_as_nobody(place: &Place, command: &str) -> Option<Output> {
    use std::os::unix::fs::PermissionsExt;
    // The folder of a test is its user's alone.
    std::fs::set_permissions(place.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = place.path("program");
    std::fs::copy(assert_cmd::cargo::cargo_bin!("crates-ferry"), &program).unwrap();
    std::fs::write(place.path("home/.gitconfig"), "[safe]\n\tdirectory = *\n").unwrap();
    let ferry = Ferry::new(
        place.upstream.path().to_str().unwrap(),
        place.mirror().to_str().unwrap(),
    );
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .arg(command)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", place.path("home"))
        .envs(ferry.variables().iter().cloned())
        .current_dir(place.path("home"))
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    (!said.starts_with("setpriv: ")).then_some(output)
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told_by_a_check_and_by_a_push() {
    let place = Place::new();
    for (command, code) in [("check", 1), ("init", 3)] {
        let Some(output) = run_as_nobody(&place, command) else {
            skip("only root can become another user");
            return;
        };
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("objects cannot be written to"), "{said}");
        assert!(said.contains("look at the owner and the mode"), "{said}");
        assert!(!said.contains("passed   push"), "{said}");
    }
}
