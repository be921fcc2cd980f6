//! A server that imports a dump by its clock, from an address of the web.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::dump::{expect, names, publish, serve, site, value};
use crate::support::crate_host::{CrateHost, Manner};
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
    let import = &value(&server, "/api/v1/status")["import"];
    assert_eq!(
        (&import["failures"], &import["last_error"]),
        (&json!(0), &json!(null))
    );
    assert_eq!(server.metric(FAILURES), 0.0);
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

const FAILURES: &str = "crates_ferry_catalog_import_failures_total";
const LAST: &str = "crates_ferry_catalog_last_import_timestamp_seconds";

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
    let import = &value(&server, "/api/v1/status")["import"];
    let error = import["last_error"].as_str().unwrap();
    assert!(error.contains("it is no gzip file"), "{import}");
    assert!(error.contains("Nothing was changed."), "{import}");
    assert!(!import.to_string().contains("hidden"), "{import}");
    // Of the one by hand.
    assert!(import["imported"].is_string(), "{import}");
    assert!(import["failures"].as_u64().unwrap() > 0, "{import}");
    let page = server.get("/status").text();
    assert!(page.contains("dump not imported"), "{page}");
    assert!(server.metric(FAILURES) > 0.0);
    assert!(server.metric(LAST) > 1e9);
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
    let told = "the connection ended after 100 B of the dump's 1.";
    assert!(said.contains(told), "{said}");
    assert!(said.contains("help: Try again."), "{said}");
    assert!(!said.contains("hidden"), "{said}");
}

#[test]
fn a_host_that_drips_is_given_up() {
    let site = site();
    let host = CrateHost::start();
    host.put_at("/crates/db-dump.tar.gz", Dump::new().bytes());
    host.behave(Manner::Dripping);
    let limits = [
        ("FERRY_NETWORK_IDLE_TIMEOUT", "300ms"),
        ("FERRY_NETWORK_RETRIES", "0"),
    ];
    let address = format!("{}/db-dump.tar.gz", host.dl());
    let output = site.run_with(&limits, &["catalog", "import", &address]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let told = "the host sent less than 1 KiB a second for 300ms";
    assert!(said.contains(told), "{said}");
}

/// Answers each request with these bytes, and closes the connection.
fn answering(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/db-dump.tar.gz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let _ = stream.write_all(&answer);
        }
    });
    address
}

#[test]
fn each_fault_of_the_host_is_told_as_that_with_what_to_do() {
    let site = site();
    let dump = Dump::new().bytes();
    let head = |status: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    let empty = |status: &str| format!("{}content-length: 0\r\n\r\n", head(status)).into_bytes();
    let chunk = format!("{}transfer-encoding: chunked\r\n\r\n64\r\n", head("200 OK"));
    let page = format!("{}\r\n<html>Log in first</html>", head("200 OK"));
    let retries = [("FERRY_NETWORK_RETRIES", "0")];
    for (answer, told, advice, code) in [
        (
            empty("500 Oh"),
            "responds with 500",
            "the fault is with the host",
            1,
        ),
        (
            empty("503 Busy"),
            "responds with 503",
            "the fault is with the host",
            1,
        ),
        (
            empty("429 Slow"),
            "responds with 429",
            "import less often",
            1,
        ),
        (
            empty("403 No"),
            "responds with 403",
            "needs no credentials",
            2,
        ),
        (
            empty("404 Gone"),
            "responds with 404",
            "Set catalog.import to the address",
            2,
        ),
        (
            format!(
                "{}location: /again\r\ncontent-length: 0\r\n\r\n",
                head("302 Found")
            )
            .into_bytes(),
            "its redirects lead nowhere",
            "the address that they should lead to",
            1,
        ),
        (
            Vec::new(),
            "lost before a response came",
            "check the proxies",
            1,
        ),
        (
            [chunk.as_bytes(), &dump[..100]].concat(),
            "the connection broke after 100 B of the dump",
            "look at the proxies",
            1,
        ),
        (
            page.into_bytes(),
            "it is no gzip file",
            "may be the page of a proxy",
            1,
        ),
    ] {
        let address = answering(answer);
        let output = site.run_with(&retries, &["catalog", "import", &address]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(told), "expected {told}: {said}");
        let (_, help) = said.split_once("help: ").expect(&said);
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(advice), "expected {advice}: {said}");
        assert_eq!(output.status.code(), Some(code), "{said}");
    }
}

#[test]
fn a_dump_from_years_ahead_keeps_out_none_that_follows() {
    let site = site();
    let mut ahead = Dump::new();
    ahead.put_file("metadata.json", br#"{"timestamp":"2999-01-01T00:00:00Z"}"#);
    ahead.put("crate_downloads", "crate_id,downloads", &["7,70"]);
    let file = ahead.write(site.folder.path());
    let output = site.run(&["catalog", "import", &file]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = "says that it was made 2999-01-01T00:00:00Z, which is yet to come";
    assert!(said.contains(told), "{said}");
    let done = printed(&output, 0);
    assert!(!done.contains("2999"), "{done}");
    // As a server wrote it down that believed it.
    let catalog = rusqlite::Connection::open(site.data().join("crates.sqlite")).unwrap();
    let set = catalog.execute("UPDATE imports SET made = 32472144000", []);
    assert_eq!(set, Ok(1));
    drop(catalog);
    let (address, _) = web(Dump::new().bytes(), usize::MAX);
    let server = serve(&site, &[("FERRY_CATALOG_IMPORT", address.as_str())]);
    server.wait_for("the import", || {
        value(&server, "/api/v1/crates/serde")["crate"]["downloads"] == 1000
    });
}

#[test]
fn an_older_dump_is_left_by_the_clock_and_told_by_hand() {
    let site = site();
    let file = Dump::new().write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    let mut older = Dump::new();
    older.put_file("metadata.json", br#"{"timestamp":"2026-11-01T02:00:15Z"}"#);
    older.put("crate_downloads", "crate_id,downloads", &["7,70"]);
    let (address, asked) = web(older.bytes(), usize::MAX);
    let pairs = [
        ("FERRY_CATALOG_IMPORT", address.as_str()),
        ("FERRY_CATALOG_IMPORT_EVERY", "1ms"),
    ];
    let server = serve(&site, &pairs);
    server.wait_for("a second one", || asked.lock().unwrap().len() >= 4);
    assert!(asked.lock().unwrap()[3].contains("if-none-match: \"one\""));
    let log = server.log();
    assert_eq!(log.matches("the newer one stays").count(), 1, "{log}");
    let downloads =
        |server: &Server| value(server, "/api/v1/crates/serde")["crate"]["downloads"].clone();
    assert_eq!(downloads(&server), 1000);
    drop(server);
    // What is in the catalog is the file's still.
    let told = printed(&site.run(&["catalog", "stat"]), 0);
    let imported = format!("{file}, made 2026-11-30T02:00:15Z");
    assert!(told.contains(&imported), "{told}");
    let file = older.write(site.folder.path());
    let newer = "what a newer dump said, made 2026-11-30T02:00:15Z";
    let planned = printed(&site.run(&["catalog", "import", &file, "--dry-run"]), 0);
    assert!(
        planned.contains(&format!("it would replace {newer}")),
        "{planned}"
    );
    let done = printed(&site.run(&["catalog", "import", &file]), 0);
    assert!(done.contains(&format!("it replaced {newer}")), "{done}");
    assert_eq!(downloads(&serve(&site, &[])), 70);
    let again = printed(&site.run(&["catalog", "import", &file]), 0);
    assert!(!again.contains("newer"), "{again}");
}
