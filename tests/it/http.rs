//! Connections that are slow, silent or endless, here by the library: nobody waits for as long as the program does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use crates_ferry::http::{self, Body, Bounds, Certificates};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How many bytes each answer has: more than buffers hold.
const ANSWER: usize = 16 << 20;

/// As long as nobody waits for in a test.
const SHORT: Duration = Duration::from_millis(300);
/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// Serves with room for one connection, as long as a client does its work; the server then has to end soon.
fn beside<T: Send + 'static>(
    head: Duration,
    certificates: Option<Certificates>,
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> T {
    let bounds = Bounds {
        connections: 1,
        threads: 1,
        head,
        write: SHORT,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (done, stop) = oneshot::channel();
        let working = tokio::task::spawn_blocking(move || {
            let end = client(address);
            done.send(()).unwrap();
            end
        });
        let serving = start(listener, bounds, certificates, stop);
        let end = working.await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), serving).await;
        ended.expect("the server has not ended").unwrap();
        end
    })
}

// Not a part of `beside`, of which there is an instance for each client.
fn start(
    listener: TcpListener,
    bounds: Bounds,
    certificates: Option<Certificates>,
    stop: oneshot::Receiver<()>,
) -> JoinHandle<()> {
    let answer =
        |_request, _peer| async { Ok(Response::new(Body::from(Bytes::from_static(&[7; ANSWER])))) };
    let certificates = certificates.map(Arc::new);
    tokio::spawn(http::serve(listener, answer, bounds, certificates, stop))
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    client
}

/// Waits until the server closes, and returns what it said before.
fn until_closed(mut client: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end, too; a timeout is none.
    if let Err(error) = client.read_to_end(&mut said) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    said
}

#[test]
fn a_client_that_says_too_little_is_cut_off_and_makes_room_for_another() {
    beside(SHORT, None, |address| {
        for said in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost:"] {
            let mut client = connect(address);
            client.write_all(said.as_bytes()).unwrap();
            until_closed(client);
        }
        let mut client = connect(address);
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        assert!(until_closed(client).len() > ANSWER);
    });
}

#[test]
fn a_client_that_says_nothing_before_or_after_a_handshake_is_cut_off() {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = crate::support::certificate::make(folder.path(), "DNS:localhost");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&cert).unwrap())
        .unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let certificates = Certificates::read(crates_ferry::config::Tls { cert, key }).unwrap();
    beside(SHORT, Some(certificates), move |address| {
        until_closed(connect(address));
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(session, connect(address));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        let mut said = Vec::new();
        let end = stream.read_to_end(&mut said).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
    });
}

/// Opens an HTTP/2 connection, asks for something there or not, and waits until the server closes.
fn over_http2(asks: bool, takes: bool) {
    beside(SHORT, None, move |address| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let begun = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .handshake(TokioIo::new(stream));
            let (mut sender, connection) = begun.await.unwrap();
            let ended = tokio::spawn(connection);
            let mut kept = None;
            if asks {
                let request = Request::get(format!("http://{address}/"))
                    .body(Empty::<Bytes>::new())
                    .unwrap();
                let answer = sender.send_request(request).await.unwrap();
                match takes {
                    true => {
                        let body = answer.into_body().collect().await.unwrap();
                        assert_eq!(body.to_bytes().len(), ANSWER);
                    }
                    false => kept = Some(answer),
                }
            }
            // Whether as an end or an error: it is closed.
            let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
            assert!(ended.is_ok(), "it is still open");
            drop((sender, kept));
        });
    });
}

#[test]
fn an_http2_client_that_asks_for_nothing_is_cut_off() {
    over_http2(false, false);
}

#[test]
fn an_http2_client_that_took_all_it_asked_for_is_cut_off_later() {
    over_http2(true, true);
}

#[test]
fn an_http2_client_that_takes_nothing_is_cut_off() {
    over_http2(true, false);
}

#[test]
fn the_end_of_the_server_waits_for_no_client_that_says_nothing() {
    let client = beside(LONG, None, connect);
    until_closed(client);
}
