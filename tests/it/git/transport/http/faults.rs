//! Answers that are none, in every way that servers have found.

use bytes::Bytes;
use crates_ferry::error::{Error, Kind};
use crates_ferry::git::transport::Service;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::script::{ADVERTISEMENT, Script, advertisement, answer, bounded, head};
use super::{impatient, limits, login, remote, remote_as, text};

async fn error_of(answer: &str) -> Error {
    let server = Script::new().await;
    let remote = remote_as(&server.url("a"), login("bot", "secret"), &limits());
    let asking = remote.advertisement(Service::UploadPack, true);
    let (_, reader) = tokio::join!(server.answer(answer), asking);
    reader.err().unwrap()
}

#[tokio::test]
async fn a_captive_portal_is_no_git_server() {
    let page = answer(
        "200 OK",
        &[("Content-Type", "text/html")],
        "<h1>Welcome</h1>",
    );
    let error = error_of(&page).await;
    assert_eq!(error.kind(), Kind::Server);
    let message = error.to_string();
    assert!(message.contains("text/html"), "{message}");
    assert!(message.contains("no smart HTTP git server"), "{message}");
}

#[tokio::test]
async fn a_dumb_git_server_is_refused() {
    let error = error_of(&answer("200 OK", &[("Content-Type", "text/plain")], "")).await;
    assert_eq!(error.kind(), Kind::Server);
    assert!(error.to_string().contains("text/plain"), "{error}");
}

#[tokio::test]
async fn an_answer_without_content_type_is_refused() {
    let error = error_of(&answer("200 OK", &[], "0000")).await;
    assert_eq!(error.kind(), Kind::Server);
    assert!(error.to_string().contains("is missing"), "{error}");
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_back() {
    let busy = answer("503 Service Unavailable", &[("Retry-After", "120")], "");
    let error = error_of(&busy).await;
    assert_eq!(error.kind(), Kind::Server);
    assert!(error.to_string().contains("503"), "{error}");
    assert!(error.to_string().contains("Retry-After: 120"), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
}

#[tokio::test]
async fn a_refusal_shows_the_servers_words_up_to_a_kibibyte() {
    let words = format!("You are not\r\nallowed to push.{}", "x".repeat(2000));
    let refusal = answer("403 Forbidden", &[("Content-Type", "text/plain")], &words);
    let error = error_of(&refusal).await;
    assert_eq!(error.kind(), Kind::Permission);
    let cause = &error.causes()[0];
    assert!(
        cause.starts_with("You are not  allowed to push."),
        "{cause}"
    );
    assert_eq!(cause.len(), 1024);
}

#[tokio::test]
async fn a_refusals_page_is_not_shown() {
    let page = answer("403 Forbidden", &[("Content-Type", "text/html")], "<html>");
    assert!(error_of(&page).await.causes().is_empty());
}

#[tokio::test]
async fn a_proxy_that_wants_a_login_is_a_matter_of_configuration() {
    let error = error_of(&answer("407 Proxy Authentication Required", &[], "")).await;
    assert_eq!(error.kind(), Kind::Config);
}

#[tokio::test]
async fn no_error_shows_the_password() {
    let error = error_of(&answer("401 Unauthorized", &[], "")).await;
    assert_eq!(error.kind(), Kind::Auth);
    assert!(!format!("{error:?} {error}").contains("secret"));
}

#[tokio::test]
async fn a_refused_connection_is_a_network_error_with_its_cause() {
    let url = Script::new().await.url("a");
    let error = remote(&url).advertisement(Service::UploadPack, true).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), Kind::Network);
    assert!(
        error.causes()[0].contains("refused"),
        "{:?}",
        error.causes()
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_network_error() {
    // No label of a name has 64 letters: the resolver knows without asking anybody.
    let remote = remote(&format!("http://{}.example/a", "a".repeat(64)));
    let error = remote.advertisement(Service::UploadPack, true).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), Kind::Network);
    assert!(
        error.to_string().contains("name cannot be resolved"),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_a_network_error() {
    let error = error_of("").await;
    assert_eq!(error.kind(), Kind::Network);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Script::new().await;
    let remote = remote_as(&server.url("a"), None, &impatient());
    let asking = remote.advertisement(Service::UploadPack, true);
    let (_stream, reader) = bounded(async { tokio::join!(server.accept(), asking) }).await;
    let error = reader.err().unwrap();
    assert_eq!(error.kind(), Kind::Network);
    assert!(
        error.to_string().contains("no response within 200ms"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_stalls_fails_with_timed_out() {
    let server = Script::new().await;
    let remote = remote_as(&server.url("a"), None, &impatient());
    let served = async {
        let mut stream = server.accept().await;
        head(&mut stream).await;
        let start = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {ADVERTISEMENT}\r\nContent-Length: 99\r\n\r\n000eversion 2\n"
        );
        stream.write_all(start.as_bytes()).await.unwrap();
        stream
    };
    let asking = remote.advertisement(Service::UploadPack, true);
    let (_stream, reader) = tokio::join!(served, asking);
    let mut bytes = Vec::new();
    let mut reader = reader.unwrap();
    let read = bounded(reader.read_to_end(&mut bytes)).await;
    let error = read.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(bytes, b"000eversion 2\n");
}

#[tokio::test]
async fn a_cut_answer_fails_with_unexpected_eof() {
    for framing in ["Content-Length: 99", "Transfer-Encoding: chunked"] {
        let server = Script::new().await;
        let remote = remote(&server.url("a"));
        let content = "application/x-git-upload-pack-result";
        let cut =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {content}\r\n{framing}\r\n\r\n8\r\n0008");
        let post = remote.post(Service::UploadPack, true, Bytes::from_static(b"0000"));
        let (_, reader) = tokio::join!(server.answer(cut), post);
        let error = reader
            .unwrap()
            .read_to_end(&mut Vec::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{framing}: {error}");
    }
}

#[tokio::test]
async fn the_request_is_one_that_git_servers_know() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let served = async {
        let asked = server.answer(super::script::advertisement()).await;
        let posted = server.answer(answer("500 Oops", &[], "")).await;
        (asked, posted)
    };
    let asking = async {
        text(
            remote
                .advertisement(Service::UploadPack, true)
                .await
                .unwrap(),
        )
        .await;
        let body = Bytes::from_static(b"0000");
        remote
            .post(Service::UploadPack, false, body)
            .await
            .err()
            .unwrap()
    };
    let ((asked, posted), _) = tokio::join!(served, asking);
    let agent = concat!("user-agent: git/crates-ferry/", env!("CARGO_PKG_VERSION"));
    assert!(asked.contains(agent), "{asked}");
    assert!(asked.contains("git-protocol: version=2"), "{asked}");
    assert!(!posted.contains("git-protocol"), "{posted}");
    assert!(
        posted.contains("content-type: application/x-git-upload-pack-request"),
        "{posted}"
    );
    assert!(posted.contains("content-length: 4"), "{posted}");
}

#[tokio::test]
async fn a_request_on_an_idle_connection_that_was_closed_is_repeated_on_a_new_one() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let ask = async || {
        let asked = remote.advertisement(Service::UploadPack, true).await;
        text(asked.unwrap()).await
    };
    let asking = async { (ask().await, ask().await) };
    let serving = async {
        let mut kept = server.accept().await;
        head(&mut kept).await;
        let open = advertisement().replace("Connection: close\r\n", "");
        kept.write_all(open.as_bytes()).await.unwrap();
        // The second request comes over the same connection, and finds it closed.
        head(&mut kept).await;
        drop(kept);
        server.answer(advertisement()).await;
    };
    let ((first, second), ()) = bounded(async { tokio::join!(asking, serving) }).await;
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_server_that_wants_a_length_is_final_and_told_so() {
    let error = error_of(&answer("411 Length Required", &[], "")).await;
    assert_eq!(error.kind(), Kind::Permission);
    assert!(error.advice().unwrap().contains("chunked"));
}
