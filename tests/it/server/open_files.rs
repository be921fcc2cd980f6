//! A server that may open few files.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::http2::ask_greedily;
use crate::support::server::{Server, Site, noise};
use crate::support::upstream::Commit;

/// Makes a request on an open connection, and returns the answer's text as far as it comes with its head.
fn ask(connection: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; 16 << 10];
    let length = connection.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn clients_that_read_nothing_leave_files_for_the_others() {
    const CLIENTS: usize = 12;
    const REQUESTS: usize = 120;
    let mut site = Site::new();
    let large = noise(2 << 20, 1);
    site.publish("large", "1.0.0", &large);
    let path = "/api/v1/crates/large/1.0.0/download";
    let server = Server::start_with_open_files(&site.variables(), 1024);
    server.wait_until_ready();
    assert!(server.get(path).is_whole);
    let asked = vec![path.to_owned(); REQUESTS];
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| ask_greedily(&server, &asked))
        .collect();
    let begun = || server.metric("crates_ferry_crate_hits_total");
    server.wait_for("asked for", || begun() >= (CLIENTS * 20) as f64);
    for _ in 0..20 {
        let got = server.get(path);
        assert!(got.is_whole && got.body == large, "{}", got.status);
    }
    assert!(
        !server.log().contains("Too many open files"),
        "{}",
        server.log()
    );
    drop(clients);
}

#[test]
fn an_index_that_no_file_is_left_for_is_not_taken_for_damaged() {
    let mut site = Site::new();
    site.publish("first", "1.0.0", b"first");
    drop(site.serve(&[]));
    let config = r#"{"dl":"http://127.0.0.1:1/crates"}"#;
    let commit = Commit::new("Move the crate files").file("config.json", config);
    site.index.commit([commit]);
    // The crate that a start looks for.
    site.publish("aaaa", "1.0.0", b"aaaa");
    // Now there are two packs, of which a start reads the newer one.
    drop(site.serve(&[]));
    // The catalog would read all of the index into memory.
    let server = site.serve(&[("FERRY_SERVE_CATALOG", "off")]);
    let mut connection = server.connect();
    assert!(ask(&mut connection, "/healthz").starts_with("HTTP/1.1 200"));

    let before = server.set_open_files(Some(3));
    let got = ask(&mut connection, "/index/fi/rs/first");
    assert!(got.starts_with("HTTP/1.1 503"), "{got}");
    server.set_open_files(before);

    let got = ask(&mut connection, "/index/fi/rs/first");
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    assert!(!server.log().contains("damaged"), "{}", server.log());
}
