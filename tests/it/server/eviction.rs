//! The eviction that the server does by itself.

use crate::support::server::{Site, files_in, noise, printed};

/// Makes a site whose files are kept, none in memory; each was used a second after the one before.
fn site(number: u64) -> Site {
    let mut site = Site::new();
    for version in 0..number {
        site.publish("foo", &format!("{version}.0.0"), &noise(10_000, version));
    }
    drop(printed(&site.run(&["prefetch", "--all"]), 0));
    let versions: Vec<_> = (0..number)
        .map(|version| format!("{version}.0.0"))
        .collect();
    let uses = versions.iter().zip(1_000..);
    let uses: Vec<_> = uses
        .map(|(version, used)| ("foo", version.as_str(), used))
        .collect();
    site.set_used(&uses);
    site
}

/// Returns which versions are kept.
fn kept(site: &Site) -> Vec<u64> {
    let number = |path: std::path::PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        name.strip_prefix("foo-")?.split('.').next()?.parse().ok()
    };
    let files = files_in(&site.data().join("crates"));
    let mut versions: Vec<u64> = files.into_iter().filter_map(number).collect();
    versions.sort();
    versions
}

#[test]
fn the_least_recently_used_go_first() {
    let mut site = site(10);
    for version in 10..12 {
        site.publish("foo", &format!("{version}.0.0"), &noise(10_000, version));
    }
    let server = site.serve(&[
        ("FERRY_SERVE_MAX_SIZE", "110000"),
        ("FERRY_SERVE_MEMORY", "0"),
    ]);
    // The last one is too much.
    for version in [1, 3, 10, 11] {
        assert_eq!(
            server.download("foo", &format!("{version}.0.0")).status,
            200
        );
    }
    server.wait_for("evicted", || {
        server.metric("crates_ferry_evicted_files_total") >= 2.0
    });
    assert_eq!(kept(&site), [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    server.wait_for("counted", || {
        server.metric("crates_ferry_evicted_files_total") == 2.0
            && server.metric("crates_ferry_store_bytes") == 100_000.0
    });
}

#[test]
fn what_nobody_used_for_long_goes_and_uses_outlive_the_server() {
    let site = site(4);
    let server = site.serve(&[("FERRY_SERVE_MEMORY", "0")]);
    assert_eq!(server.download("foo", "1.0.0").status, 200);
    server.signal("TERM");
    let (end, log) = server.end();
    assert!(end.success(), "{log}");
    assert_eq!(kept(&site), [0, 1, 2, 3]);
    let server = site.serve(&[("FERRY_SERVE_MAX_IDLE", "1h")]);
    server.wait_for("evicted", || kept(&site) == [1]);
}

#[test]
fn what_is_pinned_stays() {
    let site = site(6);
    drop(printed(
        &site.run(&["cache", "pin", "foo@0.0.0", "foo@2.0.0"]),
        0,
    ));
    let server = site.serve(&[
        ("FERRY_SERVE_MAX_SIZE", "40000"),
        ("FERRY_SERVE_MAX_IDLE", "2h"),
    ]);
    server.wait_for("evicted", || kept(&site) == [0, 2]);
    assert_eq!(server.metric("crates_ferry_store_files"), 2.0);
}

#[test]
fn a_flood_of_new_files_is_evicted_by_one_at_a_time() {
    let mut site = Site::new();
    for version in 0..150 {
        site.publish("foo", &format!("{version}.0.0"), &noise(1_000, version));
    }
    let server = site.serve(&[("FERRY_SERVE_MAX_SIZE", "20000")]);
    std::thread::scope(|scope| {
        for part in 0..6 {
            let server = &server;
            scope.spawn(move || {
                for version in (0..150).skip(part).step_by(6) {
                    assert_eq!(
                        server.download("foo", &format!("{version}.0.0")).status,
                        200
                    );
                }
            });
        }
    });
    server.wait_for("settled", || {
        let number = kept(&site).len() as f64;
        number <= 20.0
            && server.metric("crates_ferry_store_files") == number
            && server.metric("crates_ferry_evicted_files_total") + number == 150.0
    });
}
