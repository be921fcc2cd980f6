//! Answers over HTTP/2.

use std::io::Write as _;

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
                .uri(match path.starts_with("http://") {
                    true => (*path).to_owned(),
                    false => server.url(path),
                })
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

/// One frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Opens a connection with windows as large as there are, makes these requests at once, and reads nothing.
pub(super) fn ask_greedily(server: &Server, paths: &[String]) -> std::net::TcpStream {
    let most = 0x7fff_ffff_u32;
    let window = [&[0, 4], &most.to_be_bytes()[..]].concat();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &window));
    sent.extend(frame(8, 0, 0, &(most - 65_535).to_be_bytes()));
    for (number, path) in (0..).zip(paths) {
        // GET, http, and as literals without a table (RFC 7541, section 6.2.2) :path and :authority.
        let length = u8::try_from(path.len()).unwrap();
        let head = [
            &[0x82, 0x86, 0x04, length],
            path.as_bytes(),
            &[0x01, 1, b'x'],
        ]
        .concat();
        sent.extend(frame(1, 5, 2 * number + 1, &head));
    }
    let mut stream = server.connect();
    stream.write_all(&sent).unwrap();
    stream
}

#[test]
fn clients_that_read_nothing_take_little_memory_however_much_they_ask_for() {
    const CLIENTS: usize = 12;
    const REQUESTS: usize = 120;
    let mut site = Site::new();
    site.publish("large", "1.0.0", &noise(2 << 20, 1));
    for number in 0..40 {
        let small = noise(1_000_000, 10 + number);
        site.publish("small", &format!("{number}.0.0"), &small);
    }
    let large = vec!["/api/v1/crates/large/1.0.0/download".to_owned()];
    let small = (0..40).map(|number| format!("/api/v1/crates/small/{number}.0.0/download"));
    for paths in [large, small.collect()] {
        let server = site.serve(&[("FERRY_SERVE_MEMORY", "8MiB")]);
        for path in &paths {
            assert!(server.get(path).is_whole);
        }
        let before = server.peak_memory();
        let asked: Vec<String> = paths.iter().cycle().take(REQUESTS).cloned().collect();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| ask_greedily(&server, &asked))
            .collect();
        let begun = |name| server.metric(name) >= (CLIENTS * REQUESTS) as f64;
        server.wait_for("asked for", || begun("crates_ferry_crate_hits_total"));
        // Others are served as ever.
        assert!(server.get(&paths[0]).is_whole);
        let taken = server.peak_memory() - before;
        assert!(taken < 70_000_000, "{taken} bytes");
        drop(clients);
    }
}

#[test]
fn over_http2_the_authority_is_the_host() {
    let site = Site::new();
    let server = site.serve(&[]);
    let asked = [
        (Method::GET, "http://localhost:7/index/config.json"),
        (Method::GET, "http://evil.example/index/config.json"),
    ];
    let answers = ask_all(&server, &asked);
    let texts: Vec<_> = answers
        .iter()
        .map(|(status, _, body)| (status.as_u16(), String::from_utf8_lossy(body)))
        .collect();
    assert_eq!(texts[0].0, 200);
    assert!(texts[0].1.contains("\"api\":\"http://localhost:7\""));
    assert_eq!(texts[1].0, 421);
}
