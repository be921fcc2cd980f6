//! The parts apart, as `ci/compose.yml` has them: started, and one of the servers killed while cargo fetches.
//!
//! `tests/it` tries the same with processes (`server/parts_apart.rs`), where there is no engine with compose.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use tempfile::TempDir;

use super::container::{Image, text};
use crate::support::crate_archive::crate_archive;
use crate::support::skip::skip;
use crate::support::trigger::try_http;
use crate::support::upstream::{Commit, Upstream, index_path};

/// How many crates the project depends on.
const CRATES: usize = 40;
/// What nothing here takes longer than.
const BOUND: Duration = Duration::from_secs(180);

/// What the test adds: a git host that has an upstream, too, and a host of its crate files.
const MORE: &str = r#"
services:
  git:
    environment: { GIT_CONFIG_COUNT: 1, GIT_CONFIG_KEY_0: safe.directory, GIT_CONFIG_VALUE_0: "*" }
    volumes: ["${TEST_FOLDER}/upstream.git:/repos/upstream.git:ro"]
  files:
    image: ${FERRY_PROXY_IMAGE:-nginx:stable}
    volumes: ["${TEST_FOLDER}/crates:/usr/share/nginx/html:ro"]
"#;

/// The containers; they are removed with the value.
struct Parts {
    folder: TempDir,
    image: String,
    port: u16,
}

impl Parts {
    /// Publishes crates and prepares the containers, or says that the test is skipped.
    fn prepared() -> Option<Self> {
        let image = Image::built()?;
        // The engine that ci/engine.bash starts has no networks.
        for (asked, missing) in [
            (["compose", "version", "--short"], "compose"),
            (["network", "inspect", "bridge"], "networks"),
        ] {
            let output = Command::new("docker").args(asked).output();
            if !output.is_ok_and(|output| output.status.success()) {
                skip(&format!("the container engine has no {missing}"));
                return None;
            }
        }
        let folder = TempDir::new().unwrap();
        publish(folder.path());
        std::fs::write(folder.path().join("more.yml"), MORE).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let parts = Self {
            image: image.name,
            port: free.local_addr().unwrap().port(),
            folder,
        };
        if !parts.run(&["pull", "proxy", "s3", "git"]).status.success() && !are_given() {
            skip("the images of ci/compose.yml cannot be pulled");
            return None;
        }
        Some(parts)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = self.folder.path();
        let project = format!("ferry-check-{}", self.port);
        let mut command = Command::new("docker");
        command
            .args(["compose", "-p", &project, "-f"])
            .arg(root.join("ci/compose.yml"))
            .arg("-f")
            .arg(folder.join("more.yml"))
            .args(arguments)
            .env("TEST_FOLDER", folder)
            .env("FERRY_IMAGE", &self.image)
            .env("FERRY_PUBLISH", format!("127.0.0.1:{}", self.port))
            .env("FERRY_PUBLIC_URL", self.url())
            .env("FERRY_UPSTREAM_URL", "git://git/upstream.git")
            .env("FERRY_SERVE_DL", "http://files/{crate}-{version}.crate")
            .env("FERRY_S3_SECRET", "secret-of-the-check")
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {output:?}\n{}",
            self.log()
        );
    }

    fn log(&self) -> String {
        let output = self.run(&["logs", "--no-color"]);
        text(&output.stdout) + &text(&output.stderr)
    }

    fn wait_until(&self, what: &str, is_met: impl Fn() -> bool) {
        let deadline = Instant::now() + BOUND;
        while !is_met() {
            assert!(Instant::now() < deadline, "not {what}: {}", self.log());
            std::thread::yield_now();
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.run(&["down", "--volumes", "--timeout", "1"]);
    }
}

/// Says whether the images are other ones than those that the file names.
fn are_given() -> bool {
    let names = ["FERRY_PROXY_IMAGE", "FERRY_S3_IMAGE", "FERRY_GIT_IMAGE"];
    names.iter().all(|name| std::env::var_os(name).is_some())
}

/// Makes an upstream of crates, and the folder of their files.
fn publish(folder: &Path) {
    let mut upstream = Upstream::create(folder, "upstream.git");
    let crates = folder.join("crates");
    std::fs::create_dir(&crates).unwrap();
    let config = r#"{"dl":"http://files/{crate}-{version}.crate"}"#;
    let mut commit = Commit::new("Publish").file("config.json", config);
    for number in 0..CRATES {
        let name = format!("part-{number}");
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
        let files = [("Cargo.toml", manifest.as_str()), ("src/lib.rs", "")];
        let bytes = crate_archive(&name, "1.0.0", &files);
        let checksum = hex::encode(digest(&SHA256, &bytes));
        let line = serde_json::json!({
            "name": name, "vers": "1.0.0", "deps": [], "cksum": checksum, "features": {}, "yanked": false
        });
        std::fs::write(crates.join(format!("{name}-1.0.0.crate")), bytes).unwrap();
        commit = commit.file(&index_path(&name), format!("{line}\n"));
    }
    upstream.commit([commit]);
}

/// Makes a project that takes its crates from this server.
fn make_project(folder: &Path, url: &str) {
    let mut manifest = "[package]\nname = \"project\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n\n[dependencies]\n".to_owned();
    for number in 0..CRATES {
        writeln!(manifest, "part-{number} = \"1\"").unwrap();
    }
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::create_dir_all(folder.join(".cargo")).unwrap();
    std::fs::write(folder.join("src/lib.rs"), "").unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let config = format!(
        "[source.crates-io]\nreplace-with = \"mirror\"\n\n[registries.mirror]\nindex = \"sparse+{url}/index/\"\n"
    );
    std::fs::write(folder.join(".cargo/config.toml"), config).unwrap();
}

#[test]
fn one_of_the_two_servers_is_killed_while_cargo_fetches_and_nothing_fails() {
    let Some(parts) = Parts::prepared() else {
        return;
    };
    let ready = format!("{}/readyz", parts.url());
    parts.succeed(&["up", "-d"]);
    parts.wait_until("ready", || {
        try_http("GET", &ready, &[], b"").is_ok_and(|answer| answer.status == 200)
    });
    let project = parts.folder.path().join("project");
    make_project(&project, &parts.url());
    let home = project.join("home");
    let mut cargo = Command::new("cargo");
    cargo
        .arg("fetch")
        .env("CARGO_HOME", &home)
        .current_dir(&project)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let fetching = cargo.spawn().unwrap();
    parts.wait_until("fetching", || home.join("registry/index").is_dir());
    parts.succeed(&["kill", "one"]);
    let fetched = fetching.wait_with_output().unwrap();
    assert!(fetched.status.success(), "{}", text(&fetched.stderr));
    let lock = std::fs::read_to_string(project.join("Cargo.lock")).unwrap();
    assert_eq!(lock.matches("checksum = ").count(), CRATES);
    // The other one has both the index and what the first one fetched.
    let file = format!("{}/api/v1/crates/part-1/1.0.0/download", parts.url());
    let answer = try_http("GET", &file, &[], b"").unwrap();
    assert_eq!(answer.status, 200, "{}", parts.log());
}
