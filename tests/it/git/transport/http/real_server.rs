//! Against `git http-backend` behind lighttpd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::{Bytes, BytesMut};
use crates_ferry::error::Kind;
use crates_ferry::git::transport::Service;
use tempfile::TempDir;

use super::{limits, login, remote, remote_as, text};
use crate::support::lighttpd::Lighttpd;

/// A folder with a bare repository `a.git` of one commit on `master`, which takes pushes.
pub(crate) struct Repositories {
    pub(crate) folder: TempDir,
    pub(crate) tip: String,
}

impl Repositories {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repo = folder.path().join("a.git");
        git(
            folder.path(),
            &["init", "-q", "--bare", "-b", "master", "a.git"],
            b"",
        );
        git(&repo, &["config", "http.receivepack", "true"], b"");
        let mut made = Self {
            folder,
            tip: String::new(),
        };
        made.tip = made.commit(&repo, b"first", &[]);
        git(&repo, &["update-ref", "refs/heads/master", &made.tip], b"");
        made
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.folder.path().join("a.git")
    }

    /// Makes a commit with one file and returns its id; no branch points to it.
    pub(crate) fn commit(&self, repo: &Path, content: &[u8], parents: &[&str]) -> String {
        let blob = git(repo, &["hash-object", "-w", "--stdin"], content);
        let entry = format!("100644 blob {blob}\tfile\n");
        let tree = git(repo, &["mktree"], entry.as_bytes());
        let mut arguments = vec!["commit-tree", "-m", "A commit", &tree];
        for parent in parents {
            arguments.extend(["-p", *parent]);
        }
        git(repo, &arguments, b"")
    }

    pub(crate) fn master(&self) -> String {
        git(&self.repo(), &["rev-parse", "refs/heads/master"], b"")
    }
}

pub(crate) fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    let output = git_bytes(folder, arguments, input);
    String::from_utf8(output).unwrap().trim().to_owned()
}

pub(crate) fn git_bytes(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@mail.example"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "")
        .stdin(std::fs::File::open(file.path()).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

pub(crate) fn pkt(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

#[tokio::test]
async fn the_advertisement_of_protocol_2_begins_with_its_version() {
    let repositories = Repositories::new();
    let Some(server) = Lighttpd::start(repositories.folder.path(), None) else {
        return;
    };
    let remote = remote(&server.url("a.git"));
    let reader = remote
        .advertisement(Service::UploadPack, true)
        .await
        .unwrap();
    let advertisement = text(reader).await;
    assert!(
        advertisement.starts_with("000eversion 2\n"),
        "{advertisement}"
    );
    assert!(advertisement.contains("ls-refs"), "{advertisement}");
}

#[tokio::test]
async fn the_advertisement_of_protocol_0_begins_with_a_ref() {
    let repositories = Repositories::new();
    let Some(server) = Lighttpd::start(repositories.folder.path(), None) else {
        return;
    };
    let remote = remote(&server.url("a.git/"));
    for service in [Service::UploadPack, Service::ReceivePack] {
        let advertisement = text(remote.advertisement(service, false).await.unwrap()).await;
        assert_eq!(&advertisement[4..44], repositories.tip, "{service:?}");
    }
}

#[tokio::test]
async fn ls_refs_by_post_shows_the_branch_and_is_counted() {
    let repositories = Repositories::new();
    let Some(server) = Lighttpd::start(repositories.folder.path(), None) else {
        return;
    };
    let traffic = std::sync::Arc::new(crates_ferry::git::transport::Traffic::default());
    let url = url::Url::parse(&server.url("a.git")).unwrap();
    let counted = std::sync::Arc::clone(&traffic);
    let remote = super::HttpRemote::new(&url, None, &limits(), counted).unwrap();
    let ask = pkt("command=ls-refs\n") + "0001" + &pkt("ref-prefix refs/heads/\n") + "0000";
    let sent = ask.len() as u64;
    let reader = remote.post(Service::UploadPack, true, ask.into()).await;
    let answer = text(reader.unwrap()).await;
    assert_eq!(
        answer,
        pkt(&format!("{} refs/heads/master\n", repositories.tip)) + "0000"
    );
    assert_eq!(traffic.sent(), sent);
    assert_eq!(traffic.received(), answer.len() as u64);
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_not_found() {
    let repositories = Repositories::new();
    let Some(server) = Lighttpd::start(repositories.folder.path(), None) else {
        return;
    };
    let remote = remote(&server.url("b.git"));
    let error = remote.advertisement(Service::UploadPack, true).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), Kind::Permission);
    assert!(error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn a_repository_that_takes_no_pushes_says_so() {
    let repositories = Repositories::new();
    let forbid = ["config", "http.receivepack", "false"];
    git(&repositories.repo(), &forbid, b"");
    let Some(server) = Lighttpd::start(repositories.folder.path(), None) else {
        return;
    };
    let remote = remote(&server.url("a.git"));
    let error = remote.advertisement(Service::ReceivePack, false).await;
    assert_eq!(error.err().unwrap().kind(), Kind::Permission);
}

#[tokio::test]
async fn a_login_is_needed_checked_and_accepted() {
    let repositories = Repositories::new();
    let account = Some(("bot", "secret"));
    let Some(server) = Lighttpd::start(repositories.folder.path(), account) else {
        return;
    };
    let url = server.url("a.git");
    for (credentials, advice) in [
        (None, "Set FERRY_MIRROR_TOKEN"),
        (login("bot", "wrong"), "Check FERRY_MIRROR_TOKEN"),
        (login("gitlab-ci-token", "job"), "Allow Git push requests"),
    ] {
        let remote = remote_as(&url, credentials, &limits());
        let error = remote.advertisement(Service::UploadPack, true).await;
        let error = error.err().unwrap();
        assert_eq!(error.kind(), Kind::Auth);
        assert!(error.advice().unwrap().contains(advice), "{error:?}");
    }
    let remote = remote_as(&url, login("bot", "secret"), &limits());
    let reader = remote
        .advertisement(Service::UploadPack, true)
        .await
        .unwrap();
    assert!(text(reader).await.starts_with("000eversion 2\n"));
    let body = Bytes::from(BytesMut::from("0000"));
    assert!(remote.post(Service::UploadPack, true, body).await.is_ok());
}
