//! `policy explain`, `list` and `test`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{MIN_AGE, publish};
use crate::support::server::{Site, printed, sha256};

const DENY: (&str, &str) = ("FERRY_POLICY_DENY", "evil@1.0.0 why=a stolen account");

/// Returns when the newest versions of the site were published, to the second.
fn yesterday() -> Timestamp {
    let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
    Timestamp::from_second(yesterday.as_second()).unwrap()
}

fn site(published: Timestamp) -> Site {
    let mut site = Site::new();
    publish(&mut site, "Foo", "1.0.0", None);
    publish(&mut site, "Foo", "1.10.0", Some(published));
    publish(&mut site, "evil", "1.0.0", None);
    site
}

/// Runs a command of `policy` that ends with this code, and returns what it says.
fn say(site: &Site, code: i32, arguments: &[&str]) -> String {
    let arguments = [&["policy"], arguments].concat();
    printed(&site.run_with(&[MIN_AGE, DENY], &arguments), code)
}

fn say_json(site: &Site, code: i32, arguments: &[&str]) -> Value {
    let arguments = [&["--format", "json"], arguments].concat();
    serde_json::from_str(&say(site, code, &arguments)).unwrap()
}

/// Returns the text of a hold that began then.
fn held(published: Timestamp) -> String {
    let minute = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let until = minute(published + SignedDuration::from_hours(7 * 24));
    format!(
        "on hold until {until}: published {} (policy.min_age: 7d)",
        minute(published)
    )
}

#[test]
fn a_decision_is_explained_by_its_key_and_its_end() {
    let published = yesterday();
    let site = site(published);
    let all = say(&site, 0, &["explain", "Foo"]);
    assert_eq!(
        all,
        format!("Foo 1.10.0: {}\nFoo 1.0.0: served", held(published))
    );
    let one = say_json(&site, 0, &["explain", "evil@1.0.0"]);
    let wanted = json!({"of": "evil@1.0.0", "versions": [{
        "crate": "evil", "version": "1.0.0", "decision": "deny", "since": null, "until": null,
        "key": "policy.deny", "rule": "evil@1.0.0", "reason": "a stolen account", "by": null, "at": null,
        "yanked": false,
    }], "hidden_by": null});
    assert_eq!(one, wanted);
    let none = say(&site, 1, &["explain", "foo@3.0.0"]);
    assert_eq!(none, "the index does not list foo@3.0.0");
}

#[test]
fn all_that_is_on_hold_or_denied_is_listed_also_beside_a_server() {
    let published = yesterday();
    let site = site(published);
    let wanted = format!(
        "evil 1.0.0: denied: a stolen account (policy.deny: evil@1.0.0)\nFoo 1.10.0: {}",
        held(published)
    );
    assert_eq!(say(&site, 0, &["list"]), wanted);
    let _server = site.serve(&[MIN_AGE, DENY]);
    // A server says since when: a rule of a configuration does not.
    let beside = say(&site, 0, &["list"]);
    let (denied, rest) = beside.split_once(" since 2").unwrap();
    let (_, why) = rest.split_once(" UTC").unwrap();
    assert_eq!(format!("{denied}{why}"), wanted);
    let one = say_json(&site, 0, &["explain", "evil@1.0.0"]);
    let since = one["versions"][0]["since"].as_str().unwrap();
    assert!(since.parse::<Timestamp>().is_ok(), "{since}");
    let none = site.run_with(&[("FERRY_POLICY_DENY", "other")], &["policy", "list"]);
    assert_eq!(printed(&none, 0), "");
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(said.contains("no version is on hold or denied"), "{said}");
}

/// Writes a lockfile that names these versions.
fn lockfile(site: &Site, packages: &[(&str, &str)]) -> String {
    let mut text = "version = 4\n".to_owned();
    for (name, version) in packages {
        text += &format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{}\"\n",
            sha256(b"")
        );
    }
    let path = site.folder.path().join("Cargo.lock");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_lockfile_that_meets_the_policy_fails_with_each_package_and_its_line() {
    let published = yesterday();
    let site = site(published);
    let path = lockfile(
        &site,
        &[("evil", "1.0.0"), ("foo", "1.10.0"), ("foo", "1.0.0")],
    );
    let wanted = format!(
        "2 of 3 packages do not meet the policy:\n  {path}:4: evil 1.0.0: denied: a stolen account (policy.deny: evil@1.0.0)\n  {path}:10: foo 1.10.0: {}",
        held(published)
    );
    let quality = site.folder.path().join("gl-code-quality-report.json");
    let quality_path = quality.display().to_string();
    let said = say(&site, 1, &["test", &path, "--code-quality", &quality_path]);
    assert_eq!(said, wanted);
    let found = say_json(&site, 1, &["test", &path]);
    assert_eq!(found["packages"], 3);
    assert_eq!(found["findings"][0]["line"], 4);
    assert_eq!(found["findings"][1]["decision"], "hold");

    let issues: Value = serde_json::from_slice(&std::fs::read(&quality).unwrap()).unwrap();
    let issues = issues.as_array().unwrap();
    let severities: Vec<_> = issues
        .iter()
        .map(|issue| issue["severity"].clone())
        .collect();
    assert_eq!(severities, ["blocker", "major"]);
    assert_eq!(issues[0]["check_name"], "policy-deny");
    assert_eq!(
        issues[1]["location"],
        json!({"path": path, "lines": {"begin": 10}})
    );
    assert_ne!(issues[0]["fingerprint"], issues[1]["fingerprint"]);

    let path = lockfile(&site, &[("foo", "1.0.0")]);
    let said = say(&site, 0, &["test", &path, "--code-quality", &quality_path]);
    assert_eq!(said, "1 package: none is on hold or denied");
    assert_eq!(std::fs::read_to_string(&quality).unwrap(), "[]\n");
}

#[test]
fn a_package_that_the_index_does_not_list_does_not_pass() {
    let site = site(yesterday());
    let path = lockfile(
        &site,
        &[("evil", "1.0.0"), ("foo", "3.0.0"), ("gone", "1.0.0")],
    );
    let deny = ("FERRY_POLICY_DENY", "evil; gone");
    let output = site.run_with(&[deny], &["policy", "test", &path]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("3 of 3 packages do not meet the policy:\n"),
        "{said}"
    );
    for line in [
        ":10: foo 3.0.0: the index does not list it\n",
        // A rule about a crate needs no line of the index.
        ": gone 1.0.0: denied: policy.deny: gone\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn what_is_yanked_in_the_index_is_told_as_that() {
    let mut site = site(yesterday());
    publish(&mut site, "foo", "1.0.0", None);
    publish(&mut site, "foo", "1.1.0", None);
    site.yank("foo", "1.0.0");
    site.yank("foo", "1.1.0");
    let deny = ("FERRY_POLICY_DENY", "foo@1.1.0");
    let said = printed(&site.run_with(&[deny], &["policy", "explain", "foo"]), 0);
    assert_eq!(
        said,
        "foo 1.1.0: denied: policy.deny: foo@1.1.0; yanked in the index\nfoo 1.0.0: served; yanked in the index"
    );
    let listed = site.run_with(&[deny], &["--format", "json", "policy", "list"]);
    let listed: Value = serde_json::from_str(&printed(&listed, 0)).unwrap();
    assert_eq!(listed["versions"][0]["yanked"], true);
}

/// Writes a lockfile with this text.
fn write_lockfile(site: &Site, name: &str, text: &str) -> String {
    let path = site.folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn what_is_not_tested_of_a_lockfile_is_told_and_nothing_tested_is_no_success() {
    let site = site(yesterday());
    let of = |source: &str| {
        format!("version = 4\n\n[[package]]\nname = \"evil\"\nversion = \"1.0.0\"\n{source}")
    };
    let own = of("source = \"sparse+http://crates.example/index/\"\n");
    let elsewhere = write_lockfile(&site, "elsewhere.lock", &own);
    let empty = write_lockfile(&site, "empty.lock", "version = 4\n");
    let members = write_lockfile(&site, "members.lock", &of(""));
    let tested = lockfile(&site, &[("Foo", "1.0.0")]);
    let test = |pairs: &[(&str, &str)], paths: &[&str]| {
        let pairs = [pairs, &[DENY]].concat();
        site.run_with(&pairs, &[&["policy", "test"], paths].concat())
    };
    let output = test(&[], &[&elsewhere]);
    let said = printed(&output, 1);
    assert_eq!(
        said,
        format!(
            "no package was tested\nnot tested: 1 package of other sources\nnothing of {elsewhere} was tested"
        )
    );
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    let why =
        format!("1 package of {elsewhere} not tested: from sparse+http://crates.example/index/");
    assert!(
        warned.contains(&why) && warned.contains("set serve.public_url"),
        "{warned}"
    );
    let said = printed(&test(&[], &[&tested, &empty]), 1);
    assert_eq!(
        said,
        format!("1 package: none is on hold or denied\nnothing of {empty} was tested")
    );
    // A workspace without a dependency has nothing to test.
    assert_eq!(printed(&test(&[], &[&members]), 0), "no package was tested");
    let public = ("FERRY_SERVE_PUBLIC_URL", "http://crates.example");
    let said = printed(&test(&[public], &[&elsewhere]), 1);
    assert!(
        said.starts_with("1 of 1 package does not meet the policy:"),
        "{said}"
    );
}

#[test]
fn findings_are_printed_also_where_their_file_cannot_be_written() {
    let site = site(yesterday());
    let path = lockfile(&site, &[("evil", "1.0.0")]);
    let nowhere = site.folder.path().join("nowhere/quality.json");
    let nowhere = nowhere.display().to_string();
    let arguments = ["policy", "test", &path, "--code-quality", &nowhere];
    let output = site.run_with(&[DENY], &arguments);
    let said = printed(&output, 1);
    assert!(said.contains("evil 1.0.0: denied"), "{said}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains(&format!("error: cannot write {nowhere}: ")),
        "{told}"
    );
    let path = lockfile(&site, &[("Foo", "1.0.0")]);
    let arguments = ["policy", "test", &path, "--code-quality", &nowhere];
    let output = site.run_with(&[DENY], &arguments);
    assert_eq!(printed(&output, 1), "1 package: none is on hold or denied");
}

#[test]
fn without_a_policy_nothing_passes_silently() {
    let site = site(yesterday());
    let path = lockfile(&site, &[("foo", "1.0.0")]);
    for arguments in [&["list"][..], &["explain", "foo"], &["test", &path]] {
        let output = site.run(&[&["policy"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("there is no policy"), "{said}");
    }
}
