//! Requests to the endpoint of `crates-ferry-trigger`, which has the HTTP of both servers, and a table of routes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use crates_ferry::trigger::pipeline_gate::TriggerResponse;
use crates_ferry::trigger::server::{EndpointSettings, Message, Timeouts, start};
use crates_ferry::trigger::status::Status;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

/// How long any request may take: longer is a broken promise.
const LIMIT: Duration = Duration::from_secs(10);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static SERVER: LazyLock<SocketAddr> = LazyLock::new(serve);

/// Whatever is said, the server hangs up in the end, and answers the next client.
pub(crate) fn http1(bytes: &[u8]) {
    let answer = say(&[bytes]);
    assert!(!String::from_utf8_lossy(&answer).contains("a-long-token"));
    is_alive();
}

/// The same, after the words with which a client of HTTP/2 begins.
pub(crate) fn http2(bytes: &[u8]) {
    say(&[PREFACE, bytes]);
    is_alive();
}

fn is_alive() {
    let mut client = connect();
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    client.write_all(request).expect("the server listens");
    let answer = until_closed(client);
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
}

/// Says all of it, hangs up, and returns the answer; that of a request that was whole may be lost, too.
fn say(parts: &[&[u8]]) -> Vec<u8> {
    let mut client = connect();
    for part in parts {
        // The server may have hung up before it heard everything.
        if client.write_all(part).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
    until_closed(client)
}

fn connect() -> TcpStream {
    let client = TcpStream::connect(*SERVER).expect("the server listens");
    client.set_read_timeout(Some(LIMIT)).expect("not zero");
    client.set_write_timeout(Some(LIMIT)).expect("not zero");
    client
}

fn until_closed(mut client: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    if let Err(error) = client.read_to_end(&mut answer) {
        // A reset is an end, a timeout is none.
        let kind = error.kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "{error}");
    }
    answer
}

/// Starts a server that lasts as long as the process, and returns its address.
fn serve() -> SocketAddr {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("the system has threads");
    let (to_core, mut messages) = mpsc::channel::<Message>(8);
    let (status, shown) = watch::channel(Status::default());
    let (never, stop) = oneshot::channel();
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        start(listener, settings(), to_core, shown, stop);
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if let Message::Request { response, .. } = message {
                    let _ = response.send(TriggerResponse::Firing);
                }
            }
        });
        address
    });
    // Dropping any of these would end the server.
    std::mem::forget((runtime, status, never));
    address
}

fn settings() -> EndpointSettings {
    EndpointSettings {
        token: Some("a-long-token-of-triggers".into()),
        hook_token: Some("a-long-token-of-hooks".into()),
        query_token: true,
        rate_limit: u32::MAX,
        polls: false,
        project: "rust/mirror".to_owned(),
        reference: "main".to_owned(),
        upstream_branch: "master".to_owned(),
        timeouts: Timeouts {
            head: Duration::from_secs(1),
            answer: Duration::from_secs(1),
            request: Duration::from_secs(1),
        },
    }
}
