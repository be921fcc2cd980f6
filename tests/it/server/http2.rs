//! Answers over HTTP/2.

use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::server::{Server, Site, noise};

/// Makes requests one after the other on one connection.
fn ask_all(server: &Server, asked: &[(Method, &str)]) -> Vec<(StatusCode, HeaderMap, Bytes)> {
    let address = server.url("").trim_start_matches("http://").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let begun = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = begun.await.unwrap();
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for (method, path) in asked {
            let request = Request::builder()
                .method(method)
                .uri(server.url(path))
                .body(Empty::<Bytes>::new());
            let answer = sender.send_request(request.unwrap()).await.unwrap();
            let (head, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            answers.push((head.status, head.headers, body));
        }
        answers
    })
}

#[test]
fn over_http2_a_head_has_the_lengths_and_no_bytes() {
    let mut site = Site::new();
    let large = noise(3 << 20, 1);
    site.publish("small", "1.0.0", b"small");
    site.publish("large", "1.0.0", &large);
    let server = site.serve(&[]);
    // Once from upstream, and once as it is kept.
    for _ in 0..2 {
        for path in [
            "/index/sm/al/small",
            "/index/config.json",
            "/api/v1/crates/small/1.0.0/download",
            "/api/v1/crates/large/1.0.0/download",
            "/index/no/ne/none",
        ] {
            let asked = [(Method::GET, path), (Method::HEAD, path)];
            let answers = ask_all(&server, &asked);
            let [(status, headers, body), (head, told, nothing)] = &answers[..] else {
                panic!("two answers");
            };
            assert_eq!((head, nothing.len()), (status, 0), "{path}");
            let length = body.len().to_string();
            assert_eq!(
                told.get("content-length").unwrap(),
                length.as_str(),
                "{path}"
            );
            assert_eq!(told.get("etag"), headers.get("etag"), "{path}");
        }
    }
    assert_eq!(site.host.requests().len(), 2);
    let (.., body) = &ask_all(
        &server,
        &[(Method::GET, "/api/v1/crates/large/1.0.0/download")],
    )[0];
    assert!(*body == large);
}
