//! The server's copy of the index: where it comes from, and what becomes of it when it is damaged.

use std::path::{Path, PathBuf};

use crate::support::daemon::GitDaemon;
use crate::support::lighttpd::Lighttpd;
use crate::support::repo::git;
use crate::support::server::{Server, Site, files_in};
use crate::support::sshd::{Options, Sshd};
use crate::support::upstream::Commit;

/// Publishes crates one by one and across a squash, and sees each served.
fn follow(site: &mut Site, server: &Server) {
    for number in 0..6 {
        if number == 3 {
            site.index.squash();
        }
        let name = format!("later-{number}");
        site.publish(&name, "1.0.0", name.as_bytes());
        assert_eq!(server.push_hook().status, 202);
        server.wait_for("refreshed", || server.entry(&name).status == 200);
    }
    assert_eq!(server.entry("first").status, 200);
    git(&site.data().join("index.git"), &["fsck", "--strict"]);
}

fn site() -> Site {
    let mut site = Site::new();
    site.publish("first", "1.0.0", b"first");
    site
}

#[test]
fn the_index_comes_over_git() {
    let mut site = site();
    let daemon = GitDaemon::start(site.folder.path());
    let url = format!("git://127.0.0.1:{}/index.git", daemon.port());
    let server = site.serve(&[("FERRY_SERVE_INDEX", &url)]);
    follow(&mut site, &server);
}

#[test]
fn the_index_comes_over_http() {
    let mut site = site();
    let Some(http) = Lighttpd::start(site.folder.path(), None) else {
        return;
    };
    let url = http.url("index.git");
    let server = site.serve(&[("FERRY_SERVE_INDEX", &url)]);
    follow(&mut site, &server);
}

#[test]
fn the_index_comes_over_ssh_in_both_versions_of_the_protocol() {
    for accept_env in [true, false] {
        let mut site = site();
        let mut options = Options::new(site.folder.path());
        options.accept_env = accept_env;
        let Some(sshd) = Sshd::start(&options) else {
            return;
        };
        let (key, hosts) = (sshd.private_key_text(), sshd.known_hosts_line());
        let server = site.serve(&[
            ("FERRY_SERVE_INDEX", &sshd.url("index.git")),
            ("SSH_PRIVATE_KEY", &key),
            ("SSH_KNOWN_HOSTS", &hosts),
        ]);
        follow(&mut site, &server);
    }
}

#[test]
fn an_index_that_was_forced_back_is_followed() {
    let mut site = site();
    let before = site.index.tip().unwrap();
    let server = site.serve(&[]);
    site.publish("first", "2.0.0", b"second");
    server.push_hook();
    server.wait_for("moved", || server.entry("first").text().contains("2.0.0"));
    let newer = server.entry("first");
    let date = newer.header("last-modified").unwrap();
    git(
        site.index.path(),
        &["update-ref", "refs/heads/master", &before],
    );
    server.push_hook();
    server.wait_for("back", || !server.entry("first").text().contains("2.0.0"));
    // Whoever knows the date alone must not keep what is gone.
    let asked = [("if-modified-since", date)];
    let again = server.get_with("/index/fi/rs/first", &asked);
    assert_eq!(again.status, 200);
    assert!(!again.text().contains("2.0.0"));
}

#[test]
fn changes_within_a_second_have_dates_that_differ() {
    let mut site = site();
    let server = site.serve(&[]);
    let mut dates = Vec::new();
    for version in ["2.0.0", "3.0.0", "4.0.0"] {
        site.publish("first", version, version.as_bytes());
        server.push_hook();
        server.wait_for("moved", || server.entry("first").text().contains(version));
        let date = server
            .entry("first")
            .header("last-modified")
            .unwrap()
            .to_owned();
        let asked = [("if-modified-since", date.as_str())];
        assert_eq!(server.get_with("/index/fi/rs/first", &asked).status, 304);
        dates.push(date);
    }
    dates.dedup();
    assert_eq!(dates.len(), 3, "{dates:?}");
}

/// Returns the place of an object in the copy's packs, as a pack's path and a range of its bytes.
fn place_of(copy: &Path, object: &str) -> (PathBuf, usize) {
    let packs = files_in(&copy.join("objects/pack"));
    packs
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "pack"))
        .find_map(|pack| {
            let index = pack.with_extension("idx");
            let shown = git(copy, &["verify-pack", "-v", index.to_str().unwrap()]);
            let line = shown.lines().find(|line| line.starts_with(object))?;
            let offset = line.split_whitespace().nth(4).unwrap().parse().unwrap();
            Some((pack, offset))
        })
        .unwrap()
}

#[test]
fn a_damaged_object_costs_no_other_and_the_copy_is_made_anew_when_it_can_be() {
    let mut site = Site::new();
    for name in ["first", "second"] {
        // Larger than a piece of the others, so that damage meets this alone.
        for number in 0..40 {
            site.publish(name, &format!("1.{number}.0"), name.as_bytes());
        }
    }
    let server = site.serve(&[]);
    let blob = git(site.index.path(), &["rev-parse", "master:fi/rs/first"]);
    let copy = site.data().join("index.git");
    let (pack, offset) = place_of(&copy, &blob);
    let away = site.folder.path().join("away.git");
    std::fs::rename(site.index.path(), &away).unwrap();
    drop(server);
    // A file of its own: what the kernel holds of the old one stays as it was.
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[offset + 12] ^= 0x55;
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();

    let server = Server::start(&site.variables());
    server.wait_for("damaged", || server.entry("first").status == 503);
    for _ in 0..20 {
        assert_eq!(server.entry("first").status, 503);
        assert_eq!(server.entry("second").status, 200);
    }
    assert_eq!(server.log().matches("is damaged").count(), 1);
    drop(server);
    // Nothing was given up meanwhile.
    let server = Server::start(&site.variables());
    assert_eq!(server.entry("second").status, 200);
    std::fs::rename(&away, site.index.path()).unwrap();
    assert_eq!(server.entry("first").status, 503);
    server.wait_for("made anew", || server.entry("first").status == 200);
    assert_eq!(server.entry("second").status, 200);
    drop(server);
    git(&copy, &["fsck", "--strict"]);
    assert!(!site.data().join("index.git.new").exists());
}

#[test]
fn a_copy_of_another_repository_is_not_shown() {
    let mut other = Site::new();
    other.publish("other", "1.0.0", b"x");
    let site = site();
    drop(site.serve(&[("FERRY_SERVE_INDEX", other.index.path().to_str().unwrap())]));
    let nowhere = site.folder.path().join("nowhere.git");
    let server =
        Server::start(&site.variables_and(&[("FERRY_SERVE_INDEX", nowhere.to_str().unwrap())]));
    assert_eq!(server.entry("other").status, 503);
    drop(server);
    let server = site.serve(&[]);
    assert_eq!(server.entry("first").status, 200);
    assert_eq!(server.entry("other").status, 404);
}

#[test]
fn a_start_between_two_places_of_a_copy_loses_nothing() {
    let site = site();
    drop(site.serve(&[]));
    let copy = site.data().join("index.git");
    let moved = |ending: &str| site.data().join(format!("index.git.{ending}"));
    std::fs::rename(&copy, moved("old")).unwrap();
    std::fs::create_dir_all(moved("new").join("objects/pack")).unwrap();
    let away = site.folder.path().join("away.git");
    std::fs::rename(site.index.path(), &away).unwrap();
    let server = Server::start(&site.variables());
    assert_eq!(server.entry("first").status, 200);
    assert!(!moved("old").exists() && !moved("new").exists());
}

#[test]
fn requests_are_answered_whole_while_the_index_moves() {
    let mut site = site();
    let server = site.serve(&[("FERRY_SERVE_REFRESH", "10ms")]);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut lines = 0;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                let got = server.entry("first");
                assert_eq!(got.status, 200);
                // Never fewer than before, and each line is whole.
                let text = got.text();
                assert!(text.lines().count() >= lines && text.ends_with("}\n"));
                lines = text.lines().count();
            }
            lines
        });
        for number in 1..80 {
            site.publish("first", &format!("1.{number}.0"), b"x");
        }
        server.wait_for("followed", || {
            server.entry("first").text().lines().count() == 80
        });
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(asking.join().unwrap() > 1);
    });
}

#[test]
fn a_repository_with_a_config_json_and_no_crates_path_is_no_index() {
    let mut site = Site::new();
    // A registry that has no crate yet.
    drop(site.serve(&[]));
    let commit = Commit::new("Begin a program");
    site.index.commit([commit
        .file("src/main.rs", "fn main() {}")
        .file("README.md", "Hello")]);
    std::fs::remove_dir_all(site.data()).unwrap();
    let server = Server::start(&site.variables());
    server.wait_for("told", || {
        server
            .get("/readyz")
            .text()
            .contains("no file at the path of a crate")
    });
    assert_eq!(server.get("/readyz").status, 503);
    site.publish("first", "1.0.0", b"first");
    server.push_hook();
    server.wait_until_ready();
}

#[test]
fn a_repository_that_is_no_index_is_not_served() {
    let mut site = site();
    let config = git(site.index.path(), &["show", "master:config.json"]);
    for wrong in [None, Some("no JSON"), Some("{}")] {
        let commit = Commit::new("Break it");
        site.index.commit([match wrong {
            None => commit.without("config.json"),
            Some(text) => commit.file("config.json", text),
        }]);
        let server = Server::start(&site.variables());
        server.wait_for("told", || {
            server.get("/readyz").text().contains("this is no index")
        });
        let ready = server.get("/readyz");
        assert_eq!(ready.status, 503, "{}", ready.text());
        let entry = server.entry("first");
        assert_eq!(entry.status, 503);
        assert!(!entry.detail().contains("first time"), "{}", entry.detail());
    }
    // One that was served is served on.
    site.index
        .commit([Commit::new("Mend it").file("config.json", config.as_str())]);
    let server = site.serve(&[]);
    site.index
        .commit([Commit::new("Break it again").without("config.json")]);
    server.push_hook();
    server.wait_for("told", || server.log().contains("this is no index"));
    assert_eq!(server.entry("first").status, 200);
    assert!(!server.log().contains("damaged"), "{}", server.log());
}
