//! Requests as they stand: of old clients, and with paths that no client would send.

use std::io::{Read, Write};

use super::server::Server;

/// Sends a request after which the server closes; returns the head, in lower case, and the body of the answer.
pub fn converse(server: &Server, request: &str) -> (String, Vec<u8>) {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.unwrap() + 4);
    let head = String::from_utf8(answer).unwrap();
    (head.to_ascii_lowercase(), body)
}
