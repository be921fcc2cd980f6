//! crates.io's web API, as far as it reads: what `cargo search` and other tools ask.

use serde_json::{Value, json};

use crate::support::server::{Got, Server, Site, sha256};
use crate::support::upstream::{Commit, index_path};

/// An index of a few crates that need each other.
fn site() -> Site {
    let mut site = Site::new();
    write(&mut site, "serde", &["1.0.0", "1.1.0", "2.0.0-rc.1"], &[]);
    write(&mut site, "serde_json", &["1.0.0"], &["serde"]);
    write(&mut site, "Toml-Edit", &["0.1.0"], &["serde", "serde_json"]);
    site
}

/// Writes the file of a crate.
fn write(site: &mut Site, name: &str, versions: &[&str], needs: &[&str]) {
    let dependency = |name: &&str| json!({ "name": name, "req": "^1", "features": ["std"], "optional": false, "default_features": true, "target": null, "kind": "normal" });
    let deps: Vec<_> = needs.iter().map(dependency).collect();
    let lines = versions.iter().zip(1..).map(|(version, day)| {
        let line = json!({
            "name": name, "vers": version, "deps": deps, "cksum": sha256(version.as_bytes()), "features": { "std": [] },
            "yanked": false, "rust_version": "1.70", "pubtime": format!("2026-01-{day:02}T00:00:00Z")
        });
        format!("{line}\n")
    });
    let path = index_path(&name.to_ascii_lowercase());
    let commit = Commit::new(format!("Update crate `{name}`"));
    site.index
        .commit([commit.file(&path, lines.collect::<String>())]);
}

/// Starts a server, and waits until it has its catalog.
fn serve(site: &Site) -> Server {
    let server = site.serve(&[]);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    server
}

fn value(got: &Got) -> Value {
    assert_eq!(got.status, 200, "{}", got.text());
    serde_json::from_slice(&got.body).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    let crates = value["crates"].as_array().unwrap().iter();
    crates
        .map(|found| found["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_search_finds_names_first() {
    let site = site();
    let server = serve(&site);
    let found = value(&server.get("/api/v1/crates?q=SERDE"));
    assert_eq!(names(&found), ["serde", "serde_json"]);
    assert_eq!(found["meta"], json!({ "total": 2 }));
    let serde = &found["crates"][0];
    let expected = json!({
        "id": "serde", "name": "serde", "max_version": "2.0.0-rc.1", "max_stable_version": "1.1.0",
        "newest_version": "2.0.0-rc.1", "default_version": "1.1.0", "num_versions": 3, "yanked": false,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-03T00:00:00Z", "exact_match": true, "downloads": 0
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(serde[key], *value, "{key}");
    }
    let near = value(&server.get("/api/v1/crates?q=sedre_json"));
    assert_eq!(
        near["meta"],
        json!({ "total": 0, "did_you_mean": ["serde_json"] })
    );
}

#[test]
fn a_list_is_cut_into_pages_that_name_the_next() {
    let site = site();
    let server = serve(&site);
    let mut seen = Vec::new();
    let mut next = Some("?per_page=2&sort=alpha".to_owned());
    while let Some(query) = next {
        let page = value(&server.get(&format!("/api/v1/crates{query}")));
        assert_eq!(page["meta"]["total"], 3);
        seen.extend(names(&page).iter().map(|name| (*name).to_owned()));
        next = page["meta"]["next_page"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, ["serde", "serde_json", "Toml-Edit"]);
    let last = value(&server.get("/api/v1/crates?per_page=2&page=2&q=s&sort=new"));
    assert_eq!(last["meta"]["prev_page"], "?q=s&sort=new&per_page=2&page=1");
    for (query, told) in [
        ("page=0", "page is a number from 1 on"),
        ("per_page=x", "per_page is a number from 1 on"),
        ("per_page=0", "per_page is a number from 1 on"),
        ("per_page=101", "cannot request more than 100 items"),
        ("sort=size", "sort is one of relevance"),
        ("letter=se", "letter is one letter"),
        (
            "include_yanked=maybe",
            "include_yanked is one of yes and no",
        ),
        ("q=a&q=b", "q is given twice"),
    ] {
        let refused = server.get(&format!("/api/v1/crates?{query}"));
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.detail().starts_with(told), "{}", refused.detail());
    }
    for (path, told) in [
        ("keywords?sort=new", "sort is one of alpha and crates"),
        ("categories?per_page=101", "cannot request more than 100"),
        (
            "crates/serde/reverse_dependencies?page=x",
            "page is a number",
        ),
        (
            "crates/serde/versions?sort=size",
            "sort is one of semver and date",
        ),
        (
            "crates/serde/versions?per_page=101",
            "cannot request more than 100",
        ),
        ("crates/serde/versions?seek=x", "seek is not served"),
    ] {
        let refused = server.get(&format!("/api/v1/{path}"));
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.detail().starts_with(told), "{}", refused.detail());
    }
    // What a list has no use for is ignored, as on crates.io.
    for path in [
        "crates?per_page=100&x=y",
        "crates/serde/reverse_dependencies?sort=x&keyword=y",
    ] {
        assert_eq!(server.get(&format!("/api/v1/{path}")).status, 200);
    }
}

#[test]
fn versions_are_listed_by_number_or_by_date() {
    let mut site = site();
    write(&mut site, "late", &["2.0.0", "1.0.1"], &[]);
    let server = serve(&site);
    for (query, expected) in [
        ("", "2.0.0 1.0.1"),
        ("?sort=semver", "2.0.0 1.0.1"),
        ("?sort=date&per_page=1", "1.0.1 2.0.0"),
        ("?nums[]=1.0.1&nums[]=9.9.9", "1.0.1"),
    ] {
        let listed = value(&server.get(&format!("/api/v1/crates/late/versions{query}")));
        let versions = listed["versions"].as_array().unwrap().iter();
        let numbers: Vec<_> = versions
            .map(|version| version["num"].as_str().unwrap())
            .collect();
        assert_eq!(numbers.join(" "), expected, "{query}");
        assert_eq!(listed["meta"]["total"], numbers.len());
    }
}

#[test]
fn a_crate_is_told_with_its_versions_and_what_needs_it() {
    let mut site = site();
    write(&mut site, "built", &["1.0.0+b"], &[]);
    let server = serve(&site);
    let told = value(&server.get("/api/v1/crates/SERDE"));
    assert_eq!(told["crate"]["name"], "serde");
    let versions = told["versions"].as_array().unwrap();
    let numbers: Vec<_> = versions.iter().map(|version| &version["num"]).collect();
    assert_eq!(numbers, ["2.0.0-rc.1", "1.1.0", "1.0.0"]);
    let ids: Vec<_> = versions
        .iter()
        .map(|version| version["id"].clone())
        .collect();
    assert_eq!(told["crate"]["versions"], Value::Array(ids));
    assert_eq!(versions[1]["checksum"], sha256(b"1.1.0"));
    assert_eq!(
        versions[1]["dl_path"],
        "/api/v1/crates/serde/1.1.0/download"
    );
    assert_eq!(versions[1]["rust_version"], "1.70");

    let alone = value(&server.get("/api/v1/crates/serde/1.1.0"));
    assert_eq!(alone["version"], versions[1]);
    let built = value(&server.get("/api/v1/crates/built/1.0.0%2Bb"));
    assert_eq!(built["version"]["num"], "1.0.0+b");
    let listed = value(&server.get("/api/v1/crates/serde/versions"));
    assert_eq!(listed["versions"], told["versions"]);

    let needed = value(&server.get("/api/v1/crates/toml-edit/0.1.0/dependencies"));
    let needed = needed["dependencies"].as_array().unwrap();
    assert_eq!(needed.len(), 2);
    assert_eq!(needed[1]["crate_id"], "serde_json");
    assert_eq!(needed[1]["features"], json!(["std"]));

    let dependents = value(&server.get("/api/v1/crates/serde/reverse_dependencies?per_page=1"));
    assert_eq!(dependents["meta"]["total"], 2);
    assert_eq!(dependents["versions"][0]["crate"], "serde_json");
    assert_eq!(
        dependents["dependencies"][0]["version_id"],
        dependents["versions"][0]["id"]
    );
    assert_eq!(dependents["dependencies"][0]["req"], "^1");

    for (path, told) in [
        ("absent", "crate `absent` does not exist"),
        (
            "serde/9.9.9",
            "crate `serde` does not have a version `9.9.9`",
        ),
        ("a%20b", "a crate's name has ASCII letters"),
        ("serde/1.0.0/x/y", "there is nothing at this path"),
        ("serde/owners", "`cargo owner --registry crates-io`"),
    ] {
        let missing = server.get(&format!("/api/v1/crates/{path}"));
        assert_eq!(missing.status, 404, "{path}");
        assert!(missing.detail().contains(told), "{}", missing.detail());
    }
}

#[test]
fn a_new_commit_of_the_index_is_found() {
    let mut site = site();
    let server = serve(&site);
    write(&mut site, "rand", &["0.1.0"], &["serde"]);
    write(&mut site, "serde_json", &["1.0.0", "1.0.1"], &[]);
    server.push_hook();
    let rand = || server.get("/api/v1/crates/rand");
    server.wait_for("the new crate", || rand().status == 200);
    let json = value(&server.get("/api/v1/crates?q=serde-json"));
    assert_eq!(json["crates"][0]["max_version"], "1.0.1");
    let dependents = value(&server.get("/api/v1/crates/serde/reverse_dependencies"));
    let crates: Vec<_> = dependents["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["crate"])
        .collect();
    // Equals are in the order of their names.
    assert_eq!(crates, ["rand", "Toml-Edit"]);

    // What was made is not made again, and what is removed is.
    let file = site.data().join("crates.sqlite");
    drop(server);
    let server = serve(&site);
    assert!(
        !server.log().contains("the catalog has"),
        "{}",
        server.log()
    );
    drop(server);
    std::fs::write(&file, "no database").unwrap();
    let server = serve(&site);
    assert_eq!(
        names(&value(&server.get("/api/v1/crates?q=rand"))),
        ["rand"]
    );
}

#[test]
fn a_path_with_an_empty_part_is_no_version_without_a_name() {
    let site = site();
    let server = serve(&site);
    for path in [
        "serde/",
        "",
        "/serde",
        "serde/1.0.0/",
        "serde//readme",
        "serde/owners/",
    ] {
        let got = server.get(&format!("/api/v1/crates/{path}"));
        assert_eq!(got.status, 404, "{path}");
        let detail = got.detail();
        assert!(
            detail.starts_with("there is nothing at this path"),
            "{path}: {detail}"
        );
        assert!(
            detail.contains("remove the doubled slash"),
            "{path}: {detail}"
        );
    }
    assert_eq!(server.get("/api/v1/crates/serde").status, 200);
}

#[test]
fn a_catalog_that_is_off_is_told() {
    let site = site();
    let server = site.serve(&[("FERRY_SERVE_CATALOG", "off")]);
    for path in ["/api/v1/crates?q=serde", "/api/v1/crates/serde"] {
        let refused = server.get(path);
        assert_eq!(refused.status, 404);
        assert!(refused.detail().contains("serve.catalog is off"));
    }
    assert!(!site.data().join("crates.sqlite").exists());
}

#[test]
fn a_server_whose_catalog_cannot_be_opened_serves_the_index() {
    let site = site();
    // A folder in the place of the file.
    std::fs::create_dir_all(site.data().join("crates.sqlite/x")).unwrap();
    let server = site.serve(&[]);
    assert_eq!(server.entry("serde").status, 200);
    let refused = server.get("/api/v1/crates?q=serde");
    assert_eq!(refused.status, 503);
    assert!(refused.detail().contains("the log says why"));
    assert!(server.log().contains("there will be no search"));
}
