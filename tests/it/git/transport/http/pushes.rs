//! Pushes: small ones whole, big ones in chunks, and broken ones never taken for complete.

use std::io;

use bytes::Bytes;
use crates_ferry::error::Kind;
use crates_ferry::git::transport::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::real_server::{Repositories, git, git_bytes, pkt};
use super::script::{Script, answer, bounded, head};
use super::{impatient, remote, remote_as, text};
use crate::support::lighttpd::Lighttpd;

type Chunk = io::Result<Bytes>;

/// A push of one new commit on top of `a.git`'s branch, whose objects only its pack has.
struct Push {
    tip: String,
    head: Bytes,
    pack: Vec<u8>,
}

impl Push {
    fn onto(repositories: &Repositories, content: &[u8]) -> Self {
        let elsewhere = tempfile::tempdir().unwrap();
        let from = repositories.repo();
        let clone = ["clone", "-q", "--bare", from.to_str().unwrap(), "b.git"];
        git(elsewhere.path(), &clone, b"");
        let repo = elsewhere.path().join("b.git");
        let tip = repositories.commit(&repo, content, &[&repositories.tip]);
        let revisions = format!("{tip}\n^{}\n", repositories.tip);
        let pack = ["pack-objects", "--revs", "--stdout", "-q"];
        let pack = git_bytes(&repo, &pack, revisions.as_bytes());
        let command = format!(
            "{} {tip} refs/heads/master\0report-status",
            repositories.tip
        );
        Self {
            head: (pkt(&command) + "0000").into(),
            tip,
            pack,
        }
    }

    fn chunks(&self) -> impl Iterator<Item = Bytes> {
        self.pack.chunks(16 * 1024).map(Bytes::copy_from_slice)
    }
}

/// A content that no compression makes smaller, of one mebibyte and a half.
fn big() -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..1536 * 1024).map(next).collect()
}

fn broken() -> Chunk {
    Err(io::Error::other("upstream hung up"))
}

/// Sends chunks and, where given, an end that is none.
fn feed(chunks: impl IntoIterator<Item = Chunk> + Send + 'static) -> Receiver<Chunk> {
    let (sender, receiver) = channel(4);
    let chunks: Vec<_> = chunks.into_iter().collect();
    tokio::spawn(async move {
        for chunk in chunks {
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    });
    receiver
}

async fn lands(content: &[u8]) {
    let repositories = Repositories::new();
    let Some(server) = Lighttpd::start(repositories.folder.path(), None) else {
        return;
    };
    let push = Push::onto(&repositories, content);
    let remote = remote(&server.url("a.git"));
    let chunks: Vec<Chunk> = push.chunks().map(Ok).collect();
    let reader = remote.push(push.head.clone(), feed(chunks)).await.unwrap();
    let report = text(reader).await;
    let wanted = pkt("unpack ok\n") + &pkt("ok refs/heads/master\n") + "0000";
    assert_eq!(report, wanted);
    assert_eq!(repositories.master(), push.tip);
    git(&repositories.repo(), &["fsck", "--full", "--strict"], b"");
}

#[tokio::test]
async fn a_small_push_lands() {
    lands(b"second").await;
}

#[tokio::test]
async fn a_push_of_more_than_a_mebibyte_lands() {
    lands(&big()).await;
}

#[tokio::test]
async fn a_broken_push_leaves_the_repository_as_it_was() {
    let repositories = Repositories::new();
    let Some(server) = Lighttpd::start(repositories.folder.path(), None) else {
        return;
    };
    let big = big();
    for content in [&b"second"[..], &big[..]] {
        let push = Push::onto(&repositories, content);
        let remote = remote(&server.url("a.git"));
        // Every byte of the pack is there: only the `Err` says that it is not to be taken.
        let chunks: Vec<Chunk> = push.chunks().map(Ok).chain([broken()]).collect();
        let error = remote
            .push(push.head.clone(), feed(chunks))
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind(), Kind::Network);
        assert_eq!(error.causes(), ["upstream hung up"]);
        assert_eq!(repositories.master(), repositories.tip);
    }
}

#[tokio::test]
async fn a_pack_that_breaks_early_or_never_begins_opens_no_connection() {
    let server = Script::new().await;
    for chunks in [
        vec![],
        vec![broken()],
        vec![Ok(Bytes::from_static(b"PACK")), broken()],
    ] {
        let remote = remote(&server.url("a"));
        let accepted = server.accept();
        let pushed = remote.push(Bytes::from_static(b"0000"), feed(chunks));
        tokio::select! {
            _ = accepted => panic!("the server was asked"),
            pushed = pushed => assert_eq!(pushed.err().unwrap().kind(), Kind::Network),
        }
    }
}

#[tokio::test]
async fn a_small_push_is_sent_with_its_length() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let chunks = [Ok(Bytes::from_static(b"PA")), Ok(Bytes::from_static(b"CK"))];
    let pushed = remote.push(Bytes::from_static(b"0000"), feed(chunks));
    let (head, _) = tokio::join!(server.answer(answer("500 Oops", &[], "")), pushed);
    assert!(head.contains("content-length: 8\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
}

/// Starts a push of two mebibytes whose channel stays open.
fn open_push() -> (Sender<Chunk>, Receiver<Chunk>) {
    let (sender, receiver) = channel(4);
    let chunk = Bytes::from(vec![b'x'; 1024 * 1024]);
    sender.try_send(Ok(chunk.clone())).unwrap();
    sender.try_send(Ok(chunk)).unwrap();
    (sender, receiver)
}

#[tokio::test]
async fn a_broken_chunked_body_has_no_last_chunk() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let (sender, receiver) = open_push();
    let served = async {
        let mut stream = server.accept().await;
        let head = head(&mut stream).await;
        sender.send(broken()).await.unwrap();
        drop(sender);
        let mut body = Vec::new();
        // The connection may end in a reset: what matters is what came before.
        let _ = stream.read_to_end(&mut body).await;
        (head, body)
    };
    let pushed = remote.push(Bytes::from_static(b"0000"), receiver);
    let ((head, body), pushed) = tokio::join!(served, pushed);
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(!body.ends_with(b"0\r\n\r\n"), "the body looks complete");
    let error = pushed.err().unwrap();
    assert!(error.to_string().contains("its pack broke off"), "{error}");
    assert_eq!(error.causes(), ["upstream hung up"]);
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_given_up() {
    let server = Script::new().await;
    let remote = remote_as(&server.url("a"), None, &impatient());
    let (sender, receiver) = channel(64);
    let chunk = Bytes::from(vec![b'x'; 1024 * 1024]);
    for _ in 0..64 {
        sender.try_send(Ok(chunk.clone())).unwrap();
    }
    let pushed = remote.push(Bytes::from_static(b"0000"), receiver);
    let (_stream, pushed) = bounded(async { tokio::join!(server.accept(), pushed) }).await;
    let error = pushed.err().unwrap();
    assert_eq!(error.kind(), Kind::Network);
    assert!(
        error.to_string().contains("no response within 200ms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_before_the_end_of_the_body_is_heard() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let (sender, receiver) = open_push();
    let served = async {
        let mut stream = server.accept().await;
        head(&mut stream).await;
        let refusal = answer("413 Content Too Large", &[], "");
        stream.write_all(refusal.as_bytes()).await.unwrap();
        stream
    };
    let pushed = remote.push(Bytes::from_static(b"0000"), receiver);
    let (_stream, pushed) = tokio::join!(served, pushed);
    let error = pushed.err().unwrap();
    assert_eq!(error.kind(), Kind::Permission);
    assert!(error.to_string().contains("413"), "{error}");
    drop(sender);
}

#[tokio::test]
async fn the_service_of_a_push_is_receive_pack() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let pushed = remote.push(
        Bytes::from_static(b"0000"),
        feed([Ok(Bytes::from_static(b"P"))]),
    );
    let (head, _) = tokio::join!(server.answer(answer("500 Oops", &[], "")), pushed);
    let service = Service::ReceivePack.name();
    assert!(head.starts_with(&format!("POST /a/{service} ")), "{head}");
    assert!(
        head.contains("accept: application/x-git-receive-pack-result"),
        "{head}"
    );
}
