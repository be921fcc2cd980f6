//! Killed at any moment: the next start is clean, and nothing wrong is kept.

use std::thread;
use std::time::Duration;

use crate::support::crate_host::Manner;
use crate::support::repo::git;
use crate::support::server::{Server, Site, command, files_in, noise, printed};

#[test]
fn during_a_download() {
    let mut site = Site::new();
    let bytes = noise(4_000_000, 1);
    site.publish("foo", "1.0.0", &bytes);
    for at in [0, 1, 1_500_000, 3_999_999] {
        let server = site.serve(&[]);
        let before = site.host.requests().len();
        site.host.behave(Manner::Silent(at));
        let url = server.url("/api/v1/crates/foo/1.0.0/download");
        let client = thread::spawn(move || {
            let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
            let got = crate::support::server::ask(client, "GET", &url, &[], b"");
            assert!(got.is_err() || got.is_ok_and(|got| !got.is_whole));
        });
        site.host.wait_for_requests(before + 1);
        thread::sleep(Duration::from_millis(50));
        server.kill();
        client.join().unwrap();
        assert!(files_in(&site.data().join("crates")).is_empty());
    }
    site.host.behave(Manner::Fine);
    let server = site.serve(&[]);
    assert!(server.download("foo", "1.0.0").body == bytes);
    server.wait_for("kept", || site.kept("foo", "1.0.0").is_file());
    server.wait_for("clean", || files_in(&site.data().join("tmp")).is_empty());
}

#[test]
fn during_a_refresh() {
    let mut site = Site::new();
    site.index.publish_many("old", 500);
    for round in 0..12 {
        let name = format!("new-{round}");
        site.publish(&name, "1.0.0", name.as_bytes());
        let server = Server::start(&site.variables());
        thread::sleep(Duration::from_millis(round * 3));
        server.kill();
    }
    let server = site.serve(&[]);
    for round in 0..12 {
        assert_eq!(server.entry(&format!("new-{round}")).status, 200);
    }
    let copy = site.data().join("index.git");
    git(&copy, &["fsck", "--strict"]);
    let stray = files_in(&copy).into_iter().find(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(".tmp") || name.starts_with("tmp")
    });
    assert_eq!(stray, None);
}

#[test]
fn during_an_eviction() {
    let mut site = Site::new();
    for number in 0..60 {
        site.publish("foo", &format!("{number}.0.0"), &noise(20_000, number));
    }
    for round in 0..6 {
        let output = site.run(&["prefetch", "--all"]);
        assert!(output.status.success(), "{output:?}");
        // At its start it evicts almost everything.
        let server = Server::start(&site.variables_and(&[("FERRY_SERVE_MAX_SIZE", "30000")]));
        thread::sleep(Duration::from_millis(round * 2));
        server.kill();
        let output = site.run(&["cache", "verify"]);
        assert!(output.status.success(), "{output:?}");
        let listed = site.run(&["cache", "ls", "foo"]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        let kept = files_in(&site.data().join("crates")).len();
        assert_eq!(listed.matches("foo").count(), kept, "{listed}");
    }
    let server = site.serve(&[("FERRY_SERVE_MAX_SIZE", "30000")]);
    for number in 0..60 {
        let got = server.download("foo", &format!("{number}.0.0"));
        assert!(got.is_whole && got.body == noise(20_000, number));
    }
}

#[test]
fn during_a_prefetch() {
    let mut site = Site::new();
    for number in 0..20 {
        site.publish("foo", &format!("{number}.0.0"), &noise(20_000, number));
    }
    site.host.hold_after(8);
    let mut prefetch = command(&site.variables_and(&[("FERRY_SERVE_UPSTREAM_CONNECTIONS", "4")]))
        .args(["prefetch", "--all"])
        .spawn()
        .unwrap();
    site.host.wait_for_requests(12);
    prefetch.kill().unwrap();
    prefetch.wait().unwrap();
    let kept = files_in(&site.data().join("crates")).len();
    assert!((8..12).contains(&kept), "{kept}");
    site.host.release();
    let shown = printed(&site.run(&["prefetch", "--all"]), 0);
    let expected = format!("20 crate files: {} fetched", 20 - kept);
    assert!(shown.starts_with(&expected), "{shown}");
    assert!(shown.contains(&format!("{kept} stored before")), "{shown}");
    assert_eq!(site.host.requests().len(), 12 + 20 - kept);
    let verified = printed(&site.run(&["cache", "verify"]), 0);
    assert!(
        verified.starts_with("20 crate files are intact"),
        "{verified}"
    );
}

#[test]
fn a_damaged_copy_is_fetched_anew() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"x");
    drop(site.serve(&[]));
    let copy = site.data().join("index.git");
    for damage in ["refs/heads/master", "pack"] {
        match damage {
            "pack" => {
                for path in files_in(&copy.join("objects/pack")) {
                    let mut bytes = std::fs::read(&path).unwrap();
                    bytes.iter_mut().skip(20).for_each(|byte| *byte ^= 0x55);
                    std::fs::remove_file(&path).unwrap();
                    std::fs::write(&path, bytes).unwrap();
                }
            }
            file => std::fs::write(copy.join(file), "damaged").unwrap(),
        }
        let server = site.serve(&[]);
        assert_eq!(server.entry("foo").status, 200, "{damage}");
        assert!(
            server.log().contains("fetching a new one"),
            "{}",
            server.log()
        );
        drop(server);
        git(&copy, &["fsck", "--strict"]);
    }
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"x");
    let _server = site.serve(&[]);
    let output = site.run(&["serve"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("another process uses"), "{text}");
}
