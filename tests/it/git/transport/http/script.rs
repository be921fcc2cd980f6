//! A loopback server that reads requests and answers what a test tells it to, one connection an answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Ends a test that would wait for ever.
pub(crate) async fn bounded<F: Future>(future: F) -> F::Output {
    let ended = timeout(Duration::from_secs(30), future).await;
    ended.expect("what the test waits for does not come")
}

pub(crate) const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

/// A listener whose connections a test drives by hand.
pub(crate) struct Script {
    listener: TcpListener,
}

impl Script {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port())
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        bounded(self.listener.accept()).await.unwrap().0
    }

    /// Takes one connection, reads a request's head, answers, closes, and returns that head.
    pub(crate) async fn answer(&self, answer: impl AsRef<str>) -> String {
        let mut stream = self.accept().await;
        let head = head(&mut stream).await;
        stream.write_all(answer.as_ref().as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        head
    }
}

/// Reads a request's head, up to and with its empty line.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Writes a complete answer that ends its connection.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Writes the advertisement of a v2 server without a banner.
pub(crate) fn advertisement() -> String {
    answer(
        "200 OK",
        &[("Content-Type", ADVERTISEMENT)],
        "000eversion 2\n0000",
    )
}

pub(crate) fn redirect(to: &str) -> String {
    answer("301 Moved Permanently", &[("Location", to)], "")
}
