//! More clients than places upstream, and an upstream that is slow.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::support::crate_host::Manner;
use crate::support::server::{Server, Site, noise, printed, sha256};
use crate::support::upstream::{Commit, index_path};

const ONE_PLACE: (&str, &str) = ("FERRY_SERVE_UPSTREAM_CONNECTIONS", "1");

/// Publishes many versions at once.
fn site(versions: usize) -> Site {
    let mut site = Site::new();
    let mut lines = String::new();
    for number in 0..versions {
        let (version, bytes) = (format!("{number}.0.0"), noise(1_000, number as u64));
        let line = serde_json::json!({
            "name": "foo", "vers": version, "deps": [], "cksum": sha256(&bytes), "features": {}, "yanked": false
        });
        lines.push_str(&format!("{line}\n"));
        site.host.put("foo", &version, bytes);
    }
    let commit = Commit::new("Publish them all").file(&index_path("foo"), lines.as_str());
    site.index.commit([commit]);
    site
}

/// Asks on a connection of its own, and reads nothing.
fn ask(server: &Server, method: &str, version: usize) -> TcpStream {
    let mut stream = server.connect();
    let path = format!("/api/v1/crates/foo/{version}.0.0/download");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn wait_for_misses(server: &Server, misses: usize) {
    server.wait_for("asked for", || {
        server.metric("crates_ferry_crate_misses_total") == misses as f64
    });
}

/// Goes away, and waits until the server has seen it.
fn leave(mut client: TcpStream) {
    client.shutdown(Shutdown::Write).unwrap();
    // The end, or a reset.
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn whoever_leaves_before_upstream_was_asked_takes_the_request_along() {
    let site = site(100);
    let server = site.serve(&[ONE_PLACE]);
    site.host.hold();
    let first = ask(&server, "GET", 0);
    site.host.wait_for_requests(1);
    let others: Vec<_> = (1..60).map(|number| ask(&server, "GET", number)).collect();
    wait_for_misses(&server, 60);
    // One of them has company that stays.
    let staying = thread::scope(|scope| {
        let staying = scope.spawn(|| server.download("foo", "7.0.0"));
        wait_for_misses(&server, 61);
        others.into_iter().for_each(leave);
        site.host.release();
        staying.join().unwrap()
    });
    assert!(staying.is_whole && staying.body == noise(1_000, 7));
    assert!(server.download("foo", "99.0.0").is_whole);
    drop(first);
    let asked = ["0", "7", "99"].map(|major| format!("/crates/foo/{major}.0.0/download"));
    assert_eq!(site.host.requests(), asked);
}

#[test]
fn a_head_fetches_nothing() {
    let site = site(2);
    let server = site.serve(&[]);
    let path = "/api/v1/crates/foo/0.0.0/download";
    let head = |server: &Server| server.ask("HEAD", path, &[], b"").unwrap();
    let etag = format!("\"{}\"", sha256(&noise(1_000, 0)));
    let cold = head(&server);
    assert_eq!((cold.status, cold.header("etag")), (200, Some(&*etag)));
    assert_eq!(cold.header("content-length"), None);
    assert!(site.host.requests().is_empty());
    assert!(server.download("foo", "0.0.0").is_whole);
    server.wait_for("kept", || site.kept("foo", "0.0.0").is_file());
    let offline = ("FERRY_SERVE_DOWNLOADS", "offline");
    let check = |server: &Server| {
        let held = head(server);
        assert_eq!((held.status, held.header("etag")), (200, Some(&*etag)));
        assert_eq!(held.header("content-length"), Some("1000"));
    };
    check(&server);
    drop(server);
    let server = site.serve(&[offline]);
    check(&server);
    let path = "/api/v1/crates/foo/1.0.0/download";
    assert_eq!(server.ask("HEAD", path, &[], b"").unwrap().status, 404);
    assert_eq!(site.host.requests().len(), 1);
}

#[test]
fn a_line_that_is_too_long_is_closed() {
    let site = site(1_026);
    let server = site.serve(&[ONE_PLACE]);
    site.host.hold();
    let first = ask(&server, "GET", 0);
    site.host.wait_for_requests(1);
    let waiting: Vec<_> = (1..1_025)
        .map(|number| ask(&server, "GET", number))
        .collect();
    wait_for_misses(&server, 1_025);
    let refused = server.download("foo", "1025.0.0");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert!(
        refused.detail().contains("too many"),
        "{}",
        refused.detail()
    );
    // What is being fetched has room for everybody.
    thread::scope(|scope| {
        let joining = scope.spawn(|| server.download("foo", "0.0.0"));
        wait_for_misses(&server, 1_027);
        site.host.release();
        assert!(joining.join().unwrap().body == noise(1_000, 0));
    });
    drop((first, waiting));
    server.wait_for("served", || {
        server.download("foo", "1025.0.0").status == 200
    });
}

#[test]
fn a_client_is_told_before_cargo_gives_up_and_the_search_goes_on() {
    let site = site(2);
    let server = site.serve(&[ONE_PLACE]);
    site.host.hold();
    thread::scope(|scope| {
        let waiting = [0, 1].map(|number| {
            let server = &server;
            let version = format!("{number}.0.0");
            scope.spawn(move || server.download("foo", &version))
        });
        for got in waiting.map(|waiting| waiting.join().unwrap()) {
            assert_eq!(got.status, 504, "{}", got.text());
            assert!(
                got.detail().contains("no response within 20s"),
                "{}",
                got.detail()
            );
        }
    });
    site.host.release();
    server.wait_for("kept", || server.metric("crates_ferry_store_files") == 1.0);
    let asked = site.host.requests().len();
    assert_eq!(asked, 1, "nobody waited for the other one any more");
    for version in ["0.0.0", "1.0.0"] {
        assert!(server.download("foo", version).is_whole);
    }
    assert_eq!(site.host.requests().len(), 2);
}

#[test]
fn the_clients_of_a_slow_upstream_get_its_bytes_as_they_come() {
    let mut site = Site::new();
    let bytes = noise(2_700_000, 1);
    site.publish("foo", "1.0.0", &bytes);
    let server = site.serve(&[]);
    site.host.behave(Manner::Pausing(100_000));
    let mut clients = [1, 1].map(|number| ask(&server, "GET", number));
    let begins = clients.each_mut().map(|client| {
        let head = answer_end(client);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut begin = vec![0; 50_000];
        client.read_exact(&mut begin).unwrap();
        begin
    });
    // Nothing after these came yet.
    site.host.go_on();
    for (mut client, mut body) in clients.into_iter().zip(begins) {
        let mut rest = vec![0; bytes.len() - body.len()];
        client.read_exact(&mut rest).unwrap();
        body.append(&mut rest);
        assert!(body == bytes);
    }
    assert_eq!(site.host.requests().len(), 1);
}

#[test]
fn every_request_is_a_hit_or_a_miss() {
    let site = site(2);
    let server = site.serve(&[]);
    site.host.hold();
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| assert!(server.download("foo", "0.0.0").is_whole));
        }
        wait_for_misses(&server, 5);
        site.host.release();
    });
    for _ in 0..3 {
        assert!(server.download("foo", "0.0.0").is_whole);
    }
    let counted =
        ["hits", "misses"].map(|name| server.metric(&format!("crates_ferry_crate_{name}_total")));
    assert_eq!(counted, [3.0, 5.0]);
}

#[test]
fn a_file_that_a_slow_client_reads_is_not_evicted() {
    let mut site = Site::new();
    let bytes = noise(20_000_000, 1);
    site.publish("foo", "1.0.0", &bytes);
    let server = site.serve(&[]);
    let mut client = ask(&server, "GET", 1);
    // It begins while it is being fetched, and is kept while it is read.
    let mut answer = vec![0; 1];
    client.read_exact(&mut answer).unwrap();
    server.wait_for("kept", || site.kept("foo", "1.0.0").is_file());
    drop(printed(&site.run(&["cache", "evict", "foo@1.0.0"]), 0));
    assert!(site.kept("foo", "1.0.0").is_file());
    let mut rest = vec![0; bytes.len()];
    let end = answer_end(&mut client);
    assert!(
        end.to_ascii_lowercase()
            .contains("content-length: 20000000")
    );
    client.read_exact(&mut rest).unwrap();
    assert!(rest == bytes);
    drop(client);
    server.wait_for("evicted", || {
        drop(site.run(&["cache", "evict", "foo@1.0.0"]));
        !site.kept("foo", "1.0.0").exists()
    });
}

/// Reads the rest of an answer's head.
fn answer_end(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
