//! What upstream does wrong again and again is not asked for again and again; what went wrong once is.

use std::thread;

use crate::support::crate_host::Manner;
use crate::support::server::{Got, Server, Site, noise};

fn site(versions: u64) -> Site {
    let mut site = Site::new();
    for number in 0..versions {
        site.publish("foo", &format!("{number}.0.0"), &noise(50_000, number));
    }
    site
}

fn seconds(got: &Got) -> u64 {
    got.header("retry-after").unwrap().parse().unwrap()
}

fn download_often(server: &Server) -> Vec<Got> {
    (0..20).map(|_| server.download("foo", "0.0.0")).collect()
}

#[test]
fn a_page_in_place_of_a_file_is_fetched_twice_and_then_left_alone() {
    let site = site(2);
    let server = site.serve(&[]);
    site.host
        .behave(Manner::Wrong(b"<html>Please sign in</html>".to_vec()));
    for (number, got) in download_often(&server).iter().enumerate() {
        assert_eq!(got.status, 502);
        assert!(got.detail().contains("checksum"), "{}", got.detail());
        match number {
            0 | 1 => assert_eq!(got.header("retry-after"), None),
            _ => assert!((1..=11).contains(&seconds(got))),
        }
    }
    assert_eq!(site.host.requests().len(), 2);
    assert_eq!(server.metric("crates_ferry_checksum_failures_total"), 2.0);
    site.host.behave(Manner::Fine);
    // Every other file can be had, and this one after its time.
    assert!(server.download("foo", "1.0.0").is_whole);
    server.wait_for("had again", || {
        server.download("foo", "0.0.0").status == 200
    });
    assert_eq!(site.host.requests().len(), 4);
}

#[test]
fn a_file_that_upstream_lacks_or_cuts_is_left_alone_for_seconds() {
    for (manner, status) in [
        (Manner::Status(404, String::new()), 404),
        (Manner::AlwaysCut(10_000), 502),
        (Manner::Status(418, String::new()), 502),
    ] {
        let site = site(1);
        let server = site.serve(&[("FERRY_NETWORK_RETRIES", "0")]);
        site.host.behave(manner.clone());
        for (number, got) in download_often(&server).iter().enumerate() {
            assert_eq!(got.status, status, "{manner:?}");
            if number > 1 {
                assert!((1..=6).contains(&seconds(got)), "{manner:?}");
            }
        }
        assert_eq!(site.host.requests().len(), 2, "{manner:?}");
        site.host.behave(Manner::Fine);
        server.wait_for("had again", || {
            server.download("foo", "0.0.0").status == 200
        });
    }
}

#[test]
fn a_circle_of_redirects_is_gone_round_once() {
    let site = site(1);
    let server = site.serve(&[("FERRY_NETWORK_RETRIES", "3")]);
    site.host.behave(Manner::Loop);
    let got = server.download("foo", "0.0.0");
    assert_eq!(got.status, 502);
    assert!(got.detail().contains("redirect"), "{}", got.detail());
    // The first one, and the five redirects that are followed.
    assert_eq!(site.host.requests().len(), 6);
}

#[test]
fn a_pause_that_upstream_asks_for_outlasts_what_succeeds_meanwhile() {
    let site = site(3);
    let server = site.serve(&[("FERRY_NETWORK_RETRIES", "0")]);
    site.host.behave(Manner::Pausing(0));
    thread::scope(|scope| {
        let first = scope.spawn(|| server.download("foo", "0.0.0"));
        site.host.wait_for_requests(1);
        site.host
            .behave(Manner::Status(429, "retry-after: 50\r\n".to_owned()));
        assert_eq!(server.download("foo", "1.0.0").status, 502);
        site.host.go_on();
        assert!(first.join().unwrap().is_whole);
    });
    site.host.behave(Manner::Fine);
    assert!(seconds(&server.download("foo", "2.0.0")) > 5);
    assert_eq!(site.host.requests().len(), 2);
}
