//! Tokens with scopes and an end: the commands, what a running server makes of them, and what cargo says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::real_cargo::Project;
use crate::support::server::{Server, Site, printed, sha256};

const INDEX: &str = "/index/3/f/foo";

fn site() -> Site {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"bytes");
    site
}

/// The file of tokens, as `serve.auth` names it.
fn named(site: &Site) -> (PathBuf, [(&'static str, String); 1]) {
    let path = site.folder.path().join("tokens.txt");
    let pair = ("FERRY_SERVE_AUTH", path.display().to_string());
    (path, [pair])
}

fn pairs<'p>(pairs: &'p [(&'static str, String)]) -> Vec<(&'static str, &'p str)> {
    pairs
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// Adds a token and returns it.
fn add(site: &Site, auth: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = site.run_with(auth, &[&["token", "add"], arguments].concat());
    let printed = printed(&output, 0);
    printed.split_whitespace().last().unwrap().to_owned()
}

fn status(server: &Server, token: &str) -> u16 {
    server.get_with(INDEX, &[("authorization", token)]).status
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_running_server_counts_a_token_at_once_and_its_end_too() {
    let site = site();
    let (path, auth) = named(&site);
    let auth = pairs(&auth);
    std::fs::write(&path, "# nobody yet\n").unwrap();
    let server = site.serve(&auth);
    let token = add(&site, &auth, &["ci"]);
    assert_eq!(status(&server, &token), 200);
    let other = add(&site, &auth, &["laptop", "--expires", "90d"]);
    assert_eq!([&token, &other].map(|it| status(&server, it)), [200, 200]);
    printed(&site.run_with(&auth, &["token", "revoke", "ci"]), 0);
    assert_eq!([&token, &other].map(|it| status(&server, it)), [401, 200]);
    server.wait_for("logged", || server.log().contains("\"caller\":\"laptop\""));
    assert!(
        ![&token, &other]
            .iter()
            .any(|token| server.log().contains(token.as_str()))
    );
}

#[test]
fn the_first_token_locks_nobody_out_of_an_open_mirror() {
    let site = site();
    let server = site.serve(&[]);
    add(&site, &[], &["acme", "--scope", "publish:acme-*"]);
    let path = site.data().join("tokens");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(server.get(INDEX).status, 200);
    // Nor whoever sends one that is not valid, as a cargo that was set up for another mirror does.
    assert_eq!(status(&server, "unknown"), 200);
    let config = server.get("/index/config.json").text();
    assert!(!config.contains("auth-required"), "{config}");
}

#[test]
fn what_else_is_in_the_file_stays_as_it_is() {
    let site = site();
    let (path, auth) = named(&site);
    let auth = pairs(&auth);
    let hash = sha256(b"an-old-token");
    let before = format!("# by hand\n\n{hash}  the  laptop\n{hash}  ci scope=yank:acme-*");
    std::fs::write(&path, &before).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let text = || std::fs::read_to_string(&path).unwrap();
    let dry = ["token", "add", "new", "--scope", "admin", "--dry-run"];
    let shown = printed(&site.run_with(&auth, &dry), 0);
    assert!(
        shown.starts_with("would add new to ") && shown.ends_with("admin; does not expire"),
        "{shown}"
    );
    assert_eq!(text(), before);
    let arguments = [
        "new",
        "--scope",
        "read",
        "--scope",
        "publish:acme-*",
        "--expires",
        "2099-03-01",
    ];
    let token = add(&site, &auth, &arguments);
    let line = format!(
        "{}  new scope=read scope=publish:acme-* expires=2099-03-01T00:00:00Z\n",
        sha256(token.as_bytes())
    );
    assert_eq!(text(), format!("{before}\n{line}"));
    assert_eq!(mode(&path), 0o640);
    let listed = printed(&site.run_with(&auth, &["token", "ls"]), 0);
    let wanted = "the  laptop  read                  does not expire\n\
                  ci           yank:acme-*           does not expire\n\
                  new          read, publish:acme-*  expires on 2099-03-01T00:00:00Z";
    assert_eq!(listed, wanted);
    let json = printed(
        &site.run_with(&auth, &["--format", "json", "token", "ls"]),
        0,
    );
    assert!(json.contains("\"scopes\":[\"read\",\"publish:acme-*\"],\"expires\":\"2099-03-01T00:00:00Z\",\"expired\":false"), "{json}");
    let dry = ["token", "revoke", "the  laptop", "--dry-run"];
    printed(&site.run_with(&auth, &dry), 0);
    assert_eq!(text(), format!("{before}\n{line}"));
    printed(
        &site.run_with(&auth, &["token", "revoke", "the  laptop"]),
        0,
    );
    assert_eq!(
        text(),
        format!("# by hand\n\n{hash}  ci scope=yank:acme-*\n{line}")
    );
}

#[test]
fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let site = site();
    add(&site, &[], &["ci"]);
    let path = site.data().join("tokens");
    let before = std::fs::read(&path).unwrap();
    for (arguments, why) in [
        (&["add", "ci"][..], "there is a token named ci already"),
        (&["add", "a b"], "the name of a token"),
        (&["add", "*"], "the name of a token"),
        (
            &["add", "new", "--scope", "write"],
            "expected read, publish:GLOB",
        ),
        (
            &["add", "new", "--scope", "publish:a?"],
            "neither a crate name nor a pattern",
        ),
        (&["add", "new", "--expires", "2020-01-31"], "is past"),
        (
            &["add", "new", "--expires", "0s"],
            "expected a duration such as 90d",
        ),
        (
            &["add", "new", "--expires", "soon"],
            "expected a duration such as 90d",
        ),
        (
            &["add", "new", "--report", "/dev/null"],
            "leave out --report",
        ),
        (&["revoke", "other"], "has no token named other"),
    ] {
        let output = site.run(&[&["token"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            said(&output).contains(why),
            "{arguments:?}: {}",
            said(&output)
        );
        assert_eq!(std::fs::read(&path).unwrap(), before, "{arguments:?}");
    }
}

#[test]
fn two_who_add_tokens_at_the_same_time_lose_none() {
    let site = site();
    let names: Vec<_> = (0..8).map(|number| format!("ci-{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| add(&site, &[], &[name]));
        }
    });
    let listed = printed(&site.run(&["token", "ls"]), 0);
    let mut found: Vec<_> = listed
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, names);
}

#[test]
fn cargo_says_that_a_token_has_expired_and_which_scope_one_lacks() {
    let site = site();
    let (path, auth) = named(&site);
    let auth = pairs(&auth);
    let line = |token: &str, rest: &str| format!("{}  {rest}\n", sha256(token.as_bytes()));
    let text = line("old", "ci expires=2026-03-01") + &line("other", "acme scope=publish:acme-*");
    std::fs::write(&path, text).unwrap();
    let server = site.serve(&auth);
    let project = Project::new(&site, "project");
    let url = server.url("");
    let folder = project.folder.display().to_string();
    let set = [&auth[..], &[("FERRY_SERVE_PUBLIC_URL", url.as_str())]].concat();
    printed(
        &site.run_with(&set, &["cargo-config", "--write", &folder]),
        0,
    );
    for (token, status, detail) in [
        (
            "old",
            401,
            "the token `ci` expired on 2026-03-01T00:00:00Z: log in with another one",
        ),
        (
            "other",
            403,
            "the token `acme` does not have the scope `read`, which this takes; it has: publish:acme-*",
        ),
        ("unknown", 401, "the token is not valid"),
    ] {
        let got = server.get_with("/index/config.json", &[("authorization", token)]);
        assert_eq!((got.status, got.detail().as_str()), (status, detail));
        let output = project.cargo(&["fetch"], Some(token));
        assert!(!output.status.success());
        assert!(said(&output).contains(detail), "{}", said(&output));
    }
    let page = server.get_with("/", &[("authorization", "other")]);
    assert_eq!(page.status, 403);
    assert!(
        page.text().contains("The token does not allow this"),
        "{}",
        page.text()
    );
}
