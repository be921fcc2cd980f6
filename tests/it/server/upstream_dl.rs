//! Where crate files come from: the `dl` of upstream's `config.json`, learned once and kept, with its markers and redirects.

use crate::support::certificate;
use crate::support::crate_host::Manner;
use crate::support::daemon::GitDaemon;
use crate::support::relay::{Fate, Relay};
use crate::support::server::{Site, files_in, noise, sha256};
use crate::support::upstream::Commit;

fn site() -> Site {
    let mut site = Site::new();
    for number in 0..3 {
        site.publish("foo", &format!("{number}.0.0"), &noise(1_000, number));
    }
    site
}

/// Returns the file in which upstream's config.json is saved for the next start.
fn kept(site: &Site) -> std::path::PathBuf {
    let mut files = files_in(&site.data());
    files.retain(|path| path.display().to_string().contains("upstream-config"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

fn point_to(site: &mut Site, config: String) {
    let commit = Commit::new("Point elsewhere").file("config.json", config);
    site.index.commit([commit]);
}

/// Copies the index as it is, so that upstream's `config.json` can go bad while the served index stays one.
fn copy_of_index(site: &Site) -> String {
    let copy = site.folder.path().join("mirror.git");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([site.index.path(), &copy])
        .status();
    assert!(copied.unwrap().success());
    copy.display().to_string()
}

#[test]
fn an_upstream_that_hangs_holds_up_no_download_once_the_dl_is_known() {
    let site = site();
    let daemon = GitDaemon::start(site.folder.path());
    let relay = Relay::before(([127, 0, 0, 1], daemon.port()).into());
    let upstream = format!("git://{}/index.git", relay.address());
    let index = site.index.path().display().to_string();
    let pairs = [
        ("FERRY_UPSTREAM_URL", &*upstream),
        ("FERRY_SERVE_INDEX", &*index),
    ];
    assert!(site.serve(&pairs).download("foo", "0.0.0").is_whole);
    relay.set(Fate::Hang);
    let server = site.serve(&pairs);
    for version in ["1.0.0", "2.0.0"] {
        let got = server.download("foo", version);
        assert!(got.is_whole, "{}", got.text());
    }
}

#[test]
fn a_config_json_of_upstream_that_cannot_be_used_is_told_with_the_cause() {
    let mut site = site();
    let index = copy_of_index(&site);
    point_to(&mut site, "<html>".to_owned());
    let server = site.serve(&[("FERRY_SERVE_INDEX", &index)]);
    let got = server.download("foo", "0.0.0");
    assert_eq!(got.status, 502);
    let detail = got.detail();
    let wanted = "cannot use upstream's config.json: expected value at line 1 column 1";
    assert!(detail.contains(wanted), "{detail}");
}

#[test]
fn what_upstream_says_later_counts_where_it_is_of_use() {
    let mut site = site();
    let index = copy_of_index(&site);
    let pairs = [("FERRY_SERVE_INDEX", &*index)];
    assert!(site.serve(&pairs).download("foo", "0.0.0").is_whole);
    let good = std::fs::read(kept(&site)).unwrap();
    for bad in ["<html>", "{}"] {
        point_to(&mut site, bad.to_owned());
        let server = site.serve(&pairs);
        assert!(server.download("foo", "1.0.0").is_whole);
        server.wait_for("kept", || site.kept("foo", "1.0.0").is_file());
        std::fs::remove_file(site.kept("foo", "1.0.0")).unwrap();
        server.wait_for("told", || server.log().contains("keeping the known dl"));
        assert!(std::fs::read(kept(&site)).unwrap() == good, "{bad}");
    }
    let moved = format!(r#"{{"dl":"{}/"}}"#, site.host.dl());
    point_to(&mut site, moved.clone());
    let server = site.serve(&pairs);
    assert!(server.download("foo", "1.0.0").is_whole);
    server.wait_for("kept", || {
        std::fs::read(kept(&site)).unwrap() == moved.as_bytes()
    });
    drop(server);
    // Written by something else, or by half.
    std::fs::write(kept(&site), &moved[..5]).unwrap();
    let server = site.serve(&pairs);
    assert!(server.log().contains("ignoring "), "{}", server.log());
    assert!(server.download("foo", "2.0.0").is_whole);
    server.wait_for("kept", || {
        std::fs::read(kept(&site)).unwrap() == moved.as_bytes()
    });
}

#[test]
fn markers_are_filled_in() {
    let mut site = site();
    let bytes = noise(1_000, 9);
    site.publish("FooBar", "1.0.0+b", &bytes);
    let root = site.host.dl().trim_end_matches("/crates").to_owned();
    let sum = sha256(&bytes);
    for (number, (dl, path)) in [
        (
            "/{crate}/{crate}-{version}.crate",
            "/FooBar/FooBar-1.0.0%2Bb.crate".to_owned(),
        ),
        (
            "/a/{prefix}/{lowerprefix}/{version}",
            "/a/Fo/oB/fo/ob/1.0.0%2Bb".to_owned(),
        ),
        ("/{sha256-checksum}", format!("/{sum}")),
        // A slash at the end is not doubled.
        ("/b/", "/b/FooBar/1.0.0+b/download".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        point_to(&mut site, format!(r#"{{"dl":"{root}{dl}"}}"#));
        site.host.put_at(&path, bytes.clone());
        let data = site
            .folder
            .path()
            .join(number.to_string())
            .display()
            .to_string();
        let server = site.serve(&[("FERRY_SERVE_DATA_DIR", &data)]);
        let got = server.download("FooBar", "1.0.0+b");
        assert!(got.is_whole && got.body == bytes, "{}", got.text());
        assert_eq!(site.host.requests().last(), Some(&path));
    }
}

#[test]
fn a_dl_of_http_may_lead_to_https() {
    let mut site = Site::new();
    let bytes = noise(1_000, 1);
    site.publish("foo", "1.0.0", &bytes);
    let (cert, key) = certificate::make(site.folder.path(), "IP:127.0.0.1");
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let data = site.folder.path().join("tls").display().to_string();
    let host = site.serve(&[
        ("FERRY_SERVE_DATA_DIR", &data),
        ("FERRY_SERVE_TLS_CERT", &cert),
        ("FERRY_SERVE_TLS_KEY", &key),
    ]);
    assert!(host.download("foo", "1.0.0").is_whole);
    let to = host.url("/api/v1/crates/foo/1.0.0/download");
    site.host
        .behave(Manner::Status(302, format!("location: {to}\r\n")));
    // The system's authorities.
    let server = site.serve(&[("SSL_CERT_FILE", &cert)]);
    let got = server.download("foo", "1.0.0");
    assert!(got.is_whole && got.body == bytes, "{}", got.text());
    drop(server);
    // A container without any.
    std::fs::remove_dir_all(site.data()).unwrap();
    let none = site.folder.path().join("none").display().to_string();
    let server = site.serve(&[("SSL_CERT_FILE", &none)]);
    assert_eq!(server.download("foo", "1.0.0").status, 502);
    site.host.behave(Manner::Fine);
    assert!(server.download("foo", "1.0.0").body == bytes);
}

#[test]
fn a_dl_of_upstream_must_be_one_that_could_be_configured() {
    let long = format!("https://files.example/{}", "a".repeat(5000));
    for (number, dl) in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://me:password@files.example/",
        "http://files.example/\u{202e}\nx y",
        "http://files.example/{name}/{version}",
        &long,
    ]
    .into_iter()
    .enumerate()
    {
        let mut site = site();
        point_to(&mut site, serde_json::json!({ "dl": dl }).to_string());
        let server = site.serve(&[]);
        let got = server.download("foo", "0.0.0");
        assert_eq!(got.status, 502, "{number}");
        let detail = got.detail();
        let wanted = "cannot use the dl of upstream's config.json: ";
        assert!(detail.contains(wanted), "{detail}");
        assert!(!detail.contains("password@"), "{detail}");
        assert!(detail.len() < 400, "{detail}");
    }
}

#[test]
fn nothing_is_fetched_from_an_address_of_the_link() {
    let mut site = site();
    let to = "location: http://169.254.169.254/latest/meta-data\r\n".to_owned();
    site.host.behave(Manner::Status(302, to));
    let detail = site.serve(&[]).download("foo", "0.0.0").detail();
    assert!(detail.contains("link-local"), "{detail}");
    point_to(
        &mut site,
        r#"{"dl":"http://169.254.169.254/latest"}"#.to_owned(),
    );
    let data = site.folder.path().join("other").display().to_string();
    let pairs = [
        ("FERRY_SERVE_DATA_DIR", &*data),
        ("FERRY_SERVE_ALLOW_PRIVATE", "169.254.169.254"),
    ];
    let got = site.serve(&pairs).download("foo", "0.0.0");
    assert_eq!(got.status, 502);
    assert!(got.detail().contains("link-local"), "{}", got.detail());
}

#[test]
fn an_index_elsewhere_cannot_send_the_server_into_its_own_network() {
    let site = site();
    // No host has this address (RFC 5737). What such an upstream said last time is on the disk.
    let upstream = "git://192.0.2.1/index.git";
    let name = &sha256(format!("{upstream} master").as_bytes())[..16];
    let saved = site.data().join(format!("upstream-config-{name}.json"));
    let index = site.index.path().display().to_string();
    let loopback = site.host.dl();
    let local = loopback.replace("127.0.0.1", "localhost");
    for (dl, allowed) in [(&*loopback, "127.0.0.1"), (&local, "localhost")] {
        std::fs::create_dir_all(site.data()).unwrap();
        std::fs::write(&saved, serde_json::json!({ "dl": dl }).to_string()).unwrap();
        let pairs = [
            ("FERRY_UPSTREAM_URL", upstream),
            ("FERRY_SERVE_INDEX", &index),
        ];
        let before = site.host.requests().len();
        let got = site.serve(&pairs).download("foo", "0.0.0");
        assert_eq!(got.status, 502, "{}", got.text());
        let detail = got.detail();
        assert!(detail.contains("serve.allow_private"), "{detail}");
        assert_eq!(site.host.requests().len(), before);
        for named in [
            ("FERRY_SERVE_ALLOW_PRIVATE", allowed),
            ("FERRY_SERVE_DL", dl),
        ] {
            let server = site.serve(&[&pairs[..], &[named]].concat());
            let got = server.download("foo", "0.0.0");
            assert!(got.is_whole, "{named:?}: {}", got.text());
            server.wait_for("kept", || site.kept("foo", "0.0.0").is_file());
            drop(server);
            std::fs::remove_file(site.kept("foo", "0.0.0")).unwrap();
        }
    }
}
