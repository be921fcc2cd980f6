//! A server that imports a dump by its clock, from an address of the web.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::dump::{expect, names, publish, serve, site, value};
use crate::support::dump::{Dump, write};
use crate::support::server::{Server, files_in, printed};

/// Serves a dump with an `ETag`, at an address that redirects there, and remembers how it was asked. A connection is cut after
/// so many bytes.
fn web(dump: Vec<u8>, cut: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!(
        "http://{}/db-dump.tar.gz?signature=hidden",
        listener.local_addr().unwrap()
    );
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let head = head.join("\n").to_ascii_lowercase();
            heard.lock().unwrap().push(head.clone());
            let closing = "connection: close\r\n";
            let answer = if head.starts_with("get /db-dump") {
                format!(
                    "HTTP/1.1 302 Found\r\nlocation: /moved\r\ncontent-length: 0\r\n{closing}\r\n"
                )
                .into_bytes()
            } else if head.contains("if-none-match: \"one\"") {
                format!("HTTP/1.1 304 Not Modified\r\n{closing}\r\n").into_bytes()
            } else if let Some((_, range)) = head.split_once("\nrange: bytes=") {
                let from: usize = range.split('-').next().unwrap().parse().unwrap();
                let (last, length) = (dump.len() - 1, dump.len());
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{last}/{length}\r\ncontent-length: {}\r\n{closing}\r\n",
                    length - from
                );
                [head.as_bytes(), &dump[from..]].concat()
            } else {
                let length = dump.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\netag: \"one\"\r\ncontent-length: {length}\r\n{closing}\r\n"
                );
                [head.as_bytes(), &dump[..cut.min(length)]].concat()
            };
            let _ = stream.write_all(&answer);
        }
    });
    (address, asked)
}

#[test]
fn a_server_imports_by_its_clock_and_fetches_nothing_twice() {
    let mut site = site();
    let (address, asked) = web(Dump::new().bytes(), usize::MAX);
    let pairs = [
        ("FERRY_CATALOG_IMPORT", address.as_str()),
        ("FERRY_CATALOG_IMPORT_EVERY", "1ms"),
    ];
    let server = serve(&site, &pairs);
    let downloads =
        |server: &Server| value(server, "/api/v1/crates/serde")["crate"]["downloads"].clone();
    server.wait_for("the import", || downloads(&server) == 1000);
    let first = || names(&value(&server, "/api/v1/crates")["crates"], "name")[0].clone();
    server.wait_for("the weights", || first() == "Toml-Edit");
    server.wait_for("a second one", || asked.lock().unwrap().len() >= 4);
    let heads = asked.lock().unwrap().clone();
    assert!(
        !heads[1].contains("if-none-match") && heads[3].contains("if-none-match: \"one\""),
        "{heads:?}"
    );
    let log = server.log();
    assert_eq!(
        log.matches("imported what the dump says of 3 crates")
            .count(),
        1,
        "{log}"
    );
    assert!(!log.contains("hidden"), "{log}");
    // By the clock it is not due, and what was imported is there after a start.
    drop(server);
    let asked_before = asked.lock().unwrap().len();
    let server = serve(&site, &pairs[..1]);
    assert_eq!(downloads(&server), 1000);
    // A new version of the index does not lose it.
    publish(&mut site, "serde", &["1.0.0", "1.1.0", "1.2.0"], &[]);
    server.push_hook();
    server.wait_for("the version", || {
        value(&server, "/api/v1/crates/serde")["crate"]["max_version"] == "1.2.0"
    });
    expect(
        &value(&server, "/api/v1/crates/serde")["crate"],
        json!({ "downloads": 1000, "keywords": ["encoding", "serialization"] }),
    );
    assert_eq!(asked.lock().unwrap().len(), asked_before);
}

#[test]
fn a_dump_that_cannot_be_fetched_is_told_once_and_changes_nothing() {
    let site = site();
    let file = Dump::new().write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    let (address, _) = web(b"<html>captive portal</html>".to_vec(), usize::MAX);
    let pairs = [
        ("FERRY_CATALOG_IMPORT", address.as_str()),
        ("FERRY_CATALOG_IMPORT_EVERY", "1ms"),
    ];
    let server = serve(&site, &pairs);
    server.wait_for("the failure", || {
        server.log().contains("the dump is not imported")
    });
    assert!(
        server.log().contains("what was imported before stays"),
        "{}",
        server.log()
    );
    assert_eq!(
        value(&server, "/api/v1/crates/serde")["crate"]["downloads"],
        1000
    );
    drop(server);
    let gone = site.run(&["catalog", "import", "http://127.0.0.1:1/db-dump.tar.gz"]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    let missing = site.run(&["catalog", "import", "absent.tar.gz"]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}

#[test]
fn an_import_that_is_killed_leaves_what_was_known() {
    let site = site();
    let mut dump = Dump::new();
    let file = dump.write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    dump.put("crate_downloads", "crate_id,downloads", &["7,70"]);
    let bytes = dump.bytes();
    // The head of an answer, and half of the dump: it waits for the rest.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/db-dump.tar.gz", listener.local_addr().unwrap());
    let half = bytes[..bytes.len() - 20].to_vec();
    let server = Server::start(&site.variables_and(&[("FERRY_CATALOG_IMPORT", &address)]));
    let (mut stream, _) = listener.accept().unwrap();
    let lines = BufReader::new(&stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len());
    stream
        .write_all(&[head.as_bytes(), &half].concat())
        .unwrap();
    server.wait_for("the staging", || {
        !files_in(&site.data().join("tmp")).is_empty()
    });
    server.kill();
    let server = serve(&site, &[]);
    assert_eq!(
        value(&server, "/api/v1/crates/serde")["crate"]["downloads"],
        1000
    );
    server.wait_for("clean", || files_in(&site.data().join("tmp")).is_empty());
    drop(server);
    write(site.folder.path(), &bytes);
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    let server = serve(&site, &[]);
    assert_eq!(
        value(&server, "/api/v1/crates/serde")["crate"]["downloads"],
        70
    );
}

#[test]
fn an_import_goes_on_where_a_connection_broke() {
    let site = site();
    let bytes = Dump::new().bytes();
    let (address, asked) = web(bytes.clone(), 100);
    drop(printed(&site.run(&["catalog", "import", &address]), 0));
    let heads = asked.lock().unwrap().clone();
    assert!(
        heads[3].contains("range: bytes=100-") && heads[3].contains("if-range: \"one\""),
        "{heads:?}"
    );
    // Not more often than it is tried again.
    let retries = [("FERRY_NETWORK_RETRIES", "0")];
    let output = site.run_with(&retries, &["catalog", "import", &address]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the connection broke"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
}
