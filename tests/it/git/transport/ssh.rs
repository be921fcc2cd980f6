//! Services over ssh, from a real sshd.

use std::process::Command;
use std::time::Duration;

use crate::support::client::{advertisement, limits};
use crate::support::repo::{git, repos};
use crate::support::sshd::{Options, Sshd};
use crates_ferry::error::Kind;
use crates_ferry::git::transport::Limits;
use crates_ferry::git::transport::Service;
use crates_ferry::git::transport::ssh::SshRemote;
use crates_ferry::git::transport::{Credentials, Remote, Side, UploadPack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REPO: &str = "/group/index.git";

#[tokio::test]
async fn version_2_is_spoken_where_the_server_takes_the_variable() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let remote = sshd.remote(&sshd.credentials());
    let mut stream = remote.open(Service::UploadPack, true).await.unwrap();
    assert!(advertisement(&mut stream).await.starts_with("version 2\n"));
    let mut plain = remote.open(Service::UploadPack, false).await.unwrap();
    assert!(advertisement(&mut plain).await.contains(" HEAD\0"));
}

#[tokio::test]
async fn version_0_is_spoken_where_the_server_drops_the_variable() {
    let repos = repos();
    let options = Options {
        accept_env: false,
        ..Options::new(repos.path())
    };
    let Some(sshd) = Sshd::start(&options) else {
        return;
    };
    let remote = sshd.remote(&sshd.credentials());
    let mut stream = remote.open(Service::UploadPack, true).await.unwrap();
    let head = git(
        &repos.path().join("group/index.git"),
        &["rev-parse", "HEAD"],
    );
    let advertised = advertisement(&mut stream).await;
    assert!(
        advertised.starts_with(&format!("{head} HEAD\0")),
        "{advertised}"
    );
}

#[tokio::test]
async fn services_opened_at_once_share_one_connection() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let remote = sshd.remote(&sshd.credentials());
    let (fetch, push) = tokio::join!(
        remote.open(Service::UploadPack, true),
        remote.open(Service::ReceivePack, true),
    );
    let (mut fetch, mut push) = (fetch.unwrap(), push.unwrap());
    let (fetched, pushed) = tokio::join!(advertisement(&mut fetch), advertisement(&mut push));
    assert!(fetched.starts_with("version 2\n"), "{fetched}");
    assert!(pushed.contains("report-status"), "{pushed}");
    drop(remote);
    fetch
        .writer
        .write_all(b"0014command=ls-refs\n0000")
        .await
        .unwrap();
    assert!(
        advertisement(&mut fetch)
            .await
            .ends_with(" refs/heads/master\n")
    );
    assert_eq!(sshd.connections(), 1);
}

#[tokio::test]
async fn a_server_that_takes_one_channel_a_connection_gets_two_connections() {
    let repos = repos();
    let options = Options {
        config: "MaxSessions 1",
        ..Options::new(repos.path())
    };
    let Some(sshd) = Sshd::start(&options) else {
        return;
    };
    let remote = sshd.remote(&sshd.credentials());
    let mut fetch = remote.open(Service::UploadPack, true).await.unwrap();
    let mut push = remote.open(Service::ReceivePack, true).await.unwrap();
    assert!(advertisement(&mut push).await.contains("report-status"));
    assert!(advertisement(&mut fetch).await.starts_with("version 2\n"));
    assert_eq!(sshd.connections(), 2);
}

/// A repository behind an sshd, and what is needed to reach it.
fn remote_behind(sshd: &Sshd) -> Remote {
    let credentials = Credentials {
        http: None,
        ssh: sshd.credentials(),
    };
    let url = sshd.url(REPO).parse().unwrap();
    Remote::new(Side::Mirror, &url, &credentials, &limits()).unwrap()
}

#[tokio::test]
async fn a_channel_that_ends_before_its_first_byte_is_replaced_on_a_new_connection() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let remote = remote_behind(&sshd);
    let first = remote.open(Service::UploadPack).await.unwrap();
    sshd.fall_silent_once();
    let second = remote.open(Service::ReceivePack).await;
    assert!(second.is_ok(), "{:?}", second.err());
    assert_eq!(sshd.connections(), 2);
    // The refs are asked for again, too.
    sshd.fall_silent_once();
    let listed = UploadPack::open_and_list(&remote, "refs/heads/master");
    let listed = tokio::time::timeout(Duration::from_secs(10), listed).await;
    assert!(listed.is_ok_and(|listed| listed.is_ok()));
    assert_eq!(sshd.connections(), 3);
    drop(first);
}

#[tokio::test]
async fn what_the_server_says_of_a_missing_repository_is_kept() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let address = sshd.address("/group/it's missing.git");
    let remote = SshRemote::new(address, &sshd.credentials(), &limits()).unwrap();
    let mut stream = remote.open(Service::UploadPack, true).await.unwrap();
    let mut output = Vec::new();
    stream.reader.read_to_end(&mut output).await.unwrap();
    let said = stream.stderr.text();
    assert!(
        said.contains("'group/it's missing.git' does not appear to be"),
        "{said}"
    );
    // More than the server's window, which will never open again.
    let written = stream.writer.write_all(&vec![0; 4 << 20]).await;
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn packs_larger_than_every_buffer_pass_both_ways() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let repo = repos.path().join("group/index.git");
    let mirror = repos.path().join("group/mirror.git");
    git(
        repos.path(),
        &["init", "-q", "--bare", mirror.to_str().unwrap()],
    );
    let noise = repos.path().join("noise");
    let random = "head -c 12000000 /dev/urandom >noise";
    let mut shell = Command::new("sh");
    shell.args(["-c", random]).current_dir(repos.path());
    assert!(shell.status().unwrap().success());
    let blob = git(&repo, &["hash-object", "-w", noise.to_str().unwrap()]);
    git(&repo, &["update-ref", "refs/tags/noise", &blob]);

    let from = sshd.remote(&sshd.credentials());
    let mut fetch = from.open(Service::UploadPack, false).await.unwrap();
    advertisement(&mut fetch).await;
    let wants = format!("0032want {blob}\n00000009done\n");
    fetch.writer.write_all(wants.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    fetch.reader.read_to_end(&mut answer).await.unwrap();
    let pack = answer.strip_prefix(b"0008NAK\n").unwrap();
    assert!(pack.len() > 12_000_000);

    let mut address = sshd.address("/group/mirror.git");
    address.path.remove(0);
    let to = SshRemote::new(address, &sshd.credentials(), &limits()).unwrap();
    let mut push = to.open(Service::ReceivePack, false).await.unwrap();
    advertisement(&mut push).await;
    let zero = "0".repeat(40);
    let order = format!("{zero} {blob} refs/tags/noise\0 report-status");
    let order = format!("{:04x}{order}0000", order.len() + 4);
    push.writer.write_all(order.as_bytes()).await.unwrap();
    push.writer.write_all(pack).await.unwrap();
    push.writer.shutdown().await.unwrap();
    assert_eq!(
        advertisement(&mut push).await,
        "unpack ok\nok refs/tags/noise\n"
    );
    assert_eq!(git(&mirror, &["rev-parse", "refs/tags/noise"]), blob);
}

/// Forwards connections to a port; each message on the channel cuts the one that is open.
async fn proxy(to: u16) -> (u16, tokio::sync::mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (cut, mut cuts) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = cuts.recv() => {}
            }
        }
    });
    (port, cut)
}

#[tokio::test]
async fn a_cut_connection_is_an_error_and_the_next_service_connects_again() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let (port, cut) = proxy(sshd.port()).await;
    let line = sshd.known_hosts_line();
    let line = line.replace(&sshd.port().to_string(), &port.to_string());
    let mut address = sshd.address(REPO);
    address.port = port;
    let remote = SshRemote::new(address, &sshd.credentials_trusting(&line), &limits()).unwrap();
    let mut first = remote.open(Service::UploadPack, true).await.unwrap();
    advertisement(&mut first).await;
    cut.send(()).await.unwrap();
    let error = first.reader.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut second = remote.open(Service::UploadPack, true).await.unwrap();
    assert!(advertisement(&mut second).await.starts_with("version 2\n"));
    assert_eq!(sshd.connections(), 2);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let mut address = sshd.address(REPO);
    address.port = silent.local_addr().unwrap().port();
    let impatient = Limits {
        connect_timeout: Duration::from_millis(50),
        ..limits()
    };
    let remote = SshRemote::new(address, &sshd.credentials(), &impatient).unwrap();
    let Err(error) = remote.open(Service::UploadPack, true).await else {
        panic!("nobody answered");
    };
    assert_eq!(error.kind(), Kind::Network);
    let said = error.to_string();
    assert!(
        said.ends_with("did not finish the ssh handshake within 50ms"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_no_ssh_server_leads_to_the_port() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let mut address = sshd.address(REPO);
    address.port = other.local_addr().unwrap().port();
    let remote = SshRemote::new(address, &sshd.credentials(), &limits()).unwrap();
    let web_server = async {
        let (mut client, _) = other.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
        client.write_all(answer).await.unwrap();
        client.shutdown().await.unwrap();
        // Kept until the client has hung up: closing at once would cut off the answer.
        let _ = client.read_to_end(&mut Vec::new()).await;
    };
    let (opened, ()) = tokio::join!(remote.open(Service::UploadPack, true), web_server);
    let Err(error) = opened else {
        panic!("a web server spoke ssh");
    };
    assert_eq!(error.kind(), Kind::Network);
    assert!(
        error
            .to_string()
            .ends_with("hung up during the ssh handshake"),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_that_says_nothing_more_is_given_up() {
    let repos = repos();
    let Some(sshd) = Sshd::start(&Options::new(repos.path())) else {
        return;
    };
    let impatient = Limits {
        idle_timeout: Duration::from_millis(300),
        ..limits()
    };
    let remote = SshRemote::new(sshd.address(REPO), &sshd.credentials(), &impatient).unwrap();
    let mut stream = remote.open(Service::UploadPack, true).await.unwrap();
    let mut output = Vec::new();
    let error = stream.reader.read_to_end(&mut output).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}
