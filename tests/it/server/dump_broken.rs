//! Dumps that are broken, cut or hostile: each is told, and none changes what was known.

use super::dump::{site, value};
use crate::support::dump::{Archive, Dump, append, archive, finished, table, write};
use crate::support::server::{files_in, printed};

/// Makes a dump of the one with this change.
fn changed(change: impl for<'d> Fn(&'d mut Dump) -> &'d mut Dump) -> Vec<u8> {
    let mut dump = Dump::new();
    change(&mut dump);
    dump.bytes()
}

/// Makes an archive by hand.
fn made(make: impl Fn(&mut Archive)) -> Vec<u8> {
    let mut builder = archive();
    make(&mut builder);
    finished(builder)
}

/// Makes a table of crates whose description is this.
fn described(description: &[u8]) -> Vec<u8> {
    [b"id,name,description\n7,serde,\"", description, b"\"\n"].concat()
}

fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    // Of the checksum at the end.
    let at = bytes.len() - 6;
    bytes[at] ^= 1;
    bytes
}

#[test]
fn a_broken_dump_is_told_and_changes_nothing() {
    let whole = Dump::new().bytes();
    let crates = table("id,name", &["7,serde"]);
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("it ends too early", whole[..whole.len() / 2].to_vec()),
        ("it ends too early", whole[..whole.len() - 4].to_vec()),
        ("it ends too early", Vec::new()),
        ("its checksum is wrong", flipped(whole.clone())),
        ("it is no gzip file", b"<html>no dump</html>".to_vec()),
        (
            "it has no data/crates.csv",
            made(|archive| append(archive, "x/README.md", b"no data")),
        ),
        (
            "it has no data/crates.csv",
            changed(|dump| dump.without("crates")),
        ),
        // Paths that lead elsewhere are no tables.
        (
            "it has no data/crates.csv",
            made(|archive| {
                for path in [
                    "/etc/data/crates.csv",
                    "../data/../crates.csv",
                    "a/b/data/crates.csv",
                    "data/crates.csv/x",
                ] {
                    append(archive, path, &crates);
                }
            }),
        ),
        (
            "it has data/crates.csv twice",
            made(|archive| {
                append(archive, "x/data/crates.csv", &crates);
                append(archive, "./data/crates.csv", &crates);
            }),
        ),
        (
            "data/crates.csv has no column `name`",
            changed(|dump| dump.put("crates", "id", &["7"])),
        ),
        (
            "data/crates.csv, line 2: description: it is not UTF-8",
            changed(|dump| dump.put_file("data/crates.csv", &described(b"a\xffb"))),
        ),
        (
            "line 3: name: expected the name of a crate, found `../x`",
            changed(|dump| dump.put("crates", "id,name", &["7,serde", "8,../x"])),
        ),
        (
            "line 3: this is there twice",
            changed(|dump| dump.put("crates", "id,name", &["7,serde", "7,other"])),
        ),
        (
            "line 3: this is there twice",
            changed(|dump| dump.put("crates", "id,name", &["7,serde", "8,SERDE"])),
        ),
        (
            "line 2: downloads: expected a number from 0 on, found `-5`",
            changed(|dump| dump.put("crate_downloads", "crate_id,downloads", &["7,-5"])),
        ),
        (
            "line 2: downloads: expected a number from 0 on, found `-5`",
            changed(|dump| dump.put("version_downloads", "version_id,downloads", &["72,-5"])),
        ),
        (
            "version_id: a number beyond",
            changed(|dump| {
                dump.put(
                    "version_downloads",
                    "version_id,downloads",
                    &["4000000000,1"],
                )
            }),
        ),
        (
            "line 3: expected 2 fields, found 3",
            changed(|dump| dump.put("crates", "id,name", &["7,serde", "8,a,b"])),
        ),
        (
            "it has none of the index's crates",
            changed(|dump| dump.put("crates", "id,name", &["1,other"])),
        ),
        (
            "it has a crate with 101 keywords",
            changed(|dump| {
                let links: Vec<String> = (0..101).map(|id| format!("7,{id}")).collect();
                let links: Vec<&str> = links.iter().map(String::as_str).collect();
                dump.put("crates_keywords", "crate_id,keyword_id", &links)
            }),
        ),
        (
            "a row has more than 32 MiB",
            made(|archive| {
                // A quote that does not end; it does not compress as a bomb does.
                let text: Vec<u8> = std::iter::repeat_with(|| fastrand::alphanumeric() as u8)
                    .take(34 << 20)
                    .collect();
                append(archive, "x/data/crates.csv", &described(&text));
            }),
        ),
        (
            "it inflates to more than 100 times its size",
            made(|archive| {
                append(
                    archive,
                    "x/data/crates.csv",
                    &described(&vec![b'a'; 30 << 20]),
                );
                for number in 0..9 {
                    append(archive, &format!("x/{number}"), &vec![0; 30 << 20]);
                }
            }),
        ),
        (
            "it has more than 1000 files",
            made(|archive| {
                for number in 0..1_001 {
                    append(archive, &format!("x/{number}"), b"");
                }
            }),
        ),
    ];
    let site = site();
    let file = Dump::new().write(site.folder.path());
    drop(printed(&site.run(&["catalog", "import", &file]), 0));
    let known = printed(&site.run(&["catalog", "stat"]), 0);
    for (told, bytes) in broken {
        let file = write(site.folder.path(), &bytes);
        for arguments in [
            &["catalog", "import", &file, "--dry-run"][..],
            &["catalog", "import", &file],
        ] {
            let output = site.run(arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(told), "expected {told}: {said}");
            assert!(said.contains("Nothing was changed."), "{said}");
            assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
        }
        assert_eq!(printed(&site.run(&["catalog", "stat"]), 0), known, "{told}");
        assert!(files_in(&site.data().join("tmp")).is_empty());
    }
    let server = site.serve(&[]);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    let serde = value(&server, "/api/v1/crates/serde");
    assert_eq!(serde["crate"]["downloads"], 1000);
}

#[test]
fn a_giant_field_that_nobody_reads_and_one_that_is_cut_are_no_faults() {
    let site = site();
    let mut dump = Dump::new();
    let text: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(2 << 20)
        .collect();
    let row = format!("7,serde,{text},{text},https://serde.example/{text}");
    dump.put("crates", "id,name,readme,description,homepage", &[&row]);
    drop(printed(
        &site.run(&["catalog", "import", &dump.write(site.folder.path())]),
        0,
    ));
    let server = site.serve(&[]);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    let serde = &value(&server, "/api/v1/crates/serde")["crate"];
    assert_eq!(serde["description"], text[..1000]);
    assert!(serde["homepage"].is_null());
}
