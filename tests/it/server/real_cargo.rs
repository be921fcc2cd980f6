//! The real cargo as a client, with crates.io replaced by the server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::support::certificate;
use crate::support::real_crates;
use crate::support::server::{Server, Site, sha256};
use crate::support::upstream::{Commit, index_path};

/// A project whose dependencies are real crates.
pub(crate) struct Project {
    pub(crate) folder: PathBuf,
    pub(crate) home: PathBuf,
}

impl Project {
    pub(crate) fn new(site: &Site, name: &str) -> Self {
        let folder = site.folder.path().join(name);
        std::fs::create_dir_all(folder.join("src")).unwrap();
        let manifest = "[package]\nname = \"project\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\nhex = \"0.4\"\n\n[workspace]\n";
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        std::fs::write(
            folder.join("src/main.rs"),
            "fn main() { println!(\"{}\", hex::encode([255])); }\n",
        )
        .unwrap();
        // `cargo install` reads no other configuration.
        let home = folder.join(".cargo");
        Self { folder, home }
    }

    pub(crate) fn cargo(&self, arguments: &[&str], token: Option<&str>) -> Output {
        let token = token.map(|token| ("CARGO_REGISTRIES_MIRROR_TOKEN", token));
        let pairs: Vec<_> = token.into_iter().collect();
        self.cargo_with(&pairs, arguments)
    }

    /// Runs cargo with further variables.
    pub(crate) fn cargo_with(&self, pairs: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = Command::new("cargo");
        command.env_clear();
        for name in ["PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .env("CARGO_HOME", &self.home)
            .env("CARGO_NET_RETRY", "0")
            .envs(pairs.iter().copied())
            .current_dir(&self.folder)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Removes what cargo has fetched.
    pub(crate) fn forget(&self) {
        std::fs::remove_dir_all(self.home.join("registry")).unwrap();
    }

    pub(crate) fn succeed(&self, arguments: &[&str], token: Option<&str>) -> String {
        let output = self.cargo(arguments, token);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        format!("{}{said}", String::from_utf8_lossy(&output.stdout))
    }

    /// Does everything that cargo does with a registry.
    fn work(&self, token: Option<&str>) {
        self.succeed(&["generate-lockfile"], token);
        self.succeed(&["fetch", "--locked"], token);
        self.succeed(&["build", "--locked"], token);
        let ran = self.succeed(&["run", "--quiet"], token);
        assert!(ran.starts_with("ff"), "{ran}");
        let added = self.succeed(&["add", "itoa"], token);
        assert!(added.contains("Adding itoa"), "{added}");
        let info = self.succeed(&["info", "itoa", "--registry", "mirror"], token);
        assert!(info.contains("license"), "{info}");
        self.succeed(&["fetch"], token);
        let lock = std::fs::read_to_string(self.folder.join("Cargo.lock")).unwrap();
        assert!(
            lock.contains("registry+https://github.com/rust-lang/crates.io-index"),
            "{lock}"
        );
    }
}

/// Makes a site whose crates are those that cargo has fetched here.
pub(crate) fn site() -> Site {
    let mut site = Site::new();
    real_crates::publish(&mut site);
    site
}

/// Writes the project's configuration with our own command.
fn point(
    site: &Site,
    server: &Server,
    project: &Project,
    arguments: &[&str],
    pairs: &[(&str, &str)],
) {
    let url = server.url("");
    let folder = project.folder.display().to_string();
    let pairs: Vec<(&str, &str)> = [("FERRY_SERVE_PUBLIC_URL", url.as_str())]
        .iter()
        .chain(pairs)
        .copied()
        .collect();
    let arguments: Vec<&str> = ["cargo-config", "--write", &folder]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let output = site.run_with(&pairs, &arguments);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn cargo_works_over_the_sparse_index() {
    let site = site();
    let server = site.serve(&[]);
    let project = Project::new(&site, "sparse");
    point(&site, &server, &project, &[], &[]);
    project.work(None);
    install(&site, &server, &project, None);
    let requests = site.host.requests().len();
    let second = Project::new(&site, "second");
    point(&site, &server, &second, &[], &[]);
    second.work(None);
    assert_eq!(
        site.host.requests().len(),
        requests,
        "each file is fetched once"
    );
    let stale = Project::new(&site, "unknown");
    point(&site, &server, &stale, &[], &[]);
    let unknown = stale.cargo(&["add", "no-such-crate-anywhere"], None);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("could not be found"), "{said}");
}

#[test]
fn cargo_searches() {
    let site = site();
    let server = site.serve(&[]);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    let project = Project::new(&site, "searching");
    point(&site, &server, &project, &[], &[]);
    let search = |text| project.succeed(&["search", text, "--registry", "mirror"], None);
    let found = search("HEX");
    assert!(found.starts_with("hex = \"0.4.3\""), "{found}");
    // The crate files that pass through say what the crates are.
    project.succeed(&["generate-lockfile"], None);
    project.succeed(&["fetch", "--locked"], None);
    let described = "# Encoding and decoding data into/from hexadecimal representation.";
    server.wait_for("the description", || search("hex").contains(described));
    assert!(search("hexadecimal").starts_with("hex = "));
    assert!(!search("no-such-crate-anywhere").contains('='));
}

#[test]
fn a_version_that_cargo_does_not_read_is_recommended_by_nobody() {
    let mut site = site();
    let line = |version: &str, format: u32| {
        json!({
            "name": "format", "vers": version, "deps": [], "cksum": sha256(version.as_bytes()), "features": {},
            "yanked": false, "v": format
        })
    };
    let lines = [line("1.0.0", 1), line("1.1.0", 2), line("2.0.0", 3)];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let commit = Commit::new("Update crate `format`");
    site.index
        .commit([commit.file(&index_path("format"), text.as_str())]);
    let server = site.serve(&[]);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    let project = Project::new(&site, "formats");
    point(&site, &server, &project, &[], &[]);
    let added = project.succeed(&["add", "format", "--dry-run"], None);
    assert!(added.contains("Adding format v1.1.0"), "{added}");
    let found = project.succeed(&["search", "format", "--registry", "mirror"], None);
    assert!(found.starts_with("format = \"1.1.0\""), "{found}");
    let told = server.get("/api/v1/crates/format").text();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    for version in ["default_version", "max_version", "max_stable_version"] {
        assert_eq!(told["crate"][version], "1.1.0");
    }
    let page = server.get("/crates/format").text();
    assert!(
        page.contains("Take <strong class=\"number\">1.1.0"),
        "{page}"
    );
    assert!(
        page.contains("2.0.0</a> <span class=\"state bad\">ignored by cargo"),
        "{page}"
    );
    let page = server.get("/crates/format/2.0.0").text();
    assert!(
        page.contains("has a format that cargo does not read. Take"),
        "{page}"
    );
    assert!(!page.contains("cargo add"), "{page}");
}

#[test]
fn cargo_is_told_what_a_mirror_does_not_do() {
    let site = site();
    let server = site.serve(&[]);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    let project = Project::new(&site, "publishing");
    point(&site, &server, &project, &[], &[]);
    for (arguments, told) in [
        (
            &["publish", "--no-verify", "--allow-dirty"][..],
            "`cargo publish --registry crates-io`",
        ),
        (&["yank", "hex@0.4.3"], "`cargo yank --registry crates-io`"),
        (
            &["yank", "--undo", "hex@0.4.3"],
            "`cargo yank --undo --registry crates-io`",
        ),
        (
            &["owner", "--list", "hex"],
            "`cargo owner --registry crates-io`",
        ),
    ] {
        let arguments = [arguments, &["--registry", "mirror"]].concat();
        let output = project.cargo(&arguments, Some("any-token"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(told), "{said}");
    }
    assert!(server.get("/me").detail().contains("makes no tokens"));
    assert!(
        server
            .get("/api/v1/elsewhere")
            .detail()
            .contains("nothing at this path")
    );
}

#[test]
fn cargo_works_over_tls_and_http2() {
    let site = site();
    let (cert, key) = certificate::make(site.folder.path(), "IP:127.0.0.1");
    let server = site.serve(&[
        ("FERRY_SERVE_TLS_CERT", cert.to_str().unwrap()),
        ("FERRY_SERVE_TLS_KEY", key.to_str().unwrap()),
    ]);
    let project = Project::new(&site, "tls");
    point(&site, &server, &project, &[], &[]);
    let config = project.home.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[http]\ncainfo = {cert:?}\n")).unwrap();
    project.work(None);
    let protocols = || -> Vec<String> {
        let log = server.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &serde_json::Value| {
                line["agent"].as_str().is_some_and(|a| a.contains("cargo"))
            })
            .map(|line| line["protocol"].as_str().unwrap().to_owned())
            .collect()
    };
    server.wait_for("logged", || !protocols().is_empty());
    assert!(protocols().iter().all(|protocol| protocol == "HTTP/2.0"));
}

#[test]
fn cargo_works_over_the_git_index() {
    let mut site = site();
    let upstream = site.folder.path().join("upstream.git");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(site.index.path())
        .arg(&upstream)
        .status();
    assert!(copied.unwrap().success());
    // The git index is the mirror, whose config.json points at the server.
    let index = site.index.path().display().to_string();
    let server = site.serve(&[
        ("FERRY_UPSTREAM_URL", upstream.to_str().unwrap()),
        ("FERRY_SERVE_INDEX", &index),
    ]);
    let config = server.get("/index/config.json").text();
    let commit = crate::support::upstream::Commit::new("Point at the server");
    site.index.commit([commit.file("config.json", config)]);
    let project = Project::new(&site, "git");
    let index = [("FERRY_SERVE_INDEX", index.as_str())];
    point(&site, &server, &project, &["--index", "git"], &index);
    project.work(None);
    install(&site, &server, &project, None);
    assert!(!site.host.requests().is_empty());
}

#[test]
fn cargo_shows_its_token_where_one_is_needed() {
    let site = site();
    let token = "a-long-random-token";
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, format!("{}  ci\n", sha256(token.as_bytes()))).unwrap();
    let auth = [("FERRY_SERVE_AUTH", tokens.to_str().unwrap())];
    let server = site.serve(&auth);
    let project = Project::new(&site, "auth");
    point(&site, &server, &project, &[], &auth);
    let refused = project.cargo(&["fetch"], None);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("mirror") || said.contains("token"), "{said}");
    project.work(Some(token));
    install(&site, &server, &project, Some(token));
}

/// Publishes a program and installs it.
fn install(site: &Site, server: &Server, project: &Project, token: Option<&str>) {
    package(site, &project.folder.join("tool"));
    assert!(server.push_hook().status == 202);
    let headers: Vec<_> = token
        .iter()
        .map(|token| ("authorization", *token))
        .collect();
    server.wait_for("published", || {
        server.get_with("/index/fe/rr/ferry-tool", &headers).status == 200
    });
    project.succeed(&["install", "ferry-tool", "--root", "installed"], token);
    let ran = Command::new(project.folder.join("installed/bin/ferry-tool")).output();
    assert_eq!(String::from_utf8_lossy(&ran.unwrap().stdout), "ready\n");
}

/// Packages a program with the real cargo and publishes it.
fn package(site: &Site, source: &Path) {
    std::fs::create_dir_all(source.join("src")).unwrap();
    let manifest = "[package]\nname = \"ferry-tool\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[workspace]\n";
    std::fs::write(source.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(
        source.join("src/main.rs"),
        "fn main() { println!(\"ready\"); }\n",
    )
    .unwrap();
    let packaged = Command::new("cargo")
        .args([
            "package",
            "--allow-dirty",
            "--no-verify",
            "--offline",
            "--quiet",
        ])
        .env("CARGO_TARGET_DIR", source.join("target"))
        .current_dir(source)
        .output()
        .unwrap();
    assert!(packaged.status.success(), "{packaged:?}");
    let bytes = std::fs::read(source.join("target/package/ferry-tool-1.0.0.crate")).unwrap();
    site.host.put("ferry-tool", "1.0.0", bytes.clone());
    let line = serde_json::json!({
        "name": "ferry-tool", "vers": "1.0.0", "deps": [], "cksum": sha256(&bytes), "features": {}, "yanked": false
    });
    let commit = crate::support::upstream::Commit::new("Create crate `ferry-tool`");
    let commit = commit.file("fe/rr/ferry-tool", format!("{line}\n"));
    crate::support::upstream::commit_to(site.index.path(), [commit]);
}
