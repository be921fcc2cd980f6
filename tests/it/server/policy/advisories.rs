//! Advisories: what they decide and release, for the real cargo too, and what becomes of a repository of them that is broken or lost.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cargo::{fail, locked, project};
use super::database::Database;
use super::{MIN_AGE, day, publish, site};
use crate::support::clocked::ClockedServer;
use crate::support::faulty::{self, Fault};
use crate::support::server::{Server, Site, printed};
use crate::support::upstream::{Commit, commit_to};

fn start(
    site: &Site,
    database: &Database,
    pairs: &[(&str, &str)],
    now: Timestamp,
) -> ClockedServer {
    let address = database.address();
    let pairs = [&[("FERRY_POLICY_ADVISORIES", address.as_str())], pairs].concat();
    ClockedServer::start(site, &pairs, now)
}

/// Returns which versions of `foo` are shown as yanked.
fn yanked(server: &ClockedServer) -> Vec<String> {
    let entry = server.entry("foo").text();
    let lines = entry
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let yanked = lines.filter(|line| line["yanked"] == true);
    yanked
        .map(|line| line["vers"].as_str().unwrap().to_owned())
        .collect()
}

fn json_of(server: &ClockedServer, path: &str) -> Value {
    let got = server.get(path);
    assert_eq!(got.status, 200, "{path}: {}", got.text());
    serde_json::from_slice(&got.body).unwrap()
}

fn metric(server: &ClockedServer, name: &str) -> Option<f64> {
    let metrics = server.get("/metrics").text();
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
    line.map(|value| value.parse().unwrap())
}

#[test]
fn what_an_advisory_calls_malicious_is_denied_from_when_it_appears_and_cargo_says_why() {
    let site = site();
    let database = Database::new(&site);
    // No rule about a crate lets it pass.
    let allow = ("FERRY_POLICY_ALLOW", "foo; *");
    let server = start(&site, &database, &[allow], day(1));
    let project = project(&site, &server, "advised");
    project.succeed(&["generate-lockfile"], None);
    assert_eq!(locked(&project), "1.1.0");
    let before = server.entry("foo");
    database.malicious("patched = []\nunaffected = [\"<= 1.0.0\"]");
    server.refresh();
    server.wait_for("denied", || yanked(&server) == ["1.1.0"]);
    let known = [("if-none-match", before.header("etag").unwrap())];
    assert_eq!(server.get_with("/index/3/f/foo", &known).status, 200);
    let told = "foo 1.1.0 is denied since 2026-11-01: RUSTSEC-2026-0001: foo <does> what it should not (policy.malicious: deny); ask whoever runs \
                this mirror";
    let refused = server.download("foo", "1.1.0");
    assert_eq!((refused.status, refused.text().trim_end()), (403, told));
    let said = fail(&project, &["build", "--locked"]);
    assert!(said.contains(told), "{said}");
    project.succeed(&["update"], None);
    assert_eq!(locked(&project), "1.0.0");
    project.succeed(&["build", "--locked"], None);
    // One that is taken back decides nothing any more.
    let withdrawn = "categories = [\"malicious\"]\nwithdrawn = \"2026-11-02\"";
    database.add(
        "RUSTSEC-2026-0001",
        "foo",
        "2026-11-01",
        withdrawn,
        "patched = []",
    );
    server.refresh();
    server.wait_for("free", || yanked(&server).is_empty());
    assert_eq!(server.download("foo", "1.1.0").status, 200);
}

#[test]
fn an_advisory_is_allowed_by_its_id_until_that_ends() {
    let site = site();
    let database = Database::new(&site);
    database.malicious("patched = []");
    let allow = (
        "FERRY_POLICY_ALLOW",
        "RUSTSEC-2026-0001 until=2026-11-05 why=secret",
    );
    let server = start(&site, &database, &[allow], day(1));
    assert!(yanked(&server).is_empty());
    let told = json_of(&server, "/api/v1/advisories/Foo");
    let wanted = json!({"crate": "Foo", "advisories": [{
        "id": "RUSTSEC-2026-0001", "title": "foo <does> what it should not", "class": "malicious", "informational": null,
        "date": "2026-11-01", "url": "https://rustsec.org/advisories/RUSTSEC-2026-0001", "aliases": ["CVE-2026-1"],
        "severity": null, "affected": [{"introduced": null, "fixed": null}], "versions": ["1.0.0", "1.1.0"],
        "action": "deny", "allowed": true, "allowed_until": "2026-11-05T00:00:00Z",
    }]});
    assert_eq!(told, wanted);
    server.set_clock(day(4));
    server.wait_for("denied", || yanked(&server) == ["1.0.0", "1.1.0"]);
    assert_eq!(server.download("foo", "1.0.0").status, 403);
    let told = json_of(&server, "/api/v1/advisories/foo");
    assert_eq!(told["advisories"][0]["allowed"], false);
    assert_eq!(
        json_of(&server, "/api/v1/advisories/bar")["advisories"],
        json!([])
    );
    let policy = json_of(&server, "/api/v1/policy");
    assert_eq!(
        policy["on_advisories"],
        json!({"malicious": "deny", "vulnerable": "warn", "informational": "off"})
    );
    assert_eq!(
        (&policy["denied"], &policy["advised"]),
        (&json!(2), &json!(2))
    );
}

#[test]
fn a_vulnerability_warns_or_holds_and_its_fix_is_not_on_hold() {
    let mut site = site();
    publish(&mut site, "bar", "0.4.2", None);
    publish(&mut site, "foo", "1.2.0", Some(day(1)));
    publish(&mut site, "foo", "1.3.0", Some(day(1)));
    let database = Database::new(&site);
    let hold = ("FERRY_POLICY_VULNERABLE", "hold");
    let server = start(&site, &database, &[MIN_AGE, hold], day(8));
    assert!(yanked(&server).is_empty());
    drop(server);
    // An old advisory, and what is published today: all of it is on hold.
    database.vulnerable("2020-01-01", "patched = [\">= 1.2.0\"]");
    let folder = site.folder.path().join("old").display().to_string();
    let server = start(
        &site,
        &database,
        &[MIN_AGE, hold, ("FERRY_SERVE_DATA_DIR", &folder)],
        day(2),
    );
    assert_eq!(yanked(&server), ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]);
    assert_eq!(server.download("foo", "1.0.0").status, 200);
    // A young one: what mends it is free, and nothing above.
    database.vulnerable("2026-11-02", "patched = [\">= 1.2.0\"]");
    server.refresh();
    server.wait_for("released", || {
        yanked(&server) == ["1.0.0", "1.1.0", "1.3.0"]
    });
    let project = project(&site, &server, "mending");
    project.succeed(&["generate-lockfile"], None);
    assert_eq!(locked(&project), "1.2.0");
    project.succeed(&["build", "--locked"], None);
    server.set_clock(day(8));
    server.wait_for("all", || yanked(&server) == ["1.0.0", "1.1.0"]);
}

#[test]
fn a_broken_file_and_a_lost_repository_stop_nothing() {
    let mut site = site();
    let database = Database::new(&site);
    database.malicious("patched = []\nunaffected = [\"<= 1.0.0\"]");
    database.write(
        "RUSTSEC-2026-0002",
        "foo",
        "```toml\n[advisory]\nid = 1\n```\n\n# No\n",
    );
    database.write("README", "foo", "no advisory");
    let address = database.address();
    let advisories = ("FERRY_POLICY_ADVISORIES", address.as_str());
    let server = site.serve(&[advisories]);
    let is_denied = |server: &Server| server.download("foo", "1.1.0").status == 403;
    assert!(is_denied(&server));
    let has =
        |server: &Server, line: &str| server.get("/metrics").text().contains(&format!("{line}\n"));
    assert!(has(&server, "crates_ferry_advisories_unreadable_files 2"));
    assert!(has(&server, "crates_ferry_advisories 2"));
    let log = server.log();
    let told = "left out 2 advisory files that cannot be read: crates/foo/README.md: ";
    assert!(
        log.contains(told) && log.contains("crates/foo/RUSTSEC-2026-0002.md: "),
        "{log}"
    );
    let lost = database.0.with_extension("lost");
    std::fs::rename(&database.0, &lost).unwrap();
    publish(&mut site, "bar", "1.0.0", None);
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("fetched", || server.entry("bar").status == 200);
    let told = "cannot refresh the advisories; those of the last time count: ";
    server.wait_for("told", || server.log().contains(told));
    assert!(has(
        &server,
        "crates_ferry_advisories_refresh_failures_total 1"
    ));
    assert!(is_denied(&server));
    assert_eq!(server.get("/readyz").status, 200);
    let status: Value = serde_json::from_slice(&server.get("/api/v1/status").body).unwrap();
    assert_eq!(status["advisories"]["number"], 2);
    assert!(status["advisories"]["last_error"].is_string(), "{status}");
    assert!(
        server
            .get("/status")
            .text()
            .contains("advisories not refreshed")
    );
    drop(server);
    // A server that is started then has the copy on its disk; and one that never had any serves the index.
    let server = site.serve(&[advisories]);
    assert!(is_denied(&server));
    drop(server);
    std::fs::remove_dir_all(site.data()).unwrap();
    let server = site.serve(&[advisories]);
    assert!(!is_denied(&server));
    assert!(
        server
            .log()
            .contains("cannot refresh the advisories; none counts until then: ")
    );
    assert_eq!(server.get("/api/v1/advisories/foo").status, 503);
    // It is there again.
    std::fs::rename(&lost, &database.0).unwrap();
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("denied", || is_denied(&server));
}

#[test]
fn a_repository_that_loses_most_of_its_advisories_is_not_believed() {
    let site = site();
    let database = Database::new(&site);
    database.malicious("patched = []");
    let others = (0..20).map(|number| format!("crates/other/RUSTSEC-2021-{number:04}.md"));
    let others: Vec<_> = others.collect();
    let commit = Commit::new("Add others");
    let commit = others
        .iter()
        .fold(commit, |commit, path| commit.file(path, "none"));
    commit_to(&database.0, [commit]);
    let server = start(&site, &database, &[], day(1));
    assert_eq!(yanked(&server), ["1.0.0", "1.1.0"]);
    let commit = Commit::new("Remove").without("crates/foo/RUSTSEC-2026-0001.md");
    let commit = others
        .iter()
        .fold(commit, |commit, path| commit.without(path));
    commit_to(&database.0, [commit]);
    server.refresh();
    let failures = || metric(&server, "crates_ferry_advisories_refresh_failures_total");
    server.wait_for("noticed", || failures() == Some(1.0));
    let status = json_of(&server, "/api/v1/status");
    let told = status["advisories"]["last_error"].as_str().unwrap();
    assert!(
        told.starts_with("[guard] ") && told.contains("lost most of its 22 files, and has 1: "),
        "{told}"
    );
    assert_eq!(yanked(&server), ["1.0.0", "1.1.0"]);
}

#[test]
fn a_command_lets_an_advisory_pass_while_a_server_runs() {
    let site = site();
    let database = Database::new(&site);
    database.malicious("patched = []");
    let address = database.address();
    let pairs = [
        ("FERRY_POLICY_ADVISORIES", address.as_str()),
        ("FERRY_POLICY_ALLOW", "RUSTSEC-2024-9999; other"),
    ];
    let server = site.serve(&pairs);
    assert_eq!(server.download("foo", "1.1.0").status, 403);
    let told = "RUSTSEC-2024-9999: no advisory of ";
    server.wait_for("warned", || server.log().contains(told));
    let allowed = site.run_with(&pairs, &["policy", "allow", "rustsec-2026-0001"]);
    assert!(allowed.status.success(), "{allowed:?}");
    server.wait_for("allowed", || server.download("foo", "1.1.0").status == 200);
    let told = server.get("/api/v1/advisories/foo");
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(told["advisories"][0]["allowed"], true);
    let reset = site.run_with(&pairs, &["policy", "reset", "rustsec-2026-0001"]);
    assert!(reset.status.success(), "{reset:?}");
    server.wait_for("denied", || server.download("foo", "1.1.0").status == 403);
}

#[test]
fn commands_name_the_advisory_and_what_a_fix_needs() {
    let mut site = Site::new();
    let today = Timestamp::now();
    publish(&mut site, "foo", "1.0.0", None);
    publish(&mut site, "foo", "1.1.0", None);
    publish(
        &mut site,
        "foo",
        "1.2.0",
        Some(Timestamp::from_second(today.as_second()).unwrap()),
    );
    let database = Database::new(&site);
    let yesterday = (today - jiff::SignedDuration::from_hours(24))
        .strftime("%Y-%m-%d")
        .to_string();
    database.vulnerable(&yesterday, "patched = [\">= 1.2.0\"]");
    let address = database.address();
    let run = |pairs: &[(&str, &str)], arguments: &[&str], code| {
        let pairs = [
            &[("FERRY_POLICY_ADVISORIES", address.as_str()), MIN_AGE],
            pairs,
        ]
        .concat();
        printed(&site.run_with(&pairs, arguments), code)
    };
    let advisory = "vulnerable: RUSTSEC-2026-0001: foo <does> what it should not (CVE-2026-1; \
                    https://rustsec.org/advisories/RUSTSEC-2026-0001)";
    let said = run(&[], &["policy", "explain", "foo"], 0);
    let wanted = format!(
        "foo 1.2.0: allowed: released early, as the lowest version that leaves what RUSTSEC-2026-0001: foo <does> what it should \
         not is about (policy.advisories: RUSTSEC-2026-0001)\n\
         foo 1.1.0: served\n  {advisory}\nfoo 1.0.0: served\n  {advisory}"
    );
    assert_eq!(said, wanted);
    let deny = ("FERRY_POLICY_VULNERABLE", "deny");
    let listed = run(&[deny], &["--format", "json", "policy", "list"], 0);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["versions"][0]["key"], "policy.vulnerable");
    assert_eq!(
        listed["versions"][0]["advisories"][0]["id"],
        "RUSTSEC-2026-0001"
    );
    // A warning does not fail a pipeline, and shows beside the change.
    let lock = site.folder.path().join("Cargo.lock");
    let source = "registry+https://github.com/rust-lang/crates.io-index";
    let text = format!(
        "version = 4\n\n[[package]]\nname = \"foo\"\nversion = \"1.1.0\"\nsource = \"{source}\"\nchecksum = \"{}\"\n",
        "ab".repeat(32)
    );
    std::fs::write(&lock, text).unwrap();
    let (lock, quality) = (
        lock.display().to_string(),
        site.folder.path().join("quality.json"),
    );
    let quality_path = quality.display().to_string();
    let test = ["policy", "test", &lock, "--code-quality", &quality_path];
    let said = run(&[], &test, 0);
    let wanted = format!(
        "1 package: none is on hold or denied\n1 package with an advisory that does not fail:\n  {lock}:4: foo 1.1.0: served\n    \
         {advisory}"
    );
    assert_eq!(said, wanted);
    let issues: Value = serde_json::from_slice(&std::fs::read(&quality).unwrap()).unwrap();
    assert_eq!(
        (&issues[0]["severity"], &issues[0]["check_name"]),
        (&json!("minor"), &json!("policy-advisory"))
    );
    let sarif = site.folder.path().join("policy.sarif");
    let sarif_path = sarif.display().to_string();
    run(&[], &[&test[..], &["--sarif", &sarif_path]].concat(), 0);
    let log: Value = serde_json::from_slice(&std::fs::read(&sarif).unwrap()).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run_of_it = &log["runs"][0];
    assert_eq!(
        run_of_it["tool"]["driver"]["rules"],
        json!([{"id": "policy-advisory"}])
    );
    let result = &run_of_it["results"][0];
    assert_eq!(
        (&result["level"], &result["ruleId"]),
        (&json!("warning"), &json!("policy-advisory"))
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        place,
        &json!({"artifactLocation": {"uri": lock}, "region": {"startLine": 4}})
    );
    let said = run(&[deny], &test, 1);
    assert!(
        said.contains("foo 1.1.0: denied since 20") && said.contains(": RUSTSEC-2026-0001: foo"),
        "{said}"
    );
    // What is denied is not fetched; and without any advisories nothing is said to pass.
    let fetched = run(&[deny], &["prefetch", "--crate", "foo@1.1.0"], 1);
    assert!(
        fetched.contains("denied") || !site.kept("foo", "1.1.0").exists(),
        "{fetched}"
    );
    std::fs::remove_dir_all(site.data()).unwrap();
    std::fs::rename(&database.0, database.0.with_extension("lost")).unwrap();
    let output = site.run_with(&[("FERRY_POLICY_ADVISORIES", &address)], &test);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("advisory-db.git") && said.contains("policy.advisories"),
        "{said}"
    );
}

#[test]
fn pages_mark_the_versions_that_an_advisory_is_about() {
    let mut site = site();
    publish(&mut site, "evil", "0.1.0", None);
    let database = Database::new(&site);
    database.vulnerable(
        "2026-11-01",
        "patched = [\">= 1.2.0\"]\nunaffected = [\"< 1.1.0\"]",
    );
    database.add(
        "RUSTSEC-2026-0003",
        "evil",
        "2026-11-01",
        "categories = [\"malicious\"]",
        "patched = []",
    );
    let server = start(&site, &database, &[], day(1));
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    let link = "<a href=\"https://rustsec.org/advisories/RUSTSEC-2026-0001\" rel=\"nofollow noopener\">RUSTSEC-2026-0001</a>: foo \
                &#60;does&#62; what it should not";
    let vulnerable = "<span class=\"state warn\">vulnerable</span>";
    for (path, marks) in [
        (
            "/crates/foo",
            [vulnerable, link, "(2026-11-01, CVE-2026-1)"],
        ),
        ("/crates/foo/versions", [vulnerable, "1.0.0", "1.1.0"]),
        ("/search?q=foo", [vulnerable, "foo", "1.1.0"]),
        (
            "/crates/evil",
            [
                "<span class=\"state bad\">denied</span>",
                "<span class=\"state bad\">malicious</span>",
                "RUSTSEC-2026-0003",
            ],
        ),
        (
            "/status",
            [
                "Versions with an advisory",
                "<dd>2</dd>",
                "<dt>Advisories</dt>",
            ],
        ),
    ] {
        let page = server.get(path).text();
        for mark in marks {
            assert!(page.contains(mark), "{path}: no {mark}: {page}");
        }
    }
    let other = server.get("/crates/foo/1.0.0").text();
    assert!(!other.contains("RUSTSEC"), "{other}");
    assert_eq!(
        metric(&server, "crates_ferry_policy_advised_versions"),
        Some(2.0)
    );
}

#[test]
fn a_fix_comes_early_by_a_young_advisory_and_cargo_takes_the_lowest() {
    let mut site = site();
    publish(&mut site, "foo", "1.2.0", Some(day(1)));
    publish(&mut site, "foo", "1.3.0", Some(day(1)));
    let database = Database::new(&site);
    // Whoever publishes today what an advisory of long ago calls mended gets nobody to take it.
    database.vulnerable("2020-01-01", "patched = [\">= 1.2.0\"]");
    let server = start(&site, &database, &[MIN_AGE], day(2));
    assert_eq!(yanked(&server), ["1.1.0", "1.2.0", "1.3.0"]);
    let project = project(&site, &server, "early");
    project.succeed(&["generate-lockfile"], None);
    assert_eq!(locked(&project), "1.0.0");
    project.succeed(&["build", "--locked"], None);
    database.vulnerable("2026-11-02", "patched = [\">= 1.2.0\"]");
    server.refresh();
    server.wait_for("released", || yanked(&server) == ["1.1.0", "1.3.0"]);
    project.succeed(&["build", "--locked"], None);
    project.succeed(&["update"], None);
    assert_eq!(locked(&project), "1.2.0");
    project.succeed(&["build", "--locked"], None);
}

#[test]
fn a_host_of_advisories_that_hangs_keeps_nothing_else_waiting() {
    let mut site = site();
    let port = faulty::start(Fault::Silent);
    let address = format!("http://127.0.0.1:{port}/advisory-db");
    let server = site.serve(&[
        ("FERRY_POLICY_ADVISORIES", &address),
        ("FERRY_POLICY_DENY", "foo@1.0.0"),
        ("FERRY_NETWORK_TIMEOUT", "2s"),
    ]);
    assert_eq!(server.download("foo", "1.0.0").status, 403);
    publish(&mut site, "bar", "1.0.0", None);
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("fetched", || server.entry("bar").status == 200);
    let told = "cannot refresh the advisories; none counts until then: [network] ";
    server.wait_for("told", || server.log().contains(told));
    let log = server.log();
    assert!(log.contains("network.timeout"), "{log}");
    let status: Value = serde_json::from_slice(&server.get("/api/v1/status").body).unwrap();
    assert!(status["advisories"]["last_error"].is_string(), "{status}");
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("crates_ferry_advisories_refresh_failures_total "),
        "{metrics}"
    );
    assert_eq!(server.get("/readyz").status, 200);
}
