//! Crate files: fetched once, verified, kept; or not at all.

use std::thread;

use crate::support::crate_host::Manner;
use crate::support::raw_http::converse;
use crate::support::server::{Site, noise};

/// One that is served from memory, one that is not, one of several pieces.
const SIZES: [usize; 3] = [1_000, 900_000, 5_000_000];

fn site() -> (Site, Vec<Vec<u8>>) {
    let mut site = Site::new();
    let files: Vec<_> = SIZES
        .iter()
        .map(|size| noise(*size, *size as u64))
        .collect();
    for (number, bytes) in files.iter().enumerate() {
        site.publish("foo", &format!("{number}.0.0"), bytes);
    }
    (site, files)
}

#[test]
fn a_file_is_fetched_once_and_kept() {
    let (site, files) = site();
    let server = site.serve(&[("FERRY_SERVE_CONTACT", "ops@example.com")]);
    for (number, bytes) in files.iter().enumerate() {
        let version = format!("{number}.0.0");
        for _ in 0..3 {
            let got = server.download("foo", &version);
            assert_eq!((got.status, got.is_whole), (200, true));
            assert!(got.body == *bytes);
            assert_eq!(
                got.header("content-length"),
                Some(bytes.len().to_string().as_str())
            );
        }
        server.wait_for("kept", || site.kept("foo", &version).is_file());
        assert!(std::fs::read(site.kept("foo", &version)).unwrap() == *bytes);
    }
    assert_eq!(site.host.requests().len(), files.len());
    assert!(
        site.host.agents()[0].contains("(ops@example.com)"),
        "{:?}",
        site.host.agents()
    );
    drop(server);
    site.host.behave(Manner::Status(500, String::new()));
    let server = site.serve(&[]);
    for (number, bytes) in files.iter().enumerate() {
        assert!(server.download("foo", &format!("{number}.0.0")).body == *bytes);
    }
    assert_eq!(server.metric("crates_ferry_store_files"), 3.0);
}

#[test]
fn many_who_ask_at_once_cost_one_request() {
    let (site, files) = site();
    let server = site.serve(&[]);
    for (number, bytes) in files.iter().enumerate() {
        site.host.hold();
        let version = format!("{number}.0.0");
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let got = server.download("foo", &version);
                    assert!(got.is_whole && got.body == *bytes);
                });
            }
            site.host.wait_for_requests(number + 1);
            site.host.release();
        });
        assert_eq!(site.host.requests().len(), number + 1);
    }
}

#[test]
fn no_more_are_fetched_at_once_than_configured() {
    let mut site = Site::new();
    for number in 0..6 {
        site.publish("foo", &format!("{number}.0.0"), &noise(1_000, number));
    }
    let server = site.serve(&[("FERRY_SERVE_UPSTREAM_CONNECTIONS", "2")]);
    site.host.hold();
    thread::scope(|scope| {
        for number in 0..6 {
            let server = &server;
            scope.spawn(move || {
                let got = server.download("foo", &format!("{number}.0.0"));
                assert!(got.is_whole && got.body == noise(1_000, number));
            });
        }
        site.host.wait_for_requests(2);
        // All six have been taken in.
        server.wait_for("asked for", || {
            server.metric("crates_ferry_crate_misses_total") == 6.0
        });
        assert_eq!(site.host.requests().len(), 2);
        site.host.release();
    });
    assert_eq!(site.host.requests().len(), 6);
}

#[test]
fn whoever_goes_away_leaves_the_fetch_to_the_next() {
    let (site, files) = site();
    let server = site.serve(&[]);
    site.host.hold();
    let address = server.url("").trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = b"GET /api/v1/crates/foo/2.0.0/download HTTP/1.1\r\nhost: x\r\n\r\n";
    std::io::Write::write_all(&mut stream, request).unwrap();
    site.host.wait_for_requests(1);
    drop(stream);
    site.host.release();
    assert!(server.download("foo", "2.0.0").body == files[2]);
    assert_eq!(site.host.requests().len(), 1);
}

#[test]
fn what_the_index_does_not_list_is_not_asked_for() {
    let (site, _) = site();
    let server = site.serve(&[]);
    // The client resolves the dots, so that one path asks for a crate of which the catalog has to know.
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    for path in [
        "foo/9.0.0",
        "bar/1.0.0",
        "foo/1.0.0%2f..",
        "../1.0.0",
        "foo/%2e%2e",
        "con/1.0.0",
        "é/1.0.0",
    ] {
        let got = server.get(&format!("/api/v1/crates/{path}/download"));
        assert_eq!(got.status, 404, "{path}");
        assert!(!got.detail().is_empty());
    }
    assert_eq!(server.download("FOO", "0.0.0").status, 200);
    assert_eq!(site.host.requests(), ["/crates/foo/0.0.0/download"]);
}

#[test]
fn no_path_leads_to_anything_but_a_listed_version() {
    let (site, _) = site();
    let server = site.serve(&[]);
    let mut paths: Vec<String> = [
        "%c3%a9/1.0.0",
        "é/1.0.0",
        "nul/1.0.0",
        "foo%00/1.0.0",
        "foo/0.0.0%00",
        "foo%0d%0a/1.0.0",
        "%2ffoo/0.0.0",
        "foo%2f0.0.0/0.0.0",
        "foo//0.0.0",
        "foo/./0.0.0",
        "bar/../foo/0.0.0",
        "foo\\..\\foo/0.0.0",
        "/",
        "",
        "fo%6f/0.0.1",
        "fo%zz/0.0.0",
        "foo/00.0.0",
        "foo/0.0.0+build",
        "foo/%200.0.0",
        "-foo/0.0.0",
        "foo./0.0.0",
        "foo-/0.0.0",
        "f_o/0.0.0",
    ]
    .map(str::to_owned)
    .into();
    for length in [65, 256, 4_096, 20_000] {
        paths.push(format!("{}/1.0.0", "a".repeat(length)));
        paths.push(format!("foo/{}.0.0", "1".repeat(length)));
        paths.push(format!("foo/{}0.0.0", "../".repeat(length / 3)));
    }
    for path in paths {
        let request = format!(
            "GET /api/v1/crates/{path}/download HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        let (head, body) = converse(&server, &request);
        assert!(head.starts_with("http/1.1 404 "), "{path}: {head}");
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(told["errors"][0]["detail"].is_string(), "{path}: {told}");
    }
    assert!(site.host.requests().is_empty());
}

#[test]
fn clients_may_be_sent_to_upstream() {
    let (site, _) = site();
    let server = site.serve(&[("FERRY_SERVE_DOWNLOADS", "redirect")]);
    let got = server.download("foo", "0.0.0");
    let wanted = format!("{}/foo/0.0.0/download", site.host.dl());
    assert_eq!(
        (got.status, got.header("location")),
        (302, Some(wanted.as_str()))
    );
    assert!(site.host.requests().is_empty());
}

#[test]
fn offline_only_what_is_held_is_served() {
    let (site, files) = site();
    let server = site.serve(&[]);
    assert_eq!(server.download("foo", "1.0.0").status, 200);
    server.wait_for("kept", || site.kept("foo", "1.0.0").is_file());
    drop(server);
    let offline = ("FERRY_SERVE_DOWNLOADS", "offline");
    let server = site.serve(&[offline]);
    assert!(server.download("foo", "1.0.0").body == files[1]);
    let got = server.download("foo", "0.0.0");
    assert_eq!(got.status, 404);
    assert!(got.detail().contains("offline"), "{}", got.detail());
    assert_eq!(server.entry("foo").text().lines().count(), 3);
    drop(server);
    let server = site.serve(&[offline, ("FERRY_SERVE_OFFLINE_INDEX", "held")]);
    let held = server.entry("foo").text();
    assert!(
        held.lines().count() == 1 && held.contains("\"1.0.0\""),
        "{held}"
    );
    assert_eq!(site.host.requests().len(), 1);
}

#[test]
fn a_dl_that_leads_back_to_us_is_refused() {
    let (site, _) = site();
    let variables = site.variables_and(&[
        ("FERRY_SERVE_PUBLIC_URL", "http://mirror.example"),
        ("FERRY_SERVE_DL", "http://mirror.example/api/v1/crates"),
    ]);
    let output = crate::support::server::command(&variables)
        .arg("serve")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("this server itself"),
        "{output:?}"
    );
    let server = site.serve(&[]);
    let own = server.get("/index/config.json").text();
    let mut site = site;
    let commit = crate::support::upstream::Commit::new("Point at ourselves");
    site.index.commit([commit.file("config.json", own)]);
    let got = server.download("foo", "0.0.0");
    assert_eq!(got.status, 502);
    assert!(
        got.detail().contains("this server itself"),
        "{}",
        got.detail()
    );
}

#[test]
fn whoever_names_what_it_has_is_sent_nothing() {
    let (site, _) = site();
    let server = site.serve(&[]);
    let whole = server.download("foo", "0.0.0");
    let etag = whole.header("etag").unwrap();
    for (named, status) in [
        (etag.to_owned(), 304),
        (format!("W/{etag}"), 304),
        (format!("\"x\", {etag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let asked = [("if-none-match", named.as_str())];
        let got = server.get_with("/api/v1/crates/foo/0.0.0/download", &asked);
        assert_eq!((got.status, got.body.is_empty()), (status, status == 304));
        for name in ["etag", "cache-control"] {
            assert_eq!(got.header(name), whole.header(name), "{named}");
        }
    }
}
