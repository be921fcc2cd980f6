//! The commands: `private verify` and `private import`.

use super::{Registry, Version, get};
use crate::support::crate_archive::crate_archive;
use crate::support::repo::git;
use crate::support::server::{printed, sha256};
use crate::support::upstream::{Commit, commit_to};

fn json(output: &std::process::Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

impl Registry {
    fn run(&self, arguments: &[&str]) -> std::process::Output {
        let index = self.repository.display().to_string();
        let arguments = [&["--format", "json"], arguments].concat();
        self.site
            .run_with(&[("FERRY_PRIVATE_INDEX", &index)], &arguments)
    }
}

#[test]
fn verify_finds_lines_without_a_file_and_files_without_a_line() {
    let registry = Registry::new();
    // Nothing at all is right, too.
    assert_eq!(json(&registry.run(&["private", "verify"]))["right"], 0);
    let token = registry.publisher("alice");
    let server = registry.serve(&[]);
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        let version = Version {
            name: "acme-core",
            version,
            content: "",
        };
        assert_eq!(version.publish(&server, &token).status, 200);
    }
    let clean = registry.run(&["private", "verify"]);
    assert_eq!(
        (clean.status.code(), json(&clean)["right"].as_u64()),
        (Some(0), Some(3))
    );
    let files = registry.files();
    std::fs::remove_file(&files[0]).unwrap();
    std::fs::write(&files[1], "damaged").unwrap();
    std::fs::write(files[2].with_file_name("left.crate"), "left").unwrap();
    let found = registry.run(&["private", "verify"]);
    assert_eq!(found.status.code(), Some(1));
    let found = json(&found);
    assert_eq!(found["right"], 1);
    assert_eq!(found["missing"][0], "acme-core 1.0.0");
    assert_eq!(found["damaged"][0], "acme-core 1.1.0");
    assert!(
        found["unlisted"][0]
            .as_str()
            .unwrap()
            .ends_with("acme-core-1.2.0/left.crate")
    );
    let text = git(&registry.repository, &["show", "HEAD:ac/me/acme-core"]);
    let other = "{\"name\":\"../x\",\"vers\":\"1.3.0\",\"deps\":[],\"cksum\":\"00\",\"features\":{},\"yanked\":false}";
    let commit = Commit::new("Edit").file("ac/me/acme-core", format!("{text}\nno line\n{other}\n"));
    commit_to(&registry.repository, [commit]);
    let found = json(&registry.run(&["private", "verify"]));
    assert_eq!(
        found["unreadable"],
        serde_json::json!(["ac/me/acme-core line 4", "ac/me/acme-core line 5"])
    );
    // Neither is served as if nothing were.
    for version in ["1.0.0", "1.1.0"] {
        let got = get(
            &server,
            &token,
            &format!("/private/api/v1/crates/acme-core/{version}/download"),
        );
        assert!(
            got.status == 502 && got.detail().contains("ask whoever runs it"),
            "{}",
            got.text()
        );
    }
}

#[test]
fn import_takes_what_another_registry_had_once() {
    let registry = Registry::new();
    let folder = registry.site.folder.path().join("other");
    let file = |name: &str, version: &str, rest: &str| {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n{rest}");
        let bytes = crate_archive(name, version, &[("Cargo.toml", &manifest)]);
        let place = folder.join(name).join(format!("{name}-{version}.crate"));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, &bytes).unwrap();
        sha256(&bytes)
    };
    let needs = "[dependencies.acme-base]\nversion = \"1\"\nregistry-index = \"sparse+https://old.example/index/\"\n\
                 [dependencies.hex]\nversion = \"0.4\"\n[dependencies.far]\nversion = \"1\"\nregistry-index = \"https://far.example/index\"\n";
    // Before what it needs, by the order of their names.
    file("acme-app", "1.0.0", needs);
    let old = file("acme-base", "1.9.0", "");
    file("acme-base", "1.10.0", "");
    std::fs::write(folder.join("acme-base-2.0.0.crate"), "no archive").unwrap();
    let line = format!(
        "{{\"name\":\"acme-base\",\"vers\":\"1.9.0\",\"deps\":[],\"cksum\":\"{old}\",\"features\":{{}},\"yanked\":true,\"pubtime\":\"2020-01-02T03:04:05Z\"}}\n"
    );
    std::fs::create_dir_all(folder.join("index/ac/me")).unwrap();
    std::fs::write(folder.join("index/ac/me/acme-base"), line).unwrap();
    let folder = folder.display().to_string();
    let import = |more: &[&str]| {
        let output =
            registry.run(&[&["private", "import", &folder, "--owner", "alice"], more].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        json(&output)
    };
    let dry = import(&["--dry-run"]);
    assert_eq!(dry["imported"].as_array().unwrap().len(), 3, "{dry}");
    assert!(registry.files().is_empty());
    let token = registry.publisher("alice");
    let server = registry.serve(&[]);
    let real = import(&[]);
    assert_eq!(real["imported"], dry["imported"]);
    assert!(
        real["refused"][0]["path"]
            .as_str()
            .unwrap()
            .ends_with("acme-base-2.0.0.crate")
    );
    let lines = registry.lines("acme-base");
    let of = |key: &str| {
        lines
            .iter()
            .map(|line| line[key].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("vers"), ["\"1.9.0\"", "\"1.10.0\""]);
    assert_eq!(of("yanked"), ["true", "false"]);
    assert_eq!(lines[0]["pubtime"], "2020-01-02T03:04:05Z");
    let app = &registry.lines("acme-app")[0]["deps"];
    let registries: Vec<_> = app
        .as_array()
        .unwrap()
        .iter()
        .map(|dep| dep["registry"].as_str())
        .collect();
    assert_eq!(
        registries,
        [
            None,
            Some("https://far.example/index"),
            Some("https://github.com/rust-lang/crates.io-index")
        ]
    );
    // Once more, and a server beside it: the owner goes on.
    let again = import(&[]);
    assert_eq!(
        (
            again["present"].as_u64(),
            again["imported"].as_array().unwrap().len()
        ),
        (Some(3), 0)
    );
    assert_eq!(registry.files().len(), 3);
    let next = Version {
        name: "acme-base",
        version: "1.11.0",
        content: "",
    };
    assert_eq!(next.publish(&server, &token).status, 200);
    registry.fsck();
    let text = printed(
        &registry.site.run_with(
            &[(
                "FERRY_PRIVATE_INDEX",
                &registry.repository.display().to_string(),
            )],
            &["private", "verify"],
        ),
        0,
    );
    assert_eq!(text, "4 versions with the right file");
}

#[test]
fn an_import_leaves_a_dependency_on_what_it_refuses_and_a_dry_run_says_the_same() {
    let registry = Registry::new();
    let folder = registry.site.folder.path().join("other");
    let file = |place: &str, name: &str, version: &str, rest: &str| {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n{rest}");
        let bytes = crate_archive(name, version, &[("Cargo.toml", &manifest)]);
        let place = folder.join(place);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("{name}-{version}.crate")), &bytes).unwrap();
    };
    let needs =
        "[dependencies.acme-a]\nversion = \"1\"\nregistry-index = \"https://old.example/index\"\n";
    // It comes first by its name, which the others only look like.
    file("one", "Acme_A", "3.0.0", "");
    file("one", "acme-a", "1.0.0", "");
    file("one", "acme-b", "1.0.0", needs);
    file("one", "acme-c", "1.0.0", "");
    file("other", "acme-c", "1.0.0+build.5", "");
    let folder = folder.display().to_string();
    let import = |more: &[&str]| {
        let arguments = [&["private", "import", &folder, "--owner", "alice"], more].concat();
        let mut said = json(&registry.run(&arguments));
        said["dry_run"] = serde_json::Value::Null;
        said
    };
    let dry = import(&["--dry-run"]);
    let real = import(&[]);
    assert_eq!(dry, real);
    assert_eq!(
        real["imported"],
        serde_json::json!(["Acme_A 3.0.0", "acme-b 1.0.0", "acme-c 1.0.0"])
    );
    assert_eq!(real["refused"].as_array().unwrap().len(), 2, "{real}");
    let dependency = &registry.lines("acme-b")[0]["deps"][0];
    assert_eq!(dependency["registry"], "https://old.example/index");
}
