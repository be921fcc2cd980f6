//! `up`, the whole mirror in one process, over real repositories and with the real cargo.

mod killed;
mod mirror;

use std::path::PathBuf;
use std::process::Command;

use crate::server::real_cargo::{self, Project};
use crate::support::server::{HOOK_TOKEN, Server, Site, command};

/// Where what `up` prints is kept.
fn printed(site: &Site) -> PathBuf {
    site.folder.path().join("printed")
}

/// Starts `up` with further variables and arguments, and waits until it listens.
fn start(site: &Site, pairs: &[(&str, &str)], arguments: &[&str]) -> Server {
    Server::up(&site.variables_and(pairs), arguments, &printed(site))
}

/// Returns what it has printed.
fn said(site: &Site) -> String {
    std::fs::read_to_string(printed(site)).unwrap()
}

/// Waits until it has said that it is ready.
fn wait_until_ready(site: &Site, server: &Server) {
    server.wait_for("ready", || said(site).contains("ready after"));
}

#[test]
fn from_nothing_to_a_build_in_one_command() {
    let site = real_cargo::site();
    let server = start(&site, &[], &[]);
    wait_until_ready(&site, &server);
    let said = said(&site);
    let url = server.url("");
    assert!(
        said.starts_with(&format!("crates-ferry is up at {url}\n")),
        "{said}"
    );
    // The lines as they are printed, and nothing else.
    let lines = said.split_once("home directory:\n\n").unwrap().1;
    let lines = lines.split_once("ready after").unwrap().0;
    let project = Project::new(&site, "project");
    std::fs::create_dir_all(&project.home).unwrap();
    std::fs::write(project.home.join("config.toml"), lines).unwrap();
    project.succeed(&["build"], None);
    assert!(!site.host.requests().is_empty());
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    server.signal("TERM");
    let (end, log) = server.end();
    assert!(end.success(), "{log}");
}

#[test]
fn a_second_one_of_the_same_folder_says_so() {
    let site = Site::new();
    let server = start(&site, &[], &[]);
    wait_until_ready(&site, &server);
    let listen = server.url("").trim_start_matches("http://").to_owned();
    // Also where the address is taken, too.
    for listen in ["127.0.0.1:0", &listen] {
        let output = site.run_with(&[("FERRY_SERVE_LISTEN", listen)], &["up"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("another process uses"), "{text}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn the_browser_gets_the_address_and_no_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    let folder = site.folder.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let (script, opened) = (folder.join("xdg-open"), site.folder.path().join("opened"));
    let place = opened.display();
    let text =
        format!("#!/bin/sh\n(echo \"$1\"; env) >'{place}.part'\nmv '{place}.part' '{place}'\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", folder.display());
    let server = start(&site, &[("PATH", &path), ("DISPLAY", ":7")], &["--open"]);
    server.wait_for("opened", || opened.is_file());
    let text = std::fs::read_to_string(&opened).unwrap();
    assert!(text.starts_with(&server.url("")), "{text}");
    assert!(text.contains("DISPLAY=:7\n"), "{text}");
    assert!(!text.contains(HOOK_TOKEN), "{text}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"bytes");
    let server = start(&site, &[], &[]);
    wait_until_ready(&site, &server);
    site.host.hold();
    let url = server.url("/api/v1/crates/foo/1.0.0/download");
    let client = std::thread::spawn(move || {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        crate::support::server::ask(client, "GET", &url, &[], b"")
    });
    site.host.wait_for_requests(1);
    server.signal("INT");
    server.wait_for("stopping", || server.log().contains("stopping"));
    server.signal("INT");
    let (end, log) = server.end();
    assert_eq!(end.code(), Some(130), "{log}");
    site.host.release();
    drop(client.join().unwrap());
}

#[test]
fn without_a_terminal_and_for_programs_stdout_holds_nothing_but_json() {
    let site = Site::new();
    let printed = printed(&site);
    let variables = site.variables();
    let mut command: Command = command(&variables);
    command
        .args(["--format", "json", "-v", "up"])
        .stdout(std::fs::File::create(&printed).unwrap());
    let server = Server::spawn(&variables, command);
    server.wait_for("ready", || server.log().contains("ready after"));
    assert_eq!(said(&site), "");
    for line in server.log().lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap();
    }
    assert!(server.log().contains("crates-ferry is up at"));
}
