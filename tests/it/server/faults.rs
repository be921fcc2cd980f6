//! Upstreams and disks that fail: nothing wrong is ever served or kept, and the next request succeeds.

use crate::support::crate_host::{Manner, raw};
use crate::support::server::{Site, files_in, noise, printed};

const SMALL: usize = 50_000;
const LARGE: usize = 3_000_000;

fn site() -> (Site, [Vec<u8>; 2]) {
    let mut site = Site::new();
    let files = [noise(SMALL, 1), noise(LARGE, 2)];
    site.publish("foo", "0.0.0", &files[0]);
    site.publish("foo", "1.0.0", &files[1]);
    (site, files)
}

/// Nothing but whole files may be kept.
fn check_kept(site: &Site, files: &[Vec<u8>; 2]) {
    for path in files_in(&site.data().join("crates")) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(files.contains(&bytes), "{}", path.display());
    }
}

#[test]
fn a_captive_portals_page_is_no_crate_file() {
    let (mut site, files) = site();
    let page = b"<html>Please sign in</html>".to_vec();
    let wrongs = [
        page,
        Vec::new(),
        files[0][..SMALL - 1].to_vec(),
        noise(LARGE, 3),
    ];
    // What is wrong twice is not asked for at once again.
    let mut cases = vec![
        ("0.0.0".to_owned(), files[0].clone(), wrongs[0].clone()),
        ("1.0.0".to_owned(), files[1].clone(), wrongs[0].clone()),
    ];
    for (number, wrong) in wrongs.into_iter().enumerate().skip(1) {
        for size in [SMALL, LARGE] {
            let version = format!("{size}.{number}.0");
            let bytes = noise(size, 10 + number as u64);
            site.publish("foo", &version, &bytes);
            cases.push((version, bytes, wrong.clone()));
        }
    }
    let server = site.serve(&[]);
    for (version, _, wrong) in &cases {
        site.host.behave(Manner::Wrong(wrong.clone()));
        let got = server.download("foo", version);
        let is_refused = got.status == 502 && got.detail().contains("checksum");
        assert!(
            is_refused || (got.status == 200 && !got.is_whole),
            "{}",
            got.status
        );
        assert_eq!(files_in(&site.data().join("crates")).len(), 0);
    }
    assert_eq!(server.metric("crates_ferry_checksum_failures_total"), 8.0);
    site.host.behave(Manner::Fine);
    for (version, bytes, _) in &cases {
        assert!(server.download("foo", version).body == *bytes);
    }
    server.wait_for("kept", || files_in(&site.data().join("tmp")).is_empty());
}

#[test]
fn a_file_that_is_cut_is_asked_for_from_there() {
    let (site, files) = site();
    let server = site.serve(&[]);
    for (version, bytes) in [("0.0.0", &files[0]), ("1.0.0", &files[1])] {
        site.host.behave(Manner::Cut(bytes.len() / 2));
        let got = server.download("foo", version);
        assert!(got.status == 200 && got.is_whole && got.body == *bytes);
    }
}

#[test]
fn a_server_that_begins_anew_is_read_over() {
    let (site, files) = site();
    let server = site.serve(&[]);
    for (version, bytes) in [("0.0.0", &files[0]), ("1.0.0", &files[1])] {
        site.host.behave(Manner::CutOnce(bytes.len() / 2 + 1));
        let got = server.download("foo", version);
        assert!(got.status == 200 && got.is_whole && got.body == *bytes);
    }
    assert_eq!(site.host.requests().len(), 4);
}

#[test]
fn a_file_that_is_cut_at_any_byte_is_never_whole() {
    let mut site = Site::new();
    let mut cases = Vec::new();
    for (size, seed) in [(SMALL, 10), (LARGE, 20)] {
        for (number, at) in [0, 1, size / 3, size - 1_000, size - 1]
            .into_iter()
            .enumerate()
        {
            let version = format!("{seed}.{number}.0");
            let bytes = noise(size, seed + number as u64);
            site.publish("foo", &version, &bytes);
            cases.push((version, bytes, at));
        }
    }
    let server = site.serve(&[("FERRY_NETWORK_RETRIES", "0")]);
    for (version, bytes, at) in cases {
        site.host.behave(Manner::AlwaysCut(at));
        let got = server.download("foo", &version);
        assert!(got.status == 502 || !got.is_whole, "{at}: {}", got.status);
        assert!(!site.kept("foo", &version).exists());
        // A success in between, so that upstream is not left alone.
        site.host.behave(Manner::Fine);
        let next = server.download("foo", &version);
        assert!(next.is_whole && next.body == bytes);
    }
}

#[test]
fn a_file_without_a_length_is_taken_too() {
    let (site, files) = site();
    let server = site.serve(&[]);
    site.host.behave(Manner::WithoutLength);
    for (version, bytes) in [("0.0.0", &files[0]), ("1.0.0", &files[1])] {
        let got = server.download("foo", version);
        assert!(got.is_whole && got.body == *bytes);
    }
}

#[test]
fn a_length_that_no_crate_file_has_is_not_believed() {
    let (site, files) = site();
    let server = site.serve(&[]);
    let head = format!("200 OK\r\ncontent-length: {}", 1_u64 << 50);
    let answer = raw(&head, &noise(LARGE, 3));
    site.host.behave(Manner::Raw(vec![answer]));
    let got = server.download("foo", "1.0.0");
    assert_eq!(got.status, 502, "{:?}", got.headers);
    assert!(got.detail().contains(&(1_u64 << 50).to_string()));
    assert_eq!(site.host.requests().len(), 1);
    assert!(files_in(&site.data().join("tmp")).is_empty());
    site.host.behave(Manner::Fine);
    assert!(server.download("foo", "1.0.0").body == files[1]);
    check_kept(&site, &files);
}

#[test]
fn a_silent_upstream_ends_with_504() {
    let (site, files) = site();
    let server = site.serve(&[
        ("FERRY_NETWORK_IDLE_TIMEOUT", "300ms"),
        ("FERRY_NETWORK_RETRIES", "0"),
    ]);
    for at in [0, 1000] {
        site.host.behave(Manner::Silent(at));
        let got = server.download("foo", "0.0.0");
        assert_eq!(got.status, 504, "{}", got.text());
    }
    site.host.behave(Manner::Silent(LARGE / 2));
    let got = server.download("foo", "1.0.0");
    assert!(got.status == 200 && !got.is_whole);
    site.host.behave(Manner::Fine);
    assert!(server.download("foo", "1.0.0").body == files[1]);
    check_kept(&site, &files);
}

#[test]
fn an_upstream_that_drips_is_given_up() {
    let (site, files) = site();
    let server = site.serve(&[
        ("FERRY_NETWORK_IDLE_TIMEOUT", "300ms"),
        ("FERRY_NETWORK_RETRIES", "0"),
    ]);
    site.host.behave(Manner::Dripping);
    for version in ["0.0.0", "1.0.0"] {
        let got = server.download("foo", version);
        assert!(got.status == 504 || !got.is_whole, "{}", got.text());
        let told = format!(
            "foo {version}: timeout while fetching the crate file from upstream: it sent less than 1 KiB a second for 300ms"
        );
        server.wait_for("the log", || server.log().contains(&told));
    }
    site.host.behave(Manner::Fine);
    assert!(server.download("foo", "1.0.0").body == files[1]);
    check_kept(&site, &files);
}

#[test]
fn what_upstream_answers_is_told_in_cargos_form() {
    let (mut site, files) = site();
    for number in 0..6 {
        site.publish("bar", &format!("{number}.0.0"), &noise(1_000, 10 + number));
    }
    let server = site.serve(&[("FERRY_NETWORK_RETRIES", "0")]);
    for (number, (manner, status)) in [
        (Manner::Status(404, String::new()), 404),
        (Manner::Status(403, String::new()), 404),
        (Manner::Status(451, String::new()), 404),
        (Manner::Status(500, String::new()), 502),
        (Manner::Status(418, String::new()), 502),
        (Manner::Loop, 502),
    ]
    .into_iter()
    .enumerate()
    {
        site.host.behave(manner.clone());
        let got = server.download("bar", &format!("{number}.0.0"));
        assert_eq!(got.status, status, "{manner:?}");
        assert!(!got.detail().is_empty());
    }
    site.host.behave(Manner::Redirect);
    assert!(server.download("foo", "0.0.0").body == files[0]);
}

#[test]
fn a_circle_of_redirects_is_told_as_one_and_not_entered_again() {
    let (site, _) = site();
    site.host.behave(Manner::Loop);
    // Retries would take a minute: with pauses of 1, 2, 4 and 8 seconds after each 3 attempts.
    let missing = site.run(&["prefetch", "--crate", "foo@1.0.0"]);
    let shown = printed(&missing, 1);
    assert!(shown.contains("it redirects more than 5 times"), "{shown}");
    assert_eq!(site.host.requests().len(), 6);
}

#[test]
fn a_failure_that_passes_is_tried_again() {
    let (site, files) = site();
    let server = site.serve(&[]);
    site.host.behave(Manner::StatusAtFirst(503, 1));
    assert!(server.download("foo", "0.0.0").body == files[0]);
    assert_eq!(site.host.requests().len(), 2);
}

#[test]
fn an_upstream_that_asks_for_a_pause_gets_it() {
    let (site, _) = site();
    let server = site.serve(&[]);
    site.host
        .behave(Manner::Status(429, "retry-after: 30\r\n".to_owned()));
    assert_eq!(server.download("foo", "0.0.0").status, 502);
    let paused = server.download("foo", "1.0.0");
    assert_eq!(paused.status, 502);
    let seconds: u64 = paused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31).contains(&seconds));
    assert_eq!(site.host.requests().len(), 1);
}

#[test]
fn a_damaged_file_is_dropped_and_fetched_again() {
    let (site, files) = site();
    drop(site.serve(&[]).download("foo", "0.0.0"));
    let server = site.serve(&[]);
    for (version, bytes) in [("0.0.0", &files[0]), ("1.0.0", &files[1])] {
        assert!(server.download("foo", version).body == *bytes);
        server.wait_for("kept", || site.kept("foo", version).is_file());
    }
    drop(server);
    for (version, bytes) in [("0.0.0", &files[0]), ("1.0.0", &files[1])] {
        let mut flipped = bytes.clone();
        flipped[SMALL / 2] ^= 1;
        for damaged in [flipped, bytes[..1000].to_vec(), Vec::new()] {
            std::fs::write(site.kept("foo", version), damaged).unwrap();
            // Without what reads manifests, which may meet the damage first.
            let server = site.serve(&[("FERRY_SERVE_CATALOG", "off")]);
            let got = server.download("foo", version);
            assert!(got.is_whole && got.body == *bytes);
            assert_eq!(server.metric("crates_ferry_damaged_files_total"), 1.0);
            server.wait_for("kept again", || {
                std::fs::read(site.kept("foo", version)).ok().as_ref() == Some(bytes)
            });
        }
    }
}

#[test]
fn a_store_that_cannot_be_written_still_serves() {
    let (site, files) = site();
    // A file where the folder should be: not even root can write there.
    std::fs::create_dir_all(site.data()).unwrap();
    std::fs::write(site.data().join("crates"), b"").unwrap();
    let server = site.serve(&[]);
    for (version, bytes) in [("0.0.0", &files[0]), ("1.0.0", &files[1])] {
        let got = server.download("foo", version);
        assert!(got.is_whole && got.body == *bytes);
    }
    server.wait_for("told", || {
        server.metric("crates_ferry_store_write_failures_total") == 2.0
    });
    assert!(
        server.log().contains("cannot store the crate file"),
        "{}",
        server.log()
    );
}
