//! What `probe` and `cargo-config --fallback` refuse, against servers that say what a test wants.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::crate_host::{CrateHost, Manner};
use crate::support::server::{command, printed, sha256};

/// A registry of one crate.
struct Registry(CrateHost);

impl Registry {
    fn start() -> Self {
        let host = CrateHost::start();
        let file = b"a small crate".to_vec();
        let entry = serde_json::json!({
            "name": "cfg-if", "vers": "1.0.0", "deps": [], "cksum": sha256(&file), "features": {}, "yanked": false
        });
        let config = format!("{{\"dl\":\"{}\"}}", host.dl());
        host.put_at("/index/config.json", config.into_bytes());
        host.put_at("/index/cf/g-/cfg-if", format!("{entry}\n").into_bytes());
        host.put("cfg-if", "1.0.0", file);
        Self(host)
    }

    /// Returns one that also says that it is ready, as a mirror does.
    fn mirror() -> Self {
        let registry = Self::start();
        registry.0.put_at("/readyz", b"ready".to_vec());
        registry
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
        let output = self.run(arguments, &[]);
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
}

#[test]
fn what_would_change_nothing_or_what_is_somebody_elses_is_refused() {
    let around = Around::new();
    let said = around.fail(&["probe"], 2);
    assert!(said.contains("does not include"), "{said}");
    assert!(said.contains("cargo-config --fallback"), "{said}");
    let config = around.project.path().join(".cargo/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    for (text, told) in [
        (
            "[source.crates-io]\nreplace-with = \"vendored\"\n",
            "`vendored` for good",
        ),
        (
            "[registries.mirror]\nindex = \"sparse+https://other.example/\"\n",
            "its registry `mirror` is",
        ),
        ("include = \"other.toml\"\n", "`include` is not a list"),
    ] {
        std::fs::write(&config, text).unwrap();
        let said = around.fail(&["cargo-config", "--fallback", "--write"], 2);
        assert!(said.contains(told), "{said}");
        assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
    }
    std::fs::write(&config, "[[include]]\npath = \"a.toml\"\n").unwrap();
    printed(
        &around.run(&["cargo-config", "--fallback", "--write"], &[]),
        0,
    );
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(
        text.contains("[[include]]\npath = \"mirror-fallback.toml\"\noptional = true\n"),
        "{text}"
    );
    std::fs::write(around.switch(), "[build]\n").unwrap();
    let said = around.fail(&["probe", "--now"], 2);
    assert!(said.contains("was not made by crates-ferry"), "{said}");
    assert_eq!(
        std::fs::read_to_string(around.switch()).unwrap(),
        "[build]\n"
    );
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
fn an_older_cargo_is_told() {
    let around = Around::new();
    let bin = around.project.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = bin.join("cargo");
    std::fs::write(&script, "#!/bin/sh\necho 'cargo 1.93.1 (abc 2026-01-01)'\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let set_up = ["cargo-config", "--fallback", "--write"];
    let output = around.run(&set_up, &[("PATH", &path)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cargo 1.93.1 cannot include"), "{said}");
    assert!(said.contains("1.94.0 or newer"), "{said}");
    assert!(!around.project.path().join(".cargo").exists());
}
