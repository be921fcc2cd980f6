//! `catalog import`, `catalog rebuild` and `catalog stat`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::dump::{expect, publish, serve, site, value};
use crate::support::dump::Dump;
use crate::support::mount::ReadOnly;
use crate::support::server::{Site, files_in, printed};
use crate::support::skip::skip;

#[test]
fn a_dry_run_changes_nothing_and_a_second_import_is_the_same() {
    let site = site();
    let file = Dump::new().write(site.folder.path());
    let json = |arguments: &[&str]| -> Value {
        let output = site.run(&[&["--format", "json", "catalog"], arguments].concat());
        serde_json::from_str(&printed(&output, 0)).unwrap()
    };
    // Not the size: what is in the log of a server that stopped is moved.
    let known = || {
        let mut stat = json(&["stat"]);
        stat.as_object_mut().unwrap().remove("bytes");
        stat
    };
    let before = known();
    assert_eq!(before["import"], Value::Null);
    let planned = json(&["import", &file, "--dry-run"]);
    assert_eq!(known(), before);
    let done = json(&["import", &file]);
    assert_eq!(
        (&planned["dry_run"], &done["dry_run"]),
        (&json!(true), &json!(false))
    );
    for key in ["crates", "unknown", "described", "versions", "owned"] {
        assert_eq!(planned[key], done[key], "{key}");
    }
    let after = json(&["stat"]);
    expect(
        &after,
        json!({ "crates": 3, "versions": 4, "described": 2, "downloads": 3, "owned": 2 }),
    );
    assert_eq!(after["import"]["made"], "2026-11-30T02:00:15Z");
    assert_eq!(after["commit"].as_str().unwrap().len(), 40);
    drop(json(&["import", &file]));
    for key in ["crates", "versions", "described", "downloads", "owned"] {
        assert_eq!(json(&["stat"])[key], after[key], "{key}");
    }
}

#[test]
fn a_dry_run_needs_no_disk_that_can_be_written() {
    let site = site();
    let file = Dump::new().write(site.folder.path());
    let Some(_disk) = ReadOnly::make(&site.data()) else {
        skip("no folder can be mounted by this user");
        return;
    };
    let planned = printed(&site.run(&["catalog", "import", &file, "--dry-run"]), 0);
    assert!(
        planned.starts_with("3 crates would be imported"),
        "{planned}"
    );
    assert!(printed(&site.run(&["catalog", "stat"]), 0).contains("crates: 3"));
    let refused = site.run(&["catalog", "import", &file]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn a_rebuild_makes_the_catalog_again_and_not_beside_a_server() {
    let mut site = site();
    let file = Dump::new().write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    publish(&mut site, "rand", &["0.1.0"], &[]);
    let planned = printed(&site.run(&["catalog", "rebuild", "--dry-run"]), 0);
    assert!(
        planned.contains("would be made again") && planned.contains("3 crates, 3 before"),
        "{planned}"
    );
    assert!(planned.contains("import it again"), "{planned}");
    let server = serve(&site, &[]);
    server.wait_for("what was published", || {
        server.get("/api/v1/crates/rand").status == 200
    });
    let refused = site.run(&["catalog", "rebuild"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("Stop the server first"),
        "{refused:?}"
    );
    drop(server);
    std::fs::write(site.data().join("crates.sqlite.new"), "left behind").unwrap();
    // What fails leaves the old one.
    let absent = [("FERRY_CATALOG_IMPORT", "absent.tar.gz")];
    let failed = site.run_with(&absent, &["catalog", "rebuild"]);
    assert_eq!(failed.status.code(), Some(2), "{failed:?}");
    assert!(!site.data().join("crates.sqlite.new").exists());
    let import = [("FERRY_CATALOG_IMPORT", file.as_str())];
    let shown = printed(&site.run_with(&import, &["catalog", "rebuild"]), 0);
    assert!(
        shown.contains("4 crates, 4 before") && shown.contains("3 crates imported"),
        "{shown}"
    );
    let left = files_in(&site.data());
    let left: Vec<&PathBuf> = left
        .iter()
        .filter(|path| path.to_string_lossy().contains("crates.sqlite"))
        .collect();
    assert_eq!(left, [&site.data().join("crates.sqlite")]);
    let server = serve(&site, &[]);
    assert_eq!(
        value(&server, "/api/v1/crates/serde")["crate"]["downloads"],
        1000
    );
}

#[test]
fn commands_on_a_catalog_that_is_not_there_say_so() {
    let site = Site::new();
    for (arguments, told) in [
        (&["catalog", "stat"][..], "does not exist"),
        (&["catalog", "import"], "no dump was named"),
        (
            &["catalog", "import", "ftp://dump.example/x"],
            "begins with https:// or http://",
        ),
    ] {
        let output = site.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(told),
            "{output:?}"
        );
    }
    std::fs::create_dir_all(site.data()).unwrap();
    let output = site.run(&["catalog", "stat"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("there is no catalog"),
        "{output:?}"
    );
    let off = [
        ("FERRY_CATALOG_IMPORT", "x"),
        ("FERRY_SERVE_CATALOG", "off"),
    ];
    let output = site.run_with(&off, &["catalog", "stat"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("works only with serve.catalog: on"),
        "{output:?}"
    );
}
