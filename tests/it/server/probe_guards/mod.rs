//! What `probe` and `cargo-config --fallback` refuse, against servers that say what a test wants.

mod settings;

use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::support::crate_host::{CrateHost, Manner};
use crate::support::server::{Site, command, printed, sha256};

/// Returns the line of a version.
fn entry(version: &str, file: &[u8]) -> String {
    let line = serde_json::json!({
        "name": "cfg-if", "vers": version, "deps": [], "cksum": sha256(file), "features": {}, "yanked": false
    });
    format!("{line}\n")
}

/// A registry of one crate.
struct Registry(CrateHost);

impl Registry {
    fn start() -> Self {
        let host = CrateHost::start();
        let file = b"a small crate".to_vec();
        let config = format!("{{\"dl\":\"{}\"}}", host.dl());
        host.put_at("/index/config.json", config.into_bytes());
        host.put_at("/index/cf/g-/cfg-if", entry("1.0.0", &file).into_bytes());
        host.put("cfg-if", "1.0.0", file);
        Self(host)
    }

    /// Returns one that also says that it is ready, as a mirror does.
    fn mirror() -> Self {
        let registry = Self::start();
        registry.0.put_at("/readyz", b"ready".to_vec());
        registry
    }

    /// Lists these versions in place of the one; their files are not there.
    fn list(&self, versions: &[(&str, &[u8])]) {
        let lines = versions.iter().map(|(version, file)| entry(version, file));
        let lines: String = lines.collect();
        self.0.put_at("/index/cf/g-/cfg-if", lines.into_bytes());
    }

    fn url(&self) -> String {
        self.0.dl().trim_end_matches("/crates").to_owned()
    }
}

/// A project, crates.io and a mirror.
struct Around {
    project: TempDir,
    crates_io: Registry,
    mirror: Registry,
}

impl Around {
    fn new() -> Self {
        Self {
            project: TempDir::new().unwrap(),
            crates_io: Registry::start(),
            mirror: Registry::mirror(),
        }
    }

    /// Returns one whose configuration includes the file.
    fn set_up() -> Self {
        let around = Self::new();
        printed(
            &around.run(&["cargo-config", "--fallback", "--write"], &[]),
            0,
        );
        around
    }

    fn run(&self, arguments: &[&str], pairs: &[(&str, &str)]) -> Output {
        let (index, mirror) = (self.crates_io.url() + "/index", self.mirror.url());
        let given = [
            ("FERRY_PROBE_INDEX", index.as_str()),
            ("FERRY_SERVE_PUBLIC_URL", &mirror),
            ("FERRY_NETWORK_RETRIES", "0"),
            ("FERRY_PROBE_TIMEOUT", "5s"),
        ];
        let all = given.iter().chain(pairs);
        let all: Vec<_> = all
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut command = command(&all);
        command.current_dir(self.project.path());
        command.args(arguments).output().unwrap()
    }

    /// Runs a command that fails so; returns what it says.
    fn fail(&self, arguments: &[&str], code: i32) -> String {
        self.fail_with(arguments, &[], code)
    }

    fn fail_with(&self, arguments: &[&str], pairs: &[(&str, &str)], code: i32) -> String {
        let output = self.run(arguments, pairs);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    fn switch(&self) -> PathBuf {
        self.project.path().join(".cargo/mirror-fallback.toml")
    }
}

#[test]
fn a_crates_io_that_serves_other_bytes_than_its_index_says_is_down() {
    let around = Around::set_up();
    let probe = ["probe", "--now", "--dry-run"];
    let fine = printed(&around.run(&probe, &[]), 0);
    assert_eq!(fine, "crates.io answers; nothing to do");
    around.crates_io.0.put("cfg-if", "1.0.0", b"other".to_vec());
    let said = printed(&around.run(&probe, &[]), 0);
    assert!(said.contains("cargo would take the mirror"), "{said}");
    assert!(said.contains("another checksum"), "{said}");
    for manner in [
        Manner::Status(503, String::new()),
        Manner::Loop,
        Manner::Wrong(b"<html>Please log in</html>".to_vec()),
        Manner::AlwaysCut(5),
    ] {
        around.crates_io.0.behave(manner.clone());
        let said = printed(&around.run(&probe, &[]), 0);
        assert!(said.contains("would take the mirror"), "{manner:?}: {said}");
    }
}

#[test]
fn the_mirror_that_the_file_names_is_told_where_another_one_is_probed() {
    let around = Around::set_up();
    let refuse = || Manner::Status(500, String::new());
    around.crates_io.0.behave(refuse());
    let first = around.mirror.url();
    let said = printed(&around.run(&["probe", "--now"], &[]), 0);
    assert!(
        said.contains(&format!("takes the mirror {first}")),
        "{said}"
    );
    let second = Registry::mirror();
    let other = second.url();
    let other = ["--public-url", other.as_str()];
    let probe = |further: &[&str]| {
        let arguments = [&["probe"], &other[..], further].concat();
        printed(&around.run(&arguments, &[]), 0)
    };
    let said = probe(&["--dry-run"]);
    assert!(
        said.contains(&format!("still down; cargo takes the mirror {first}")),
        "{said}"
    );
    around.crates_io.0.behave(Manner::Fine);
    let said = probe(&[]);
    assert!(
        said.contains(&format!("cargo still takes the mirror {first}")),
        "{said}"
    );
    // Once the file names it, so does the line.
    around.crates_io.0.behave(refuse());
    let said = probe(&[]);
    let wanted = format!("still down; cargo takes the mirror {}", second.url());
    assert!(said.contains(&wanted), "{said}");
}

#[test]
fn the_mirror_that_the_file_names_is_told_where_it_comes_first() {
    let around = Around::new();
    let set_up = ["cargo-config", "--fallback", "crates-io", "--write"];
    printed(&around.run(&set_up, &[]), 0);
    let (first, second) = (around.mirror.url(), Registry::mirror());
    let other = second.url();
    let probe = ["probe", "--fallback", "crates-io", "--public-url", &other];
    let said = printed(&around.run(&probe, &[]), 0);
    let wanted = format!("the mirror {other} answers; cargo takes the mirror {first}");
    assert_eq!(said, wanted);
    second.0.behave(Manner::Status(500, String::new()));
    let said = printed(&around.run(&probe, &[]), 0);
    assert!(
        said.contains(&format!("cargo still takes the mirror {first}")),
        "{said}"
    );
}

#[test]
fn a_silent_crates_io_is_down_after_the_time_limit() {
    let around = Around::set_up();
    around.crates_io.0.hold();
    let pairs = [("FERRY_PROBE_TIMEOUT", "300ms")];
    let began = Instant::now();
    let said = printed(&around.run(&["probe", "--now"], &pairs), 0);
    assert!(said.contains("does not answer within 300ms"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(around.switch().exists());
    around.crates_io.0.release();
}

#[test]
fn a_mirror_that_is_not_ready_or_has_no_index_is_not_switched_to() {
    let mut around = Around::set_up();
    around
        .crates_io
        .0
        .behave(Manner::Status(500, String::new()));
    // Without the path that says that it is fresh.
    around.mirror = Registry::start();
    let said = around.fail(&["probe", "--now"], 1);
    assert!(said.contains("/readyz responds with 404"), "{said}");
    assert!(said.contains("cannot replace it"), "{said}");
    around.mirror = Registry(CrateHost::start());
    around.mirror.0.put_at("/readyz", b"ready".to_vec());
    let said = around.fail(&["probe", "--now"], 1);
    assert!(said.contains("config.json responds with 404"), "{said}");
    assert!(!around.switch().exists());
}

#[test]
fn crates_io_never_replaces_a_mirror_with_a_policy_or_tokens() {
    let around = Around::new();
    let set_up = ["cargo-config", "--fallback", "crates-io", "--write"];
    around.mirror.0.put_at("/api/v1/policy", b"{}".to_vec());
    let said = around.fail(&set_up, 3);
    assert!(said.contains("announces a policy"), "{said}");
    assert!(said.contains("second mirror"), "{said}");
    let tokens = [("FERRY_SERVE_AUTH", "tokens.txt")];
    let output = around.run(&set_up, &tokens);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("wants a token"), "{said}");
    let mut around = Around::new();
    around.mirror.0.put_at(
        "/index/config.json",
        b"{\"dl\":\"https://x.example\",\"auth-required\":true}".to_vec(),
    );
    let said = around.fail(&set_up, 3);
    assert!(said.contains("wants a token"), "{said}");
    // One that does not say may have either.
    around.mirror = Registry(CrateHost::start());
    let said = around.fail(&set_up, 1);
    assert!(said.contains("it is not known whether"), "{said}");
    assert!(!around.project.path().join(".cargo").exists());
}

#[test]
fn a_policy_that_came_later_keeps_crates_io_closed_when_the_mirror_goes_down() {
    let around = Around::new();
    let set_up = ["cargo-config", "--fallback", "crates-io", "--write"];
    printed(&around.run(&set_up, &[]), 0);
    around.mirror.0.put_at("/api/v1/policy", b"{}".to_vec());
    let probe = ["probe", "--fallback", "crates-io", "--now"];
    let said = printed(&around.run(&probe, &[]), 0);
    assert!(said.contains("answers; nothing to do"), "{said}");
    around.mirror.0.behave(Manner::Status(500, String::new()));
    let said = around.fail(&probe, 3);
    assert!(said.contains("did not say before"), "{said}");
    assert!(around.switch().exists());
    // Also where somebody removed the file by hand.
    std::fs::remove_file(around.switch()).unwrap();
    let said = printed(&around.run(&probe, &[]), 0);
    assert!(said.starts_with("cargo now takes the mirror"), "{said}");
    assert!(around.switch().exists());
    // And where its index has no such crate, which otherwise is the configuration's fault.
    around.mirror.0.behave(Manner::Fine);
    around.mirror.0.remove_at("/index/cf/g-/cfg-if");
    std::fs::remove_file(around.switch()).unwrap();
    let said = printed(&around.run(&probe, &[]), 0);
    assert!(said.starts_with("cargo now takes the mirror"), "{said}");
    assert!(around.switch().exists());
}

#[test]
fn two_probes_of_one_configuration_work_one_after_the_other() {
    let around = Around::set_up();
    around
        .crates_io
        .0
        .behave(Manner::Status(500, String::new()));
    let lock = around.project.path().join(".cargo/mirror-fallback.lock");
    let file = std::fs::File::create(lock).unwrap();
    file.lock().unwrap();
    let short = [("FERRY_PROBE_TIMEOUT", "100ms")];
    let output = around.run(&["probe", "--now"], &short);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("another probe holds"), "{said}");
    assert!(!around.switch().exists());
    drop(file);
    printed(&around.run(&["probe", "--now"], &[]), 0);
    assert!(around.switch().exists());
}

#[test]
fn a_mirror_whose_crate_files_do_not_come_is_not_switched_to() {
    let around = Around::set_up();
    let probe = ["probe", "--now", "--dry-run"];
    around
        .crates_io
        .0
        .behave(Manner::Status(500, String::new()));
    let file = |version: &str| format!("/crates/cfg-if/{version}/download");
    around.mirror.0.put("cfg-if", "1.0.0", b"other".to_vec());
    let said = around.fail(&probe, 1);
    assert!(said.contains("another checksum"), "{said}");
    // Of a version that is not there yet an older one will do.
    around
        .mirror
        .list(&[("0.9.0", b"an older one"), ("1.0.0", b"a newer one")]);
    around.mirror.0.remove_at(&file("1.0.0"));
    let said = around.fail(&probe, 1);
    assert!(said.contains("1.0.0/download responds with 404"), "{said}");
    let advice =
        "help: Let the mirror hold a version of it (`crates-ferry prefetch --crate cfg-if`)";
    assert!(said.contains(advice), "{said}");
    around
        .mirror
        .0
        .put("cfg-if", "0.9.0", b"an older one".to_vec());
    let said = printed(&around.run(&probe, &[]), 0);
    assert!(said.contains("would take the mirror"), "{said}");
}

#[test]
fn what_a_killed_probe_left_is_removed_by_the_next() {
    let around = Around::set_up();
    let folder = around.project.path().join(".cargo");
    let make = |name: &str, age: u64| {
        let file = std::fs::File::create(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age))
            .unwrap();
        folder.join(name)
    };
    let left = make(".crates-ferry-aBcDeF.tmp", 90);
    let others = [
        make(".crates-ferry-gHiJkL.tmp", 5),
        make(".tmpaBcDeF", 90),
        make("mine.tmp", 90),
    ];
    printed(&around.run(&["probe"], &[]), 0);
    assert!(!left.exists());
    assert!(others.iter().all(|other| other.exists()));
}

#[test]
fn a_folder_that_cannot_be_written_is_told_with_what_to_do() {
    let around = Around::set_up();
    let folder = around.project.path().join(".cargo");
    std::fs::remove_file(folder.join("mirror-fallback.lock")).unwrap();
    std::fs::create_dir(folder.join("mirror-fallback.lock")).unwrap();
    let said = around.fail(&["probe"], 2);
    assert!(said.contains("cannot lock"), "{said}");
    assert!(said.contains("help: Give this user write access"), "{said}");
    std::fs::remove_dir(folder.join("mirror-fallback.lock")).unwrap();
    let memory = folder.join("mirror-fallback.json");
    std::fs::remove_file(&memory).unwrap();
    std::fs::create_dir(memory).unwrap();
    let said = around.fail(&["probe"], 2);
    assert!(said.contains("cannot write"), "{said}");
    assert!(said.contains("help: Give this user write access"), "{said}");
}

#[test]
fn a_mirror_that_wants_a_token_which_cargo_lacks_is_told_with_where_cargo_looks_for_it() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"one");
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, format!("{}  ci\n", sha256(b"a token"))).unwrap();
    let server = site.serve(&[("FERRY_SERVE_AUTH", tokens.to_str().unwrap())]);
    let around = Around::new();
    let (address, home) = (server.url(""), around.project.path().join("home"));
    let mirror = [
        ("FERRY_SERVE_PUBLIC_URL", address.as_str()),
        ("CARGO_HOME", home.to_str().unwrap()),
    ];
    let set_up = ["cargo-config", "--fallback", "--write"];
    printed(&around.run(&set_up, &mirror), 0);
    around
        .crates_io
        .0
        .behave(Manner::Status(500, String::new()));
    let probe = ["--format", "json", "probe", "--now"];
    let said = |pairs: &[(&str, &str)]| {
        let said = printed(&around.run(&probe, pairs), 0);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["takes"], "mirror");
        said["warnings"].to_string()
    };
    for _ in 0..2 {
        let told = said(&mirror);
        assert!(told.contains("CARGO_REGISTRIES_MIRROR_TOKEN"), "{told}");
        assert!(told.contains("cargo login --registry mirror"), "{told}");
    }
    let text = printed(&around.run(&probe[2..], &mirror), 0);
    assert!(
        text.contains("\n  warning   the mirror wants a token"),
        "{text}"
    );
    let switch = std::fs::read_to_string(around.switch()).unwrap();
    assert!(
        switch.contains("credential-provider = \"cargo:token\""),
        "{switch}"
    );
    let variable = [mirror[0], mirror[1], ("CARGO_REGISTRIES_MIRROR_TOKEN", "x")];
    assert_eq!(said(&variable), "[]");
    std::fs::create_dir_all(&home).unwrap();
    let stored = "[registries.mirror]\ntoken = \"x\"\n";
    std::fs::write(home.join("credentials.toml"), stored).unwrap();
    assert_eq!(said(&mirror), "[]");
}
