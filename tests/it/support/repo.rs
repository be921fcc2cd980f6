//! Small repositories, and git itself.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Prepares git in a folder: a fixed identity, and nothing of the person's or the machine's own configuration.
pub fn git_command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(["-c", "user.name=a", "-c", "user.email=a@b.example", "-C"])
        .arg(folder);
    command
}

/// Runs git in a folder and returns what it prints.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = git_command(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a folder with the bare repository `group/index.git` of one empty commit.
pub fn repos() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("group/index.git");
    std::fs::create_dir_all(&repo).unwrap();
    git(&repo, &["init", "-q", "--bare", "-b", "master"]);
    let tree = git(&repo, &["mktree"]);
    let commit = git(&repo, &["commit-tree", "-m", "first", &tree]);
    git(&repo, &["update-ref", "refs/heads/master", &commit]);
    folder
}
