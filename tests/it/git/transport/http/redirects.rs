//! Redirects: followed at the advertisement, kept, and never with credentials to somebody else.

use bytes::Bytes;
use crates_ferry::error::Kind;
use crates_ferry::git::transport::Service;

use super::script::{Script, advertisement, answer, redirect};
use super::{limits, login, remote, remote_as, text};

fn result() -> String {
    let content = ("Content-Type", "application/x-git-upload-pack-result");
    answer("200 OK", &[content], "0000")
}

#[tokio::test]
async fn a_redirect_is_followed_and_kept_for_both_services() {
    let server = Script::new().await;
    let remote = remote(&server.url("old"));
    let served = async {
        let to = "/new.git/info/refs?service=git-upload-pack";
        let asked = server.answer(redirect(to)).await;
        let again = server.answer(advertisement()).await;
        let posted = server.answer(result()).await;
        let pushed = server.answer(answer("500 Oops", &[], "")).await;
        [asked, again, posted, pushed]
    };
    let asking = async {
        let reader = remote
            .advertisement(Service::UploadPack, true)
            .await
            .unwrap();
        assert_eq!(text(reader).await, "000eversion 2\n0000");
        let body = Bytes::from_static(b"0000");
        let reader = remote.post(Service::UploadPack, true, body).await.unwrap();
        assert_eq!(text(reader).await, "0000");
        assert!(
            remote
                .advertisement(Service::ReceivePack, false)
                .await
                .is_err()
        );
    };
    let (heads, ()) = tokio::join!(served, asking);
    let lines = heads.map(|head| head.lines().next().unwrap().to_owned());
    assert_eq!(
        lines,
        [
            "GET /old/info/refs?service=git-upload-pack HTTP/1.1",
            "GET /new.git/info/refs?service=git-upload-pack HTTP/1.1",
            "POST /new.git/git-upload-pack HTTP/1.1",
            "GET /new.git/info/refs?service=git-receive-pack HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn credentials_go_to_the_configured_origin_only() {
    let (home, away) = (Script::new().await, Script::new().await);
    let remote = remote_as(&home.url("a"), login("bot", "secret"), &limits());
    let to = away.url("a/info/refs?service=git-upload-pack");
    let served = async {
        let first = home.answer(redirect(&to)).await;
        let second = away.answer(advertisement()).await;
        let third = away.answer(answer("401 Unauthorized", &[], "")).await;
        (first, second, third)
    };
    let asking = async {
        let reader = remote
            .advertisement(Service::UploadPack, true)
            .await
            .unwrap();
        text(reader).await;
        let body = Bytes::from_static(b"0000");
        remote
            .post(Service::UploadPack, true, body)
            .await
            .err()
            .unwrap()
    };
    let ((first, second, third), error) = tokio::join!(served, asking);
    assert!(
        first.contains("authorization: Basic Ym90OnNlY3JldA=="),
        "{first}"
    );
    assert!(!second.contains("authorization"), "{second}");
    assert!(!third.contains("authorization"), "{third}");
    assert_eq!(error.kind(), Kind::Auth);
    assert!(error.advice().unwrap().contains("the redirect leads to"));
}

#[tokio::test]
async fn a_redirect_that_brings_its_own_user_does_not_sign_in_with_it() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let to = format!(
        "http://u:p@127.0.0.1:{}/b/info/refs?service=git-upload-pack",
        server.port()
    );
    let served = async {
        server.answer(redirect(&to)).await;
        server.answer(advertisement()).await
    };
    let (head, reader) = tokio::join!(served, remote.advertisement(Service::UploadPack, true));
    assert!(reader.is_ok());
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn redirects_without_end_are_given_up() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let served = async {
        for _ in 0..6 {
            server.answer(redirect("/a/info/refs")).await;
        }
    };
    let ((), reader) = tokio::join!(served, remote.advertisement(Service::UploadPack, true));
    let error = reader.err().unwrap();
    assert_eq!(error.kind(), Kind::Config);
    assert!(!error.kind().is_transient());
    assert!(error.advice().is_some_and(|advice| advice.contains("loop")));
    assert!(error.to_string().contains("more than 5 times"), "{error}");
}

#[tokio::test]
async fn a_redirect_to_a_login_page_is_no_repository() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let served = async {
        server.answer(redirect("/users/sign_in")).await;
        let page = answer(
            "200 OK",
            &[("Content-Type", "text/html; charset=utf-8")],
            "<p>",
        );
        server.answer(page).await
    };
    let (_, reader) = tokio::join!(served, remote.advertisement(Service::UploadPack, true));
    let error = reader.err().unwrap();
    assert_eq!(error.kind(), Kind::Server);
    assert!(error.to_string().contains("/users/sign_in: "), "{error}");
    assert!(error.to_string().contains("text/html"), "{error}");
}

#[tokio::test]
async fn a_redirected_post_is_not_followed() {
    let server = Script::new().await;
    let remote = remote(&server.url("a"));
    let post = remote.post(Service::UploadPack, true, Bytes::from_static(b"0000"));
    let to = redirect("/b/git-upload-pack");
    let (_, reader) = tokio::join!(server.answer(to), post);
    assert_eq!(reader.err().unwrap().kind(), Kind::Server);
}

#[tokio::test]
async fn a_redirect_to_the_metadata_service_of_a_cloud_is_not_followed() {
    let server = Script::new().await;
    for (host, address) in [
        ("169.254.169.254", "169.254.169.254"),
        ("[fe80::1]", "fe80::1"),
    ] {
        let to = format!("http://{host}/info/refs?service=git-upload-pack");
        let remote = remote(&server.url("a"));
        let asked = server.answer(redirect(&to));
        let (_, reader) = tokio::join!(asked, remote.advertisement(Service::UploadPack, true));
        let error = reader.err().unwrap();
        assert_eq!(error.kind(), Kind::Config);
        let said = error.to_string();
        let (from, to) = (
            server.url("a"),
            format!("redirects to {address}, which is not"),
        );
        assert!(said.contains(&from) && said.contains(&to), "{said}");
        let cause = format!("{address} is link-local or reserved, and never connected to");
        assert_eq!(error.causes(), [cause]);
        assert!(
            error
                .advice()
                .unwrap()
                .starts_with("Ask the administrator of that server")
        );
    }
}
