//! `-vv` logs every packet, and no secret.

use std::os::unix::fs::PermissionsExt;

use crates_ferry::config::History;

use super::{ferry, stderr};
use crate::support::ferry::Ferry;
use crate::support::lighttpd::Lighttpd;
use crate::support::world::World;

const TARGET: &str = "crates_ferry::git::packet: ";
const TOKEN: &str = "hunter2hunter2";

/// A mirror whose hook says these words, and an upstream that is a crate ahead.
fn world(words: &str) -> World {
    let mut world = World::initialised(History::Merge);
    world.upstream.publish("new", "1.0.0");
    let hook = world.mirror.path().join("hooks/post-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, format!("#!/bin/sh\necho '{words}'\n")).unwrap();
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    world
}

/// Syncs; returns the log.
fn log(world: &World, ferry_of: &Ferry, verbosity: &str) -> String {
    let mut command = ferry(world.folder(), &[verbosity, "sync"]);
    let output = command
        .env("PATH", std::env::var("PATH").unwrap())
        .envs(ferry_of.variables().iter().cloned())
        .output()
        .unwrap();
    let log = stderr(&output);
    assert!(output.status.success(), "{log}");
    log
}

fn assert_traced(world: &World, log: &str) {
    let (theirs, before) = (world.upstream.tip().unwrap(), world.mirror.id("master^"));
    for (remote, packet) in [
        ("upstream", "> 0014 command=ls-refs".to_owned()),
        ("upstream", format!("< 003f {theirs} refs/heads/master")),
        ("upstream", format!("> 0032 want {theirs}")),
        ("upstream", "> 0000".to_owned()),
        ("mirror", format!("> 0032 want {before}")),
        ("mirror", "< 000e unpack ok".to_owned()),
        ("mirror", "< 0019 ok refs/heads/master".to_owned()),
    ] {
        let line = format!("{TARGET}{remote} {packet}\n");
        assert!(log.contains(&line), "{line}{log}");
    }
    let is_size = |line: &str, way: &str| line.contains(way) && line.contains("pack data, ");
    assert!(
        log.lines().any(|line| is_size(line, "upstream < ")),
        "{log}"
    );
    assert!(
        log.lines().any(|line| is_size(line, "mirror > pack")),
        "{log}"
    );
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn twice_verbose_logs_every_packet_of_a_git_daemon() {
    let world = world(&format!("see http://me:{TOKEN}@git.example/"));
    let log = log(&world, &world.ferry, "-vv");
    assert_traced(&world, &log);
    assert!(log.contains("mirror > 003"), "{log}");
    assert!(
        log.contains("git-receive-pack /mirror.git\\0host=127.0.0.1"),
        "{log}"
    );
    assert!(
        log.contains("remote: see http://[masked]@git.example/"),
        "{log}"
    );
}

#[test]
fn twice_verbose_logs_every_packet_over_http_without_the_token_in_the_url() {
    let world = world(&format!("you are {TOKEN}"));
    world.mirror.configure("http.receivepack", "true");
    let Some(server) = Lighttpd::start(world.folder(), Some(("me", TOKEN))) else {
        return;
    };
    let with_login = |name| server.url(name).replace("//", &format!("//me:{TOKEN}@"));
    let over_http = Ferry::new(with_login("upstream.git"), with_login("mirror.git"));
    let log = log(&world, &over_http, "-vv");
    assert_traced(&world, &log);
    assert!(log.contains("remote: you are [masked]\n"), "{log}");
}

#[test]
fn once_verbose_logs_no_packets() {
    let world = world("welcome");
    assert!(!log(&world, &world.ferry, "-v").contains(TARGET));
}
