//! The `git://` and local transports against the real git.

use std::path::Path;
use std::time::Duration;

use crate::support::client::{advertisement, limits};
use crate::support::daemon::GitDaemon;
use crate::support::frames::packet;
use crate::support::repo::repos;
use crates_ferry::error::Kind;
use crates_ferry::git::transport::Limits;
use crates_ferry::git::transport::git::GitRemote;
use crates_ferry::git::transport::local::LocalRemote;
use crates_ferry::git::transport::{Credentials, Remote, Service, Side, UploadPack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn local(path: &Path) -> LocalRemote {
    LocalRemote::new(path, &limits())
}

#[tokio::test]
async fn a_folder_speaks_version_2_and_takes_pushes() {
    let repos = repos();
    let remote = local(&repos.path().join("group/index.git"));
    let mut fetch = remote.open(Service::UploadPack).await.unwrap();
    assert!(advertisement(&mut fetch).await.starts_with("version 2\n"));
    let command = b"0014command=ls-refs\n0000";
    fetch.writer.write_all(command).await.unwrap();
    let refs = advertisement(&mut fetch).await;
    assert!(refs.ends_with(" refs/heads/master\n"), "{refs}");

    let mut push = remote.open(Service::ReceivePack).await.unwrap();
    assert!(advertisement(&mut push).await.contains("report-status"));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_a_matter_of_configuration() {
    let repos = repos();
    let file = repos.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, why) in [
        (repos.path().join("missing.git"), "does not exist"),
        (file, "is not a folder"),
    ] {
        let Err(error) = local(&path).open(Service::UploadPack).await else {
            panic!("{} was opened", path.display());
        };
        assert_eq!(error.kind(), Kind::Config);
        let said = error.to_string();
        assert!(
            said.contains(path.to_str().unwrap()) && said.ends_with(why),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_no_repository_is_a_matter_of_configuration() {
    let repos = repos();
    let opened = local(&repos.path().join("group"))
        .open(Service::UploadPack)
        .await;
    let Err(error) = opened else {
        panic!("it was opened");
    };
    assert_eq!(error.kind(), Kind::Config);
    let said = error.to_string();
    assert!(
        said.contains("does not appear to be a git repository"),
        "{said}"
    );
}

#[tokio::test]
async fn a_daemon_speaks_the_version_that_is_asked_for() {
    let repos = repos();
    let daemon = GitDaemon::start(repos.path());
    let remote = GitRemote::new("localhost", daemon.port(), "/group/index.git", &limits());
    let (fetch, plain, push) = tokio::join!(
        remote.open(Service::UploadPack, true),
        remote.open(Service::UploadPack, false),
        remote.open(Service::ReceivePack, true),
    );
    assert!(
        advertisement(&mut fetch.unwrap())
            .await
            .starts_with("version 2\n")
    );
    assert!(advertisement(&mut plain.unwrap()).await.contains(" HEAD\0"));
    assert!(
        advertisement(&mut push.unwrap())
            .await
            .contains("report-status")
    );
}

#[tokio::test]
async fn a_daemon_that_is_not_there_cannot_be_reached() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let remote = GitRemote::new("127.0.0.1", port, "/index", &limits());
    let Err(error) = remote.open(Service::UploadPack, true).await else {
        panic!("somebody answered");
    };
    assert_eq!(error.kind(), Kind::Network);
    assert_eq!(
        error.to_string(),
        format!("cannot connect to 127.0.0.1:{port}")
    );
    assert!(!error.causes().is_empty());
}

#[tokio::test]
async fn a_daemon_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let impatient = Limits {
        idle_timeout: Duration::from_millis(50),
        ..limits()
    };
    let remote = GitRemote::new("127.0.0.1", port, "/index", &impatient);
    let mut stream = remote.open(Service::UploadPack, true).await.unwrap();
    let error = stream.reader.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_daemon_that_takes_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let impatient = Limits {
        idle_timeout: Duration::from_millis(50),
        ..limits()
    };
    let remote = GitRemote::new("127.0.0.1", port, "/index", &impatient);
    let mut stream = remote.open(Service::ReceivePack, false).await.unwrap();
    let error = stream
        .writer
        .write_all(&vec![0; 64 << 20])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_list_of_refs_that_breaks_off_is_not_read_on_by_the_next_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("git://{}/index", listener.local_addr().unwrap());
    let list = |digit: &str| {
        let line = format!("{} refs/heads/master\n", digit.repeat(40));
        [packet(&line), b"0000".to_vec()].concat()
    };
    let garbage = [packet("no ref\n"), list("1")].concat();
    let half = list("1")[..20].to_vec();
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        for answer in [garbage, half, list("2")] {
            let (mut client, _) = listener.accept().await.unwrap();
            let head = [packet("version 2\n"), packet("ls-refs\n"), b"0000".to_vec()].concat();
            client.write_all(&[head, answer].concat()).await.unwrap();
            open.push(client);
        }
        open
    });
    let remote = Remote::new(
        Side::Mirror,
        &url.parse().unwrap(),
        &Credentials::default(),
        &limits(),
    )
    .unwrap();
    let mut client = UploadPack::open(&remote).await.unwrap();
    assert!(client.refs("refs/heads/master").await.is_err());
    // The second answer does not end: whoever waits for it gives up.
    let given_up =
        tokio::time::timeout(Duration::from_millis(50), client.refs("refs/heads/master"));
    assert!(given_up.await.is_err());
    let refs = client.refs("refs/heads/master").await.unwrap();
    assert_eq!(
        refs.branches["refs/heads/master"].to_string(),
        "2".repeat(40)
    );
    assert_eq!(server.await.unwrap().len(), 3);
}
