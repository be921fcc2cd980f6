//! Small repositories, and the little of git's wire that a transport's test needs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crates_ferry::git::transport::Limits;
use crates_ferry::git::transport::Stream;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// Returns time limits that a slow machine keeps.
pub fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(30),
        extra_cas: None,
    }
}

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

/// Reads pkt-lines up to a flush packet, as one text.
pub async fn advertisement(stream: &mut Stream) -> String {
    let mut text = String::new();
    loop {
        let mut length = [0; 4];
        stream.reader.read_exact(&mut length).await.unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
        if length == 0 {
            return text;
        }
        let mut line = vec![0; length - 4];
        stream.reader.read_exact(&mut line).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&line));
    }
}
