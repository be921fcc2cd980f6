//! Failover with the real cargo: two real servers, of which one stands in for crates.io, are killed and come back.

use std::path::PathBuf;
use std::process::Output;

use crate::server::real_cargo::{self, Project};
use crate::support::server::{Server, Site, command, printed};

/// A project whose cargo takes a server of ours for crates.io, and may take another one in its place.
pub(super) struct Failover {
    pub(super) site: Site,
    crates_io: String,
    mirror: String,
    project: Project,
}

/// Starts a server with a data directory of its own, on this address or a free one.
fn serve(site: &Site, data: &str, listen: &str) -> Server {
    let data = site.folder.path().join(data).display().to_string();
    site.serve(&[
        ("FERRY_SERVE_DATA_DIR", data.as_str()),
        ("FERRY_SERVE_LISTEN", listen),
    ])
}

impl Failover {
    /// Starts both servers, and writes what makes cargo take the first for crates.io.
    pub(super) fn new() -> (Self, Server, Server) {
        let site = real_cargo::site();
        let free = "127.0.0.1:0";
        let (crates_io, mirror) = (serve(&site, "up", free), serve(&site, "mirror", free));
        let mut project = Project::new(&site, "project");
        project.home = site.folder.path().join("home");
        let new = Self {
            crates_io: crates_io.url(""),
            mirror: mirror.url(""),
            site,
            project,
        };
        let stand_in = format!(
            "[source.crates-io]\nreplace-with = \"stand-in\"\n\n[registries.stand-in]\nindex = \"sparse+{}/index/\"\n",
            new.crates_io
        );
        std::fs::create_dir_all(&new.project.home).unwrap();
        std::fs::write(new.project.home.join("stand-in.toml"), stand_in).unwrap();
        // What a configuration says itself, cargo prefers to what it includes.
        std::fs::write(
            new.project.home.join("config.toml"),
            "include = [\"stand-in.toml\"]\n",
        )
        .unwrap();
        (new, crates_io, mirror)
    }

    /// Starts a server again where it was.
    fn revive(&self, data: &str, url: &str) -> Server {
        serve(&self.site, data, url.trim_start_matches("http://"))
    }

    /// Runs a command on the project's configuration, with further arguments.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let home = self.project.home.display().to_string();
        let index = format!("sparse+{}/index/", self.crates_io);
        let variables = self.site.variables_and(&[
            ("CARGO_HOME", &home),
            ("FERRY_NETWORK_RETRIES", "0"),
            ("FERRY_PROBE_CRATE", "hex"),
            ("FERRY_PROBE_INDEX", &index),
            ("FERRY_SERVE_PUBLIC_URL", &self.mirror),
        ]);
        let mut command = command(&variables);
        command.current_dir(&self.project.folder);
        command.args(arguments).output().unwrap()
    }

    /// Runs a command that succeeds, and returns what it says.
    pub(super) fn say(&self, arguments: &[&str]) -> String {
        printed(&self.run(arguments), 0)
    }

    /// Lets cargo fetch everything again; returns whether it could.
    fn fetch(&self) -> bool {
        for folder in ["registry", ".package-cache"] {
            let _ = std::fs::remove_dir_all(self.project.home.join(folder));
        }
        let _ = std::fs::remove_file(self.project.folder.join("Cargo.lock"));
        let fetched = self.project.cargo(&["fetch"], None).status.success();
        let lock = std::fs::read_to_string(self.project.folder.join("Cargo.lock"));
        let wanted = "registry+https://github.com/rust-lang/crates.io-index";
        fetched && lock.unwrap().contains(wanted)
    }

    fn switch(&self) -> PathBuf {
        self.project.folder.join(".cargo/mirror-fallback.toml")
    }
}

#[test]
fn cargo_builds_while_crates_io_is_down_and_takes_it_again_when_it_is_back() {
    let (site, crates_io, mirror) = Failover::new();
    let set_up = site.say(&["cargo-config", "--fallback", "--write", "."]);
    assert!(
        set_up.contains("`crates-ferry probe --project .`"),
        "{set_up}"
    );
    assert!(
        site.say(&["cargo-config", "--fallback", "--write", "."])
            .contains("is up to date")
    );
    let config = std::fs::read_to_string(site.project.folder.join(".cargo/config.toml"));
    let include = "include = [{ path = \"mirror-fallback.toml\", optional = true }]\n";
    assert_eq!(config.unwrap(), include);
    assert_eq!(site.say(&["probe"]), "crates.io answers; nothing to do");
    assert!(site.fetch());
    assert_eq!(mirror.metric("crates_ferry_crate_misses_total"), 0.0);

    crates_io.kill();
    assert!(!site.fetch());
    for time in ["1st", "2nd"] {
        let said = site.say(&["probe"]);
        let wanted = format!("crates.io is down for the {time} time in a row, of 3");
        assert!(said.starts_with(&wanted), "{said}");
        assert!(!site.switch().exists());
    }
    let dry = site.say(&["probe", "--dry-run"]);
    assert!(dry.contains("cargo would take the mirror"), "{dry}");
    assert!(!site.switch().exists());
    let said = site.say(&["probe"]);
    let wanted = format!(
        "crates.io is down for the 3rd time in a row: cargo now takes the mirror {}",
        site.mirror
    );
    assert!(said.starts_with(&wanted), "{said}");
    assert!(site.fetch());
    site.project.succeed(&["build", "--locked"], None);
    let said = site.say(&["probe"]);
    assert!(said.starts_with("crates.io is still down"), "{said}");

    let crates_io = site.revive("up", &site.crates_io);
    for _ in 0..2 {
        let said = site.say(&["probe"]);
        assert!(said.contains("cargo still takes the mirror"), "{said}");
    }
    assert_eq!(
        site.say(&["probe"]),
        "crates.io is back: cargo now takes it"
    );
    assert!(!site.switch().exists());
    mirror.kill();
    assert!(site.fetch());

    // With both down nothing is switched, and the exit code says so.
    crates_io.kill();
    site.say(&["probe"]);
    site.say(&["probe"]);
    let both = site.run(&["probe"]);
    let told = String::from_utf8_lossy(&both.stderr).into_owned();
    assert_eq!(both.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot replace it"), "{told}");
    assert!(!site.switch().exists());
    let _mirror = site.revive("mirror", &site.mirror);
    let said = site.say(&["probe"]);
    assert!(
        said.contains("for the 4th time in a row: cargo now takes"),
        "{said}"
    );
    assert!(site.fetch());
}

#[test]
fn a_mirror_that_goes_down_gives_way_to_a_crates_io_that_answers_at_once() {
    let (site, crates_io, mirror) = Failover::new();
    site.say(&["cargo-config", "--fallback", "--write", "."]);
    crates_io.kill();
    let said = site.say(&["probe", "--now"]);
    assert!(
        said.starts_with("crates.io is down: cargo now takes"),
        "{said}"
    );
    let _crates_io = site.revive("up", &site.crates_io);
    mirror.kill();
    let said = site.say(&["probe"]);
    assert!(
        said.starts_with("crates.io is back, and the mirror"),
        "{said}"
    );
    assert!(site.fetch());
}

#[test]
fn a_mirror_that_goes_down_too_is_told_and_one_that_moved_is_followed() {
    let (mut site, crates_io, mirror) = Failover::new();
    site.say(&["cargo-config", "--fallback", "--write", "."]);
    crates_io.kill();
    site.say(&["probe", "--now"]);
    mirror.kill();
    let output = site.run(&["probe", "--now"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("crates.io is still down"), "{told}");
    assert!(told.contains("so is the mirror"), "{told}");
    assert_eq!(output.status.code(), Some(1), "{told}");
    let moved = serve(&site.site, "mirror", "127.0.0.1:0");
    site.mirror = moved.url("");
    let said = site.say(&["probe"]);
    assert!(
        said.starts_with("crates.io is still down; cargo takes"),
        "{said}"
    );
    assert!(said.contains(&site.mirror), "{said}");
    assert!(site.fetch());
}

#[test]
fn cargos_own_configuration_is_switched_too_and_by_two_at_once() {
    let (site, crates_io, _mirror) = Failover::new();
    let home = site.project.home.join("config.toml");
    let switch = site.project.home.join("mirror-fallback.toml");
    let dry = site.say(&["cargo-config", "--fallback", "--write-home", "--dry-run"]);
    let before = std::fs::read_to_string(&home).unwrap();
    assert_eq!(before, "include = [\"stand-in.toml\"]\n");
    site.say(&["cargo-config", "--fallback", "--write-home"]);
    let after = std::fs::read_to_string(&home).unwrap();
    assert!(
        after.starts_with("include = [\"stand-in.toml\", {"),
        "{after}"
    );
    assert!(dry.contains(after.trim_end()), "{dry}");
    crates_io.kill();
    assert!(!site.fetch());
    let ends = std::thread::scope(|scope| {
        let probe = || site.run(&["--format", "json", "probe", "--home", "--now"]);
        let both = [scope.spawn(probe), scope.spawn(probe)];
        both.map(|probe| printed(&probe.join().unwrap(), 0))
    });
    let outcomes = ends.map(|end| {
        let json: serde_json::Value = serde_json::from_str(&end).unwrap();
        assert_eq!(json["takes"], "mirror");
        json["outcome"].as_str().unwrap().to_owned()
    });
    let mut sorted = outcomes.clone();
    sorted.sort();
    assert_eq!(sorted, ["nothing", "switched"]);
    assert!(switch.exists());
    assert!(site.fetch());
    let _crates_io = site.revive("up", &site.crates_io);
    let said = site.say(&["probe", "--home", "--now"]);
    assert!(said.starts_with("crates.io is back"), "{said}");
    assert!(!switch.exists());
}

#[test]
fn crates_io_replaces_a_mirror_that_is_down_where_that_was_asked_for() {
    let (site, _crates_io, mirror) = Failover::new();
    let set_up = ["cargo-config", "--fallback", "crates-io", "--write", "."];
    let probe = ["probe", "--fallback", "crates-io", "--now"];
    site.say(&set_up);
    assert!(site.switch().exists());
    let said = site.say(&probe);
    assert!(said.ends_with("answers; nothing to do"), "{said}");
    assert!(site.fetch());
    mirror.kill();
    assert!(!site.fetch());
    let said = site.say(&probe);
    assert!(
        said.contains("is down: cargo now takes crates.io"),
        "{said}"
    );
    assert!(!site.switch().exists());
    assert!(site.fetch());
    let _mirror = site.revive("mirror", &site.mirror);
    let said = site.say(&probe);
    assert!(said.contains("is back: cargo now takes it"), "{said}");
    assert!(site.switch().exists());
}

#[test]
fn the_address_of_a_server_is_known_to_those_who_share_its_data() {
    let site = Site::new();
    let server = site.serve(&[]);
    let data = site.data().display().to_string();
    let variables = [("FERRY_SERVE_DATA_DIR".to_owned(), data)];
    let shown = command(&variables).arg("cargo-config").output().unwrap();
    let wanted = format!("index = \"sparse+{}/index/\"", server.url(""));
    let shown = printed(&shown, 0);
    assert!(shown.contains(&wanted), "{shown}");
}
