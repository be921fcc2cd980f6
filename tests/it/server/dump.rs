//! The database dump of crates.io: what the server knows of crates once it was imported.

use serde_json::{Value, json};

use super::real_cargo::Project;
use crate::support::crate_archive::crate_archive;
use crate::support::dump::Dump;
use crate::support::server::{Server, Site, files_in, printed, sha256};
use crate::support::upstream::{Commit, index_path};

/// An index of three crates; a server has made the catalog of it.
pub(super) fn site() -> Site {
    let mut site = Site::new();
    publish(&mut site, "serde", &["1.0.0", "1.1.0"], &[]);
    publish(
        &mut site,
        "serde_json",
        &["1.0.0"],
        &[("serde", "build"), ("serde", "normal")],
    );
    publish(&mut site, "Toml-Edit", &["0.1.0"], &[("serde", "dev")]);
    drop(serve(&site, &[]));
    site
}

/// Writes the file of a crate whose versions need these crates.
pub(super) fn publish(site: &mut Site, name: &str, versions: &[&str], needs: &[(&str, &str)]) {
    let dependency = |(name, kind): &(&str, &str)| json!({ "name": name, "req": "^1", "features": [], "optional": false, "default_features": true, "target": null, "kind": kind });
    let deps: Vec<_> = needs.iter().map(dependency).collect();
    let lines = versions.iter().map(|version| {
        let line = json!({ "name": name, "vers": version, "deps": deps, "cksum": sha256(version.as_bytes()), "features": {}, "yanked": false });
        format!("{line}\n")
    });
    let path = index_path(&name.to_ascii_lowercase());
    let commit = Commit::new(format!("Update crate `{name}`"));
    site.index
        .commit([commit.file(&path, lines.collect::<String>())]);
}

/// Starts a server, and waits until it has its catalog.
pub(super) fn serve(site: &Site, pairs: &[(&str, &str)]) -> Server {
    let server = site.serve(pairs);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    server
}

pub(super) fn value(server: &Server, path: &str) -> Value {
    let got = server.get(path);
    assert_eq!(got.status, 200, "{path}: {}", got.text());
    serde_json::from_slice(&got.body).unwrap()
}

pub(super) fn names(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

pub(super) fn expect(found: &Value, expected: Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(found[key], *value, "{key} of {found}");
    }
}

#[test]
fn an_import_says_what_crates_are_and_who_owns_them() {
    for is_reversed in [false, true] {
        let site = site();
        let mut dump = Dump::new();
        // Columns and files that are new, and in another order.
        dump.is_reversed = is_reversed;
        dump.put(
            "crate_downloads",
            "new,downloads,crate_id",
            &["x,500,3", "x,1000,7", "x,2000,9"],
        );
        dump.put("new_table", "a", &["1"]);
        let file = dump.write(site.folder.path());
        let shown = printed(&site.run(&["catalog", "import", &file]), 0);
        assert!(shown.starts_with("3 crates imported from "), "{shown}");
        assert!(shown.contains("made 2026-11-30T02:00:15Z"), "{shown}");
        let described = "of them 2 with a description from it, 2 with owners; 3 versions";
        assert!(shown.contains(described), "{shown}");
        assert!(
            shown.contains("left out: 1 crate that the index does not have"),
            "{shown}"
        );
        let server = serve(&site, &[]);
        let told = value(&server, "/api/v1/crates/serde");
        expect(
            &told["crate"],
            json!({
                "description": "A generic \"serialization\" framework, of a kind", "homepage": "https://serde.example/",
                "repository": "https://git.example/serde", "downloads": 1000, "recent_downloads": 13,
                "keywords": ["encoding", "serialization"], "categories": ["encoding"],
                "created_at": "2014-12-05T20:20:39Z"
            }),
        );
        expect(
            &told["keywords"][1],
            json!({ "id": "serialization", "keyword": "serialization", "created_at": "2015-02-03T04:05:06Z", "crates_cnt": 1 }),
        );
        expect(
            &told["categories"][0],
            json!({ "id": "encoding", "category": "Encoding", "slug": "encoding", "description": "Encoding, and decoding.", "crates_cnt": 1 }),
        );
        expect(
            &told["versions"][1],
            json!({ "num": "1.0.0", "downloads": 400, "crate_size": 80000, "license": "MIT OR Apache-2.0", "created_at": "2020-01-01T00:00:00Z" }),
        );
        expect(
            &value(&server, "/api/v1/crates/serde/1.1.0")["version"],
            json!({ "downloads": 600, "license": "MIT" }),
        );
        // No address of the web.
        assert!(value(&server, "/api/v1/crates/serde_json")["crate"]["repository"].is_null());
        let captain = json!({ "id": 1, "login": "captain", "kind": "user", "url": "https://github.com/captain", "name": "The Captain", "avatar": "https://avatars.example/u/1?v=4" });
        let crew = json!({ "id": 5, "login": "github:ferry-rs:crew", "kind": "team", "url": "https://github.com/ferry-rs", "name": "Crew", "avatar": "https://avatars.example/t/5" });
        assert_eq!(
            value(&server, "/api/v1/crates/serde/owners"),
            json!({ "users": [captain, crew] })
        );
        assert_eq!(
            value(&server, "/api/v1/crates/serde/owner_user"),
            json!({ "users": [captain] })
        );
        assert_eq!(
            value(&server, "/api/v1/crates/serde/owner_team"),
            json!({ "teams": [crew] })
        );
        assert_eq!(
            value(&server, "/api/v1/crates/toml-edit/owners"),
            json!({ "users": [] })
        );
        let page = |name| server.get(&format!("/crates/{name}")).text();
        assert!(page("serde").contains("<dt>Owners</dt><dd>captain, github:ferry-rs:crew</dd>"));
        assert!(!page("toml-edit").contains("Owners"));
        assert!(files_in(&site.data().join("tmp")).is_empty());
    }
}

#[test]
fn a_crate_file_of_the_default_version_says_it_better() {
    let mut site = Site::new();
    let manifest =
        "[package]\nname = \"serde\"\ndescription = \"From the file.\"\nkeywords = [\"file\"]\n";
    for version in ["1.0.0", "1.1.0"] {
        let file = crate_archive("serde", version, &[("Cargo.toml", manifest)]);
        site.publish("serde", version, &file);
    }
    let file = Dump::new().write(site.folder.path());
    let server = serve(&site, &[]);
    let about = |server: &Server| value(server, "/api/v1/crates/serde")["crate"].clone();
    let is_said = |text: &'static str| {
        move |about: Value| {
            about["description"]
                .as_str()
                .is_some_and(|said| said.starts_with(text))
        }
    };
    assert!(server.download("serde", "1.0.0").is_whole);
    server.wait_for("the file", || is_said("From the file.")(about(&server)));
    // Another version's file is older than what the registry says. The server takes in what another process imports.
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    server.wait_for("the dump", || is_said("A generic")(about(&server)));
    server.wait_for("the names", || {
        server.log().contains("changed by another process")
    });
    assert_eq!(
        about(&server)["keywords"],
        json!(["encoding", "serialization"])
    );
    assert!(server.download("serde", "1.1.0").is_whole);
    server.wait_for("the default version's file", || {
        is_said("From the file.")(about(&server))
    });
    assert_eq!(about(&server)["keywords"], json!(["file"]));
    assert_eq!(about(&server)["downloads"], 1000);
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    assert!(is_said("From the file.")(about(&server)));
    let list = value(&server, "/api/v1/crates?keyword=encoding");
    assert_eq!(list["meta"]["total"], 0);
    assert_eq!(
        value(&server, "/api/v1/crates?q=serialization")["meta"]["total"],
        0
    );
}

#[test]
fn what_a_dump_no_longer_says_is_forgotten() {
    let site = site();
    let mut dump = Dump::new();
    drop(printed(
        &site.run(&["catalog", "import", &dump.write(site.folder.path())]),
        0,
    ));
    dump.put("crates", "id,name", &["3,serde_json"]);
    for table in [
        "crate_downloads",
        "versions",
        "default_versions",
        "keywords",
        "categories",
        "crates_keywords",
        "crates_categories",
        "crate_owners",
        "users",
        "teams",
        "version_downloads",
    ] {
        dump.without(table);
    }
    // A table in a form that is not known.
    dump.put("keywords", "id", &["1"]);
    let shown = printed(
        &site.run(&["catalog", "import", &dump.write(site.folder.path())]),
        0,
    );
    assert!(
        shown.contains("left out: data/keywords.csv has no column `keyword`"),
        "{shown}"
    );
    let server = serve(&site, &[]);
    let serde = &value(&server, "/api/v1/crates/serde");
    expect(
        &serde["crate"],
        json!({ "description": null, "keywords": [], "downloads": 0 }),
    );
    expect(
        &serde["versions"][0],
        json!({ "downloads": 0, "license": null }),
    );
    assert_eq!(value(&server, "/api/v1/keywords")["meta"]["total"], 0);
    assert_eq!(
        value(&server, "/api/v1/crates/serde/owners"),
        json!({ "users": [] })
    );
    assert_eq!(
        value(&server, "/api/v1/crates?q=framework")["meta"]["total"],
        0
    );
}

#[test]
fn cargo_shows_what_was_imported() {
    let site = site();
    let file = Dump::new().write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    let server = serve(&site, &[]);
    let project = Project::new(&site, "searching");
    let url = server.url("");
    let config = format!("[registries.mirror]\nindex = \"sparse+{url}/index/\"\n");
    std::fs::create_dir_all(&project.home).unwrap();
    std::fs::write(project.home.join("config.toml"), config).unwrap();
    let found = project.succeed(&["search", "serde", "--registry", "mirror"], None);
    let expected = "# A generic \"serialization\" framework, of a kind";
    assert!(
        found.starts_with("serde = \"1.1.0\"") && found.contains(expected),
        "{found}"
    );
    assert!(found.contains("# JSON for the ferry"), "{found}");
}

#[test]
fn a_dump_without_totals_is_added_up() {
    let site = site();
    let mut dump = Dump::new();
    dump.without("crate_downloads").without("version_downloads");
    let file = dump.write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    let server = serve(&site, &[]);
    for (name, downloads) in [("serde", 1000), ("serde_json", 500), ("toml-edit", 0)] {
        let about = &value(&server, &format!("/api/v1/crates/{name}"))["crate"];
        expect(
            about,
            json!({ "downloads": downloads, "recent_downloads": null }),
        );
    }
}
