//! The real cargo, where versions are on hold or denied.

use std::path::PathBuf;

use super::{MIN_AGE, day, publish, site};
use crate::server::real_cargo::Project;
use crate::support::clocked::ClockedServer;
use crate::support::server::Site;

/// Makes a project that depends on `foo`, with crates.io replaced by a server.
pub(super) fn project(site: &Site, server: &ClockedServer, name: &str) -> Project {
    project_with(site, server, name, "foo = \"1\"")
}

/// Makes a project with this dependency, whose version it prints.
pub(super) fn project_with(
    site: &Site,
    server: &ClockedServer,
    name: &str,
    dependency: &str,
) -> Project {
    let project = Project::new(site, name);
    let manifest = format!(
        "[package]\nname = \"project\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n{dependency}\n\n[workspace]\n"
    );
    std::fs::write(project.folder.join("Cargo.toml"), manifest).unwrap();
    let (of, _) = dependency.split_once(' ').unwrap();
    let main = format!("fn main() {{ println!(\"{{}}\", {of}::VERSION); }}\n");
    std::fs::write(project.folder.join("src/main.rs"), main).unwrap();
    std::fs::create_dir_all(&project.home).unwrap();
    let config = format!(
        "[source.crates-io]\nreplace-with = \"mirror\"\n[registries.mirror]\nindex = \"{}\"\n",
        server.index()
    );
    std::fs::write(project.home.join("config.toml"), config).unwrap();
    project
}

fn lockfile(project: &Project) -> PathBuf {
    project.folder.join("Cargo.lock")
}

/// Returns the version of `foo` that the lockfile names.
pub(super) fn locked(project: &Project) -> String {
    locked_of(project, "foo")
}

/// Returns the version of a crate that the lockfile names.
pub(super) fn locked_of(project: &Project, name: &str) -> String {
    let text = std::fs::read_to_string(lockfile(project)).unwrap();
    let before = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = text.split_once(&before).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

pub(super) fn fail(project: &Project, arguments: &[&str]) -> String {
    let output = project.cargo(arguments, None);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
fn a_version_on_hold_is_not_taken_and_a_lockfile_that_names_it_works() {
    let site = site();
    let server = ClockedServer::start(&site, &[MIN_AGE], day(1));
    let project = project(&site, &server, "holding");
    project.succeed(&["generate-lockfile"], None);
    assert_eq!(locked(&project), "1.0.0");
    // By name it is taken, with a warning; and builds from then on.
    let said = project.succeed(&["update", "foo", "--precise", "1.1.0"], None);
    assert!(said.contains("yanked"), "{said}");
    assert_eq!(locked(&project), "1.1.0");
    let ran = project.succeed(&["run", "--quiet", "--locked"], None);
    assert!(ran.starts_with("1.1.0"), "{ran}");
    // An update goes down from it.
    project.succeed(&["update"], None);
    assert_eq!(locked(&project), "1.0.0");
    let said = fail(&project, &["install", "foo@1.1.0"]);
    assert!(said.contains("yanked"), "{said}");
    project.succeed(&["install", "foo"], None);
    // The hold ends while the server runs, and cargo sees it at once.
    server.set_clock(day(7));
    server.wait_for("shown", || {
        !server.entry("foo").text().contains("\"yanked\":true")
    });
    project.succeed(&["update"], None);
    assert_eq!(locked(&project), "1.1.0");
    project.succeed(&["install", "foo@1.1.0"], None);
}

#[test]
fn a_crate_of_which_all_versions_are_on_hold_cannot_be_added() {
    let mut site = site();
    publish(&mut site, "fresh", "0.1.0", Some(day(0)));
    let server = ClockedServer::start(&site, &[MIN_AGE], day(1));
    let project = project(&site, &server, "adding");
    let said = fail(&project, &["add", "fresh"]);
    assert!(
        said.contains("`fresh` could not be found in registry index"),
        "{said}"
    );
    // Written by hand, cargo says which versions there are.
    let manifest = project.folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("foo = \"1\"", "fresh = \"0.1\"")).unwrap();
    let said = fail(&project, &["generate-lockfile"]);
    assert!(said.contains("version 0.1.0 is yanked"), "{said}");
}

#[test]
fn a_denied_version_is_not_taken_and_a_lockfile_that_names_it_is_told_why() {
    let site = site();
    let before = ClockedServer::start(&site, &[], day(8));
    let project = self::project(&site, &before, "denying");
    project.succeed(&["generate-lockfile"], None);
    assert_eq!(locked(&project), "1.1.0");
    let lock = std::fs::read(lockfile(&project)).unwrap();
    drop(before);
    let folder = site.folder.path().join("other").display().to_string();
    let pairs = [
        ("FERRY_POLICY_DENY", "foo@1.1.0 why=a stolen account"),
        ("FERRY_SERVE_DATA_DIR", &folder),
    ];
    let server = ClockedServer::start(&site, &pairs, day(8));
    let project = self::project(&site, &server, "denied");
    std::fs::write(lockfile(&project), lock).unwrap();
    let said = fail(&project, &["build", "--locked"]);
    let told = "foo 1.1.0 is denied since 2026-11-09 00:00 UTC: a stolen account (policy.deny: foo@1.1.0); ask whoever runs this mirror";
    assert!(said.contains(told), "{said}");
    project.succeed(&["update"], None);
    assert_eq!(locked(&project), "1.0.0");
    project.succeed(&["build", "--locked"], None);
}

#[test]
fn a_version_that_upstream_took_back_builds_again_once_a_command_releases_it() {
    let mut site = site();
    let refuse = ("FERRY_POLICY_WITHDRAWN", "refuse");
    let server = ClockedServer::start(&site, &[refuse], day(8));
    let project = self::project(&site, &server, "released");
    project.succeed(&["generate-lockfile"], None);
    assert_eq!(locked(&project), "1.1.0");
    let listed = |version: &str| server.entry("foo").text().contains(version);
    site.withdraw("foo", &["1.1.0"]);
    server.refresh();
    server.wait_for("gone", || !listed("1.1.0"));
    let said = fail(&project, &["build", "--locked"]);
    assert!(said.contains("foo"), "{said}");
    let allow = site.run_with(&[refuse], &["policy", "allow", "foo@1.1.0"]);
    assert!(allow.status.success(), "{allow:?}");
    server.wait_for("released", || listed("1.1.0"));
    let ran = project.succeed(&["run", "--quiet", "--locked"], None);
    assert!(ran.starts_with("1.1.0"), "{ran}");
    let reset = site.run_with(&[refuse], &["policy", "reset", "foo@1.1.0"]);
    assert!(reset.status.success(), "{reset:?}");
    server.wait_for("gone again", || !listed("1.1.0"));
    project.succeed(&["update"], None);
    assert_eq!(locked(&project), "1.0.0");
}

/// Publishes a bad version and yanks the good ones before it, as a stolen account would; returns what cargo then takes of a project
/// without a lockfile.
fn taken_after_an_attack(pairs: &[(&str, &str)], name: &str) -> (String, String) {
    let mut site = Site::new();
    publish(&mut site, "foo", "1.0.0", None);
    publish(&mut site, "foo", "1.1.0", None);
    let server = ClockedServer::start(&site, pairs, day(1));
    publish(&mut site, "foo", "1.2.0", Some(day(1)));
    site.yank("foo", "1.0.0");
    site.yank("foo", "1.1.0");
    server.refresh();
    server.wait_for("fetched", || server.entry("foo").text().contains("1.2.0"));
    let project = project(&site, &server, name);
    project.succeed(&["generate-lockfile"], None);
    let during = locked(&project);
    server.set_clock(day(8));
    let is_free = || {
        server
            .entry("foo")
            .text()
            .matches("\"yanked\":true")
            .count()
            == 2
    };
    server.wait_for("over", is_free);
    project.succeed(&["update"], None);
    (during, locked(&project))
}

#[test]
fn who_publishes_a_bad_version_and_yanks_the_good_ones_drives_nobody_to_it() {
    let taken = |pairs: &[(&str, &str)], name| taken_after_an_attack(pairs, name);
    let of = |during: &str, after: &str| (during.to_owned(), after.to_owned());
    assert_eq!(taken(&[], "unprotected"), of("1.2.0", "1.2.0"));
    assert_eq!(taken(&[MIN_AGE], "protected"), of("1.1.0", "1.2.0"));
}
