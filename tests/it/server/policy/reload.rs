//! SIGHUP reads the policy again.

use super::database::Database;
use super::scene::status;
use super::{day, publish, site};
use crate::support::server::{Server, Site, printed};

/// Writes the configuration file, and returns the variable that names it.
fn write(site: &Site, text: &str) -> (&'static str, String) {
    let path = site.folder.path().join("ferry.yml");
    std::fs::write(&path, text).unwrap();
    ("FERRY_CONFIG", path.display().to_string())
}

/// Changes the configuration file, and has the server read it.
fn reload(site: &Site, server: &Server, text: &str) {
    write(site, text);
    server.signal("HUP");
}

/// Says whether a version is shown as yanked.
fn is_yanked(server: &Server, version: &str) -> bool {
    let mark = format!("\"vers\":\"{version}\"");
    let entry = server.entry("foo").text();
    let line = entry.lines().find(|line| line.contains(&mark)).unwrap();
    line.contains("\"yanked\":true")
}

#[test]
fn a_hangup_applies_another_policy_none_and_one_again_but_no_bad_one() {
    let mut site = site();
    publish(&mut site, "acme-core", "1.0.0", Some(day(0)));
    let (name, path) = write(&site, "policy: { deny: [foo@1.1.0] }\n");
    let server = site.serve(&[(name, &path)]);
    assert_eq!(
        (status(&server, "1.0.0"), status(&server, "1.1.0")),
        (200, 403)
    );

    reload(
        &site,
        &server,
        "policy: { deny: [foo@1.0.0], allow: [acme-*] }\n",
    );
    server.wait_for("changed", || status(&server, "1.0.0") == 403);
    assert_eq!(status(&server, "1.1.0"), 200);

    reload(&site, &server, "policy: { denny: [foo@1.1.0] }\n");
    server.wait_for("refused", || {
        server.log().contains("the policy stays as it was")
    });
    let log = server.log();
    assert!(
        log.contains("ferry.yml:1:11: policy: unknown key `denny`"),
        "{log}"
    );
    assert_eq!(status(&server, "1.0.0"), 403);

    // All of it is decided anew: what is young, and what is never taken from upstream.
    reload(
        &site,
        &server,
        "policy: { min_age: 1000d, reserved: [acme-*] }\n",
    );
    server.wait_for("hidden", || server.entry("acme-core").status == 404);
    assert!(is_yanked(&server, "1.1.0") && !is_yanked(&server, "1.0.0"));
    assert_eq!(status(&server, "1.0.0"), 200);
    server.wait_for("not found", || {
        server.get("/api/v1/crates/acme-core").status == 404
    });

    reload(&site, &server, "serve: { memory: 64MiB }\n");
    server.wait_for("none", || server.get("/api/v1/policy").status == 404);
    server.wait_for("shown", || server.entry("acme-core").status == 200);
    server.wait_for("found", || {
        server.get("/api/v1/crates/acme-core").status == 200
    });
    assert!(!is_yanked(&server, "1.1.0"));
    let file = server.download("foo", "1.1.0");
    assert_eq!(
        file.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );

    reload(&site, &server, "policy: { deny: [foo] }\n");
    server.wait_for("denied", || status(&server, "1.1.0") == 403);
    assert!(is_yanked(&server, "1.0.0"));
}

#[test]
fn a_hangup_while_the_file_is_gone_or_empty_lets_nothing_through() {
    let site = site();
    let (name, path) = write(&site, "policy: { deny: [foo@1.1.0] }\n");
    let server = site.serve(&[(name, &path)]);
    let refused = |count: usize| {
        server.wait_for("refused", || {
            server.log().matches("the policy stays as it was").count() == count
        });
        assert_eq!(status(&server, "1.1.0"), 403);
    };
    reload(&site, &server, "");
    refused(1);
    std::fs::remove_file(&path).unwrap();
    server.signal("HUP");
    refused(2);
    reload(&site, &server, "policy: { deny: [foo@1.0.0] }\n");
    server.wait_for("changed", || status(&server, "1.0.0") == 403);
    assert_eq!(status(&server, "1.1.0"), 200);
}

#[test]
fn a_hangup_of_up_applies_another_policy_and_reads_what_commands_said() {
    let site = site();
    let (name, path) = write(&site, "policy: { deny: [other] }\n");
    let variables = site.variables_and(&[(name, &path)]);
    let server = Server::up(&variables, &[], &site.folder.path().join("printed"));
    server.wait_until_ready();
    assert_eq!(status(&server, "1.1.0"), 200);
    reload(&site, &server, "policy: { deny: [foo@1.1.0] }\n");
    server.wait_for("changed", || status(&server, "1.1.0") == 403);
    // As from another machine, with the same store: its own directory is another one.
    let (store, elsewhere) = (
        site.data().join("crates").display().to_string(),
        site.folder.path().join("elsewhere").display().to_string(),
    );
    let pairs = [
        (name, path.as_str()),
        ("FERRY_SERVE_STORE", &store),
        ("FERRY_SERVE_DATA_DIR", &elsewhere),
    ];
    let said = printed(&site.run_with(&pairs, &["policy", "deny", "foo@1.0.0"]), 0);
    assert!(said.contains("or when they get SIGHUP"), "{said}");
    server.signal("HUP");
    server.wait_for("denied", || status(&server, "1.0.0") == 403);
}

#[test]
fn a_hangup_takes_advisories_from_another_address() {
    let site = site();
    let databases = ["one.git", "other.git"].map(|name| Database::named(&site, name));
    for (database, version) in databases.iter().zip(["1.0.0", "1.1.0"]) {
        let versions = format!("patched = []\nunaffected = [\"< {version}\", \"> {version}\"]");
        database.malicious(&versions);
    }
    let of = |place: &std::path::Path| format!("policy: {{ advisories: {} }}\n", place.display());
    let (name, path) = write(&site, "policy: { deny: [other] }\n");
    let server = site.serve(&[(name, &path)]);
    let both = || (status(&server, "1.0.0"), status(&server, "1.1.0"));
    assert_eq!(both(), (200, 200));
    // Where there were none, from one address, from another, and none again.
    reload(&site, &server, &of(&databases[0].0));
    server.wait_for("the first", || both() == (403, 200));
    reload(&site, &server, &of(&databases[1].0));
    server.wait_for("the other", || both() == (200, 403));
    // Those of the last time count while the next ones cannot be fetched.
    reload(&site, &server, &of(&site.folder.path().join("absent.git")));
    let told = "cannot refresh the advisories; those of the last time count: ";
    server.wait_for("told", || server.log().contains(told));
    assert_eq!(both(), (200, 403));
    reload(&site, &server, "policy: { deny: [other] }\n");
    server.wait_for("none", || both() == (200, 200));
    assert_eq!(server.get("/api/v1/advisories/foo").status, 404);
}
