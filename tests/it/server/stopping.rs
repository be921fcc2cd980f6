//! Signals: downloads finish before the server ends, and a hangup ends nothing.

use std::thread;

use crate::support::server::{Site, noise, sha256};

#[test]
fn a_download_in_hand_is_finished() {
    let mut site = Site::new();
    let bytes = noise(2_000_000, 1);
    site.publish("foo", "1.0.0", &bytes);
    let server = site.serve(&[]);
    site.host.hold();
    let url = server.url("/api/v1/crates/foo/1.0.0/download");
    let client = thread::spawn(move || {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        crate::support::server::ask(client, "GET", &url, &[], b"").unwrap()
    });
    site.host.wait_for_requests(1);
    server.signal("TERM");
    server.wait_for("stopping", || server.log().contains("stopping"));
    site.host.release();
    let got = client.join().unwrap();
    assert!(got.is_whole && got.body == bytes);
    let (end, log) = server.end();
    assert!(end.success(), "{log}");
    assert!(site.kept("foo", "1.0.0").is_file());
    // The very last request is in the log, too.
    assert!(log.contains("\"bytes\":2000000"), "{log}");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", &noise(2_000_000, 1));
    let server = site.serve(&[]);
    site.host.hold();
    let url = server.url("/api/v1/crates/foo/1.0.0/download");
    let client = thread::spawn(move || {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        crate::support::server::ask(client, "GET", &url, &[], b"")
    });
    site.host.wait_for_requests(1);
    server.signal("INT");
    server.wait_for("stopping", || server.log().contains("stopping"));
    server.signal("INT");
    // The host still holds the file back: without the second signal the server would wait for it.
    let (end, log) = server.end();
    assert_eq!(end.code(), Some(130), "{log}");
    site.host.release();
    assert!(client.join().unwrap().is_err());
}

#[test]
fn a_hangup_reads_tokens_anew_and_ends_nothing() {
    let site = Site::new();
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, "# nobody\n").unwrap();
    let server = site.serve(&[("FERRY_SERVE_AUTH", tokens.to_str().unwrap())]);
    let token = format!("{}  ci\n", sha256(b"token"));
    std::fs::write(&tokens, token).unwrap();
    server.signal("HUP");
    server.wait_for("SIGHUP", || server.log().contains("SIGHUP: tokens"));
    server.wait_for("1 token", || server.log().contains("1 token"));
    let asked = [("authorization", "token")];
    assert_eq!(server.get_with("/index/config.json", &asked).status, 200);
}
