//! The container image, as little trusted as it may be, between a git daemon and an sshd on this machine.
//!
//! `ci/check-image` builds the image and runs these tests; elsewhere they say that they are skipped.

mod compose;
mod container;
mod content;
mod folders;
mod helper;
mod stopping;
mod tls;

use std::process::Output;

use serde_json::Value;

use crate::support::ferry::Ferry;
use crate::support::sides::World;
use crate::support::sshd::{Options, Sshd};

use self::container::{Image, RESTRICTED, text};

/// A world whose mirror is behind sshd, with upstream being some crates ahead of it.
struct Stage {
    world: World,
    sshd: Sshd,
    image: Image,
}

impl Stage {
    /// Makes both sides, and the mirror's first commit by the image's own `init`.
    fn set() -> Option<Self> {
        let image = Image::built()?;
        let mut world = World::empty();
        let sshd = Sshd::start(&Options::new(world.folder()))?;
        world.upstream.publish_many("crate", 40);
        world
            .set("FERRY_MIRROR_URL", sshd.url("mirror.git"))
            .set("SSH_PRIVATE_KEY", sshd.private_key_text())
            .set("SSH_KNOWN_HOSTS", sshd.known_hosts_line());
        let stage = Self { world, sshd, image };
        assert_eq!(stage.report(&["init"])["outcome"], "created");
        Some(stage)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.image.ferry(&self.world.ferry, arguments)
    }

    /// Runs the program, which must succeed, and returns its report.
    fn report(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--format", "json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn what_upstream_has_gets_into_the_mirror_from_a_container_without_disk_or_rights() {
    let Some(mut stage) = Stage::set() else {
        return;
    };
    stage.world.upstream.publish_many("later", 7);
    let before = (stage.world.mirror.tip(), stage.world.mirror.objects());

    let planned = stage.report(&["sync", "--dry-run"]);
    assert_eq!(
        (&planned["outcome"], &planned["after"]),
        (&"merge".into(), &Value::Null)
    );
    let mirror = &stage.world.mirror;
    assert_eq!((mirror.tip(), mirror.objects()), before);

    let done = stage.report(&["sync"]);
    assert_eq!(
        (&done["outcome"], &done["commits"]),
        (&"merge".into(), &7.into())
    );
    assert_eq!(done["after"], mirror.tip());
    mirror.assert_ancestor(&before.0);
    mirror.assert_is_upstream_plus_overlay(stage.world.upstream.path(), &["config.json"]);
    mirror.assert_fsck_clean();

    let tip = mirror.tip();
    assert_eq!(stage.report(&["sync"])["outcome"], "up-to-date");
    let checked = stage.report(&["check"]);
    assert_eq!(checked["ok"], true, "{checked:#}");
    assert_eq!(mirror.tip(), tip);
}

#[test]
fn exit_codes_come_out_of_the_container() {
    let Some(stage) = Stage::set() else {
        return;
    };
    let code = |ferry: &Ferry, arguments: &[&str]| {
        let output = stage.image.ferry(ferry, arguments);
        (output.status.code(), text(&output.stderr))
    };
    let ferry = &stage.world.ferry;
    let (usage, said) = code(ferry, &["sync", "--dry-rum"]);
    assert_eq!(usage, Some(2), "{said}");

    let known = stage
        .sshd
        .known_hosts_line()
        .replace("127.0.0.1", "other.example");
    let stranger = ferry.clone().with("SSH_KNOWN_HOSTS", known);
    let (person, said) = code(&stranger, &["sync"]);
    assert_eq!(person, Some(3), "{said}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("git://{}/upstream.git", listener.local_addr().unwrap());
    drop(listener);
    let unreachable = ferry.clone().with("FERRY_UPSTREAM_URL", nobody);
    let (network, said) = code(&unreachable, &["sync"]);
    assert_eq!(network, Some(1), "{said}");
}

#[test]
fn a_sync_writes_no_file_even_where_it_could() {
    let Some(mut stage) = Stage::set() else {
        return;
    };
    stage.world.upstream.publish_many("later", 3);
    let container = stage.image.start(&[], &stage.world.ferry, &["sync"]);
    assert_eq!(container.wait(), 0, "{}", container.log());
    assert_eq!(container.changes(), "");
    stage
        .world
        .mirror
        .assert_is_upstream_plus_overlay(stage.world.upstream.path(), &["config.json"]);
}

/// Says whether a text is the program's version with commit and date, as a release build knows them.
fn is_version(text: &str) -> bool {
    let start = concat!("crates-ferry ", env!("CARGO_PKG_VERSION"), " (");
    let build = text
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix(')'));
    build.is_some_and(|build| {
        build
            .split_once(' ')
            .is_some_and(|(commit, date)| commit.len() >= 7 && date.len() == 10)
    })
}

#[test]
fn the_program_is_the_entry_point() {
    let Some(image) = Image::built() else {
        return;
    };
    let version = image.ferry(&Ferry::default(), &["--version"]);
    assert!(is_version(&text(&version.stdout)), "{version:?}");
    let help = image.ferry(&Ferry::default(), &[]);
    assert!(
        text(&help.stdout).contains("Usage: crates-ferry"),
        "{help:?}"
    );
    assert!(version.status.success() && help.status.success());
}

#[test]
fn a_job_gets_a_shell_with_the_program_in_its_path() {
    let Some(image) = Image::built() else {
        return;
    };
    let said = image.shell(
        &RESTRICTED,
        "id -u && id -un && pwd && crates-ferry --version",
    );
    let version = said.strip_prefix("10001\nferry\n/ferry\n").unwrap_or(&said);
    assert!(is_version(version), "{said}");
    // Without --user it is the same person, who may write to the home folder; with another, whom nobody knows, it works, too.
    assert_eq!(
        image.shell(&[], "id -u && touch ~/mine && echo ~"),
        "10001\n/ferry"
    );
    let unknown = image.shell(&["--user", "4711:4711"], "pwd && crates-ferry --version");
    assert_eq!(unknown, format!("/ferry\n{version}"));
}

#[test]
fn the_engine_holds_it_to_its_restrictions() {
    let Some(image) = Image::built() else {
        return;
    };
    let said = image.shell(
        &RESTRICTED,
        "for place in / /tmp ~; do touch $place/it 2>/dev/null && echo $place can be written to; done
         grep CapEff /proc/self/status
         cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null
         true",
    );
    assert_eq!(said, "CapEff:\t0000000000000000\n67108864");
}
