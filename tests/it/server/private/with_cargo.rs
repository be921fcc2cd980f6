//! All that cargo does with a registry.

use std::path::Path;

use super::{Registry, get};
use crate::server::real_cargo::{self, Project};
use crate::support::repo::git;
use crate::support::server::{Server, files_in};

/// Points cargo to the mirror and to the registry.
fn point(server: &Server, project: &Project) {
    std::fs::create_dir_all(&project.home).unwrap();
    let config = format!(
        "[source.crates-io]\nreplace-with = \"mirror\"\n\n[registries.mirror]\nindex = \"sparse+{}\"\n\n\
         [registries.acme]\nindex = \"sparse+{}\"\n\n[registry]\nglobal-credential-providers = [\"cargo:token\"]\n",
        server.url("/index/"),
        server.url("/private/index/"),
    );
    std::fs::write(project.home.join("config.toml"), config).unwrap();
}

/// Writes a package.
fn package(folder: &Path, manifest: &str, sources: &[(&str, &str)]) {
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    for (path, text) in sources {
        std::fs::write(folder.join(path), text).unwrap();
    }
}

fn manifest(name: &str, version: &str, rest: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\ndescription = \"All about {name}\"\n\
         license = \"MIT\"\n{rest}\n[workspace]\n"
    )
}

/// Runs cargo in a folder with a token; returns what it said, and whether it succeeded.
fn cargo(project: &Project, token: &str, folder: &Path, arguments: &[&str]) -> (bool, String) {
    let arguments = [arguments, &["--color", "never"]].concat();
    let at = Project {
        folder: folder.to_owned(),
        home: project.home.clone(),
    };
    let output = at.cargo_with(&[("CARGO_REGISTRIES_ACME_TOKEN", token)], &arguments);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.success(), said.concat())
}

fn succeed(project: &Project, token: &str, folder: &Path, arguments: &[&str]) -> String {
    let (has_succeeded, said) = cargo(project, token, folder, arguments);
    assert!(has_succeeded, "{arguments:?}: {said}");
    said
}

fn fail(project: &Project, token: &str, folder: &Path, arguments: &[&str]) -> String {
    let (has_succeeded, said) = cargo(project, token, folder, arguments);
    assert!(!has_succeeded, "{arguments:?}: {said}");
    said
}

const PUBLISH: &[&str] = &["publish", "--registry", "acme", "--allow-dirty"];

#[test]
fn what_is_published_is_found_and_built_by_others() {
    let registry = Registry::of(real_cargo::site());
    let server = registry.serve(&[]);
    let token = registry.publisher("alice");
    let project = Project::new(&registry.site, "publisher");
    point(&server, &project);
    let base = project.folder.join("base");
    package(
        &base,
        &manifest("acme-base", "1.0.0", ""),
        &[("src/lib.rs", "pub fn one() -> u8 { 1 }\n")],
    );
    succeed(&project, &token, &base, PUBLISH);

    let core = project.folder.join("core");
    let rest = "[dependencies]\nacme-base = { version = \"1\", registry = \"acme\" }\nencode = { package = \"hex\", version = \"0.4\" }\n\
                itoa = { version = \"1\", optional = true }\n[target.'cfg(unix)'.dev-dependencies]\nitoa = \"1\"\n\
                [features]\nnumbers = [\"dep:itoa\"]\nloud = []\n";
    let library = "pub fn shown() -> String { encode::encode([acme_base::one()]) }\n";
    let program = "fn main() { println!(\"{}\", acme_core::shown()); }\n";
    let sources = [("src/lib.rs", library), ("src/main.rs", program)];
    package(
        &core,
        &manifest("acme-core", "0.1.0+build.7", rest),
        &sources,
    );
    succeed(&project, &token, &core, PUBLISH);

    let said = fail(&project, &token, &core, PUBLISH);
    assert!(
        said.contains("acme-core@0.1.0+build.7 already exists"),
        "{said}"
    );
    let line = &registry.lines("acme-core")[0];
    assert_eq!(line["vers"], "0.1.0+build.7");
    assert_eq!(line["v"], 2);
    assert_eq!(line["features2"]["numbers"][0], "dep:itoa");
    let of = |name: &str| {
        let deps = line["deps"].as_array().unwrap();
        deps.iter()
            .find(|dep| dep["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {line}"))
    };
    assert_eq!(of("acme-base")["registry"], serde_json::Value::Null);
    assert_eq!(of("encode")["package"], "hex");
    assert_eq!(
        of("encode")["registry"],
        "https://github.com/rust-lang/crates.io-index"
    );
    assert_eq!(
        registry.log(),
        [
            "alice: Create crate `acme-core`",
            "alice: Create crate `acme-base`"
        ]
    );
    assert!(git(&registry.repository, &["show", "HEAD:config.json"]).contains("auth-required"));
    registry.fsck();

    // Another machine, whose token may only read.
    let reader = registry.token("bob", &["read"]);
    let other = Project::new(&registry.site, "other");
    point(&server, &other);
    let app = other.folder.join("app");
    let rest = "[dependencies]\nacme-core = { version = \"0.1\", registry = \"acme\", features = [\"numbers\"] }\n";
    package(
        &app,
        &manifest("app", "0.1.0", rest),
        &[("src/main.rs", program)],
    );
    let said = succeed(&other, &reader, &app, &["run"]);
    assert!(
        said.contains("\n01\n") || said.starts_with("01\n"),
        "{said}"
    );
    let said = succeed(
        &other,
        &reader,
        &app,
        &["search", "acme core", "--registry", "acme"],
    );
    assert!(
        said.contains("acme-core = \"0.1.0+build.7\"") && said.contains("# All about acme-core"),
        "{said}"
    );
    let said = succeed(
        &other,
        &reader,
        &app,
        &["info", "acme-core", "--registry", "acme"],
    );
    assert!(said.contains("All about acme-core"), "{said}");
    let said = succeed(
        &other,
        &reader,
        &app,
        &["add", "acme-base", "--registry", "acme"],
    );
    assert!(said.contains("Adding acme-base v1"), "{said}");
    succeed(
        &other,
        &reader,
        &app,
        &["install", "acme-core", "--registry", "acme"],
    );
    assert!(other.home.join("bin/acme-core").is_file());
    package(&core, &manifest("acme-core", "0.2.0", ""), &sources[..1]);
    std::fs::write(core.join("src/lib.rs"), "").unwrap();
    std::fs::remove_file(core.join("src/main.rs")).unwrap();
    let said = fail(&other, &reader, &core, PUBLISH);
    assert!(
        said.contains("403") && said.contains("publish:NAME"),
        "{said}"
    );

    // Nothing of it is in the mirror, nor among its files.
    assert_eq!(server.entry("acme-base").status, 404);
    assert_eq!(
        get(&server, "wrong", "/private/index/ac/me/acme-base").status,
        401
    );
    assert_eq!(server.get("/private/index/config.json").status, 401);
    let files = files_in(&registry.site.data().join("crates"));
    let private = files
        .iter()
        .filter(|path| path.to_str().unwrap().contains("acme"));
    assert!(
        private
            .into_iter()
            .all(|path| path.starts_with(registry.site.data().join("crates/private")))
    );
}

#[test]
fn versions_are_yanked_and_owners_change() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let token = registry.publisher("alice");
    let project = Project::new(&registry.site, "publisher");
    point(&server, &project);
    let folder = project.folder.join("core");
    let library = [("src/lib.rs", "")];
    for version in ["1.0.0", "1.1.0"] {
        package(&folder, &manifest("acme-core", version, ""), &library);
        succeed(&project, &token, &folder, PUBLISH);
    }
    let of = |token: &str, arguments: &[&str]| {
        cargo(
            &project,
            token,
            &folder,
            &[arguments, &["--registry", "acme", "acme-core"]].concat(),
        )
    };
    let yanked = || {
        registry
            .lines("acme-core")
            .iter()
            .map(|line| line["yanked"].as_bool().unwrap())
            .collect::<Vec<_>>()
    };
    let done = |(has_succeeded, said): (bool, String)| {
        assert!(has_succeeded, "{said}");
        said
    };
    done(of(&token, &["yank", "--version", "1.1.0"]));
    assert_eq!(yanked(), [false, true]);
    // Once more changes nothing.
    done(of(&token, &["yank", "--version", "1.1.0"]));
    done(of(&token, &["yank", "--version", "1.1.0", "--undo"]));
    assert_eq!(yanked(), [false, false]);
    let (has_succeeded, said) = of(&token, &["yank", "--version", "9.0.0"]);
    assert!(
        !has_succeeded && said.contains("does not have a version `9.0.0`"),
        "{said}"
    );

    let bob = registry.publisher("bob");
    let (has_succeeded, said) = of(&bob, &["yank", "--version", "1.0.0"]);
    assert!(
        !has_succeeded
            && said.contains("`bob` is not an owner")
            && said.contains("its owners are alice"),
        "{said}"
    );
    assert!(done(of(&token, &["owner", "--list"])).starts_with("alice\n "));
    let said = done(of(&token, &["owner", "--add", "bob"]));
    assert!(
        said.contains("bob added to the owners of acme-core"),
        "{said}"
    );
    done(of(&bob, &["yank", "--version", "1.0.0"]));
    done(of(&bob, &["owner", "--remove", "alice"]));
    assert!(done(of(&bob, &["owner", "--list"])).starts_with("bob\n "));
    let (has_succeeded, said) = of(&bob, &["owner", "--remove", "bob"]);
    assert!(
        !has_succeeded && said.contains("add another one first"),
        "{said}"
    );
    // Who may do everything may bring a crate back.
    let admin = registry.token("root", &["admin"]);
    done(of(&admin, &["owner", "--add", "alice"]));
    assert_eq!(
        registry.log()[..7],
        [
            "root: Add owners of crate `acme-core`: alice",
            "bob: Remove owners of crate `acme-core`: alice",
            "bob: Yank crate `acme-core#1.0.0`",
            "alice: Add owners of crate `acme-core`: bob",
            "alice: Unyank crate `acme-core#1.1.0`",
            "alice: Yank crate `acme-core#1.1.0`",
            "alice: Update crate `acme-core`",
        ]
    );
    registry.fsck();
}

#[test]
fn a_workspace_is_published_at_once() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let token = registry.publisher("alice");
    let project = Project::new(&registry.site, "publisher");
    point(&server, &project);
    let folder = project.folder.join("all");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("Cargo.toml"),
        "[workspace]\nresolver = \"2\"\nmembers = [\"one\", \"two\", \"three\"]\n",
    )
    .unwrap();
    for (name, needs) in [("one", None), ("two", Some("one")), ("three", Some("two"))] {
        let needs = needs.map(|other| {
            format!("[dependencies]\nacme-{other} = {{ version = \"1\", path = \"../{other}\", registry = \"acme\" }}\n")
        });
        let text = manifest(&format!("acme-{name}"), "1.0.0", &needs.unwrap_or_default());
        package(
            &folder.join(name),
            text.trim_end_matches("[workspace]\n"),
            &[("src/lib.rs", "")],
        );
    }
    succeed(
        &project,
        &token,
        &folder,
        &[
            "publish",
            "--workspace",
            "--registry",
            "acme",
            "--allow-dirty",
        ],
    );
    for name in ["one", "two", "three"] {
        assert_eq!(registry.lines(&format!("acme-{name}")).len(), 1);
    }
}
