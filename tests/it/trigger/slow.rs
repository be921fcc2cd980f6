//! Slow clients are cut off; here by the library, since nobody waits for as long as the program does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crates_ferry::trigger::server::{EndpointSettings, Message, Timeouts, start};
use crates_ferry::trigger::status::Status;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

fn settings() -> EndpointSettings {
    EndpointSettings {
        token: None,
        hook_token: None,
        query_token: false,
        rate_limit: 1000,
        polls: false,
        project: "rust/mirror".to_owned(),
        reference: "main".to_owned(),
        upstream_branch: "master".to_owned(),
        timeouts: Timeouts {
            head: Duration::from_millis(100),
            answer: std::time::Duration::from_secs(10),
            request: Duration::from_millis(200),
        },
    }
}

/// Serves while a client does its work, and returns what that says and how many requests arrived.
fn beside<T: Send + 'static>(client: impl FnOnce(SocketAddr) -> T + Send + 'static) -> (T, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (core, mut messages) = mpsc::channel::<Message>(8);
        let (_status, shown) = watch::channel(Status::default());
        let (done, stop) = oneshot::channel();
        let serving = start(listener, settings(), core, shown, stop);
        let working = tokio::task::spawn_blocking(move || client(address));
        let end = working.await.unwrap();
        done.send(()).unwrap();
        serving.await.unwrap();
        let mut requests = 0;
        while messages.recv().await.is_some() {
            requests += 1;
        }
        (end, requests)
    })
}

fn answer_to(address: SocketAddr, bytes: &[u8]) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client.write_all(bytes).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    let (answer, requests) =
        beside(|address| answer_to(address, b"POST /trigger HTTP/1.1\r\nHost: x\r\nX-"));
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    assert_eq!(requests, 0);
}

#[test]
fn a_body_that_does_not_come_is_cut_off() {
    let head = b"POST /trigger HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{";
    let (answer, requests) = beside(|address| answer_to(address, head));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(requests, 0);
}
