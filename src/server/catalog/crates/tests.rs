#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::error::{Error, Kind};
use crate::git::ObjectId;
use crate::index::CrateName;

/// An index in memory: for each crate its versions, and what the last one needs.
#[derive(Default, Clone)]
struct Index(BTreeMap<String, String>);

impl Index {
    fn with(crates: &[(&str, &[&str])]) -> Self {
        let mut index = Self::default();
        for (name, needs) in crates {
            index.publish(name, "1.0.0", needs);
        }
        index
    }

    fn publish(&mut self, name: &str, version: &str, needs: &[&str]) {
        let dependency = |name: &&str| format!(r#"{{"name":"{name}","req":"^1","kind":"normal"}}"#);
        let deps: Vec<_> = needs.iter().map(dependency).collect();
        let line = format!(
            "{{\"name\":\"{name}\",\"vers\":\"{version}\",\"cksum\":\"00\",\"deps\":[{}],\"features\":{{}},\"yanked\":false}}\n",
            deps.join(",")
        );
        let file = self.0.entry(name.to_ascii_lowercase()).or_default();
        file.push_str(&line);
    }

    fn update(&self, catalog: &CrateCatalog) -> Updated {
        let blobs: HashMap<ObjectId, &str> = self
            .0
            .values()
            .map(|file| (id(file), file.as_str()))
            .collect();
        let files = self.0.iter();
        let files = files.map(|(name, file)| (CrateName::new(name).unwrap(), id(file)));
        let read = |blob| Ok(blobs[&blob].as_bytes().to_vec());
        let changes = Changes::between(&catalog.names.load(), files.collect());
        catalog.apply(&changes, &read).unwrap()
    }
}

/// Returns the id that git gives a file.
fn id(content: &str) -> ObjectId {
    crate::git::wire::pack::ObjectKind::Blob.id_of(content.as_bytes())
}

fn catalog() -> (TempDir, CrateCatalog) {
    let folder = TempDir::new().unwrap();
    let catalog = CrateCatalog::open(&folder.path().join("crates.sqlite")).unwrap();
    (folder, catalog)
}

fn find(catalog: &CrateCatalog, text: &str) -> Vec<String> {
    let query = Query {
        text: text.to_owned(),
        limit: 100,
        ..Query::default()
    };
    let found = catalog.search(&query).unwrap();
    assert_eq!(found.total, found.crates.len());
    names(&catalog.crates(&found.crates).unwrap())
}

fn names(rows: &[CrateRow]) -> Vec<String> {
    rows.iter().map(|row| row.name.clone()).collect()
}

/// Says everything that the catalog knows, in the order of the names; ids and what they decide are left out.
fn everything(catalog: &CrateCatalog) -> Vec<(String, String, u64, Vec<String>)> {
    let query = Query {
        sort: Sort::Alphabetical,
        limit: usize::MAX,
        ..Query::default()
    };
    let rows = catalog
        .crates(&catalog.search(&query).unwrap().crates)
        .unwrap();
    let all = rows.into_iter().map(|row| {
        let (dependents, _) = catalog.dependents(row.id, 0, 100).unwrap();
        let mut dependents = names(&dependents);
        dependents.sort_unstable();
        (row.name, row.default_version, row.dependents, dependents)
    });
    all.collect()
}

fn small() -> Index {
    Index::with(&[
        ("serde", &[]),
        ("serde_json", &["serde"]),
        ("Serde-Yaml", &["serde"]),
        ("my-serde", &[]),
        ("toml", &["serde", "serde_json"]),
        ("rand", &[]),
    ])
}

#[test]
fn the_name_comes_first_then_its_beginnings_then_its_words() {
    let (_folder, catalog) = catalog();
    assert_eq!(find(&catalog, "serde"), [""; 0]);
    let updated = small().update(&catalog);
    assert_eq!(
        updated,
        Updated {
            changed: 6,
            gone: 0
        }
    );
    let serde = ["serde", "serde_json", "Serde-Yaml", "my-serde"];
    assert_eq!(find(&catalog, "serde"), serde);
    assert_eq!(
        find(&catalog, "SERDE-"),
        [serde[1], serde[2], serde[0], serde[3]]
    );
    assert_eq!(find(&catalog, "serde-json"), ["serde_json"]);
    assert_eq!(find(&catalog, "json serde"), ["serde_json"]);
    assert_eq!(find(&catalog, "yam"), ["Serde-Yaml"]);
    assert_eq!(
        catalog.find("SERDE_yaml").unwrap().unwrap().name,
        "Serde-Yaml"
    );
    assert_eq!(catalog.find("absent").unwrap(), None);
}

#[test]
fn the_beginning_of_a_word_is_enough_in_descriptions_unless_it_is_a_long_word_of_a_name() {
    let (_folder, catalog) = catalog();
    let none: &[&str] = &[];
    let index = ["first", "second", "mast", "master"];
    Index::with(&index.map(|name| (name, none))).update(&catalog);
    let version = CrateVersion::new("1.0.0").unwrap();
    for (name, description) in [
        ("first", "Paired masterpieces"),
        ("second", "Splits masters"),
    ] {
        let name = CrateName::new(name).unwrap();
        assert!(
            catalog
                .learn(&name, &version, &describing(description))
                .unwrap()
        );
    }
    assert_eq!(find(&catalog, "spli"), ["second"]);
    assert_eq!(find(&catalog, "masterp pair"), ["first"]);
    assert_eq!(
        find(&catalog, "mast"),
        ["mast", "master", "first", "second"]
    );
    assert_eq!(find(&catalog, "master"), ["master", "second"]);
}

#[test]
fn a_typing_error_is_forgiven_where_nothing_matches() {
    let (_folder, catalog) = catalog();
    small().update(&catalog);
    let query = |text: &str| Query {
        text: text.to_owned(),
        limit: 10,
        ..Query::default()
    };
    let found = catalog.search(&query("serde_jsno")).unwrap();
    assert_eq!((found.total, found.exact), (0, None));
    assert_eq!(names(&catalog.crates(&found.near).unwrap()), ["serde_json"]);
    let found = catalog.search(&query("Rand")).unwrap();
    assert!(found.exact.is_some() && found.near.is_empty());
}

#[test]
fn a_text_without_letters_is_near_no_name_of_one() {
    let (_folder, catalog) = catalog();
    Index::with(&[("a", &[])]).update(&catalog);
    let near = |text: &str| {
        let query = Query {
            text: text.to_owned(),
            limit: 10,
            ..Query::default()
        };
        catalog.search(&query).unwrap().near.len()
    };
    assert_eq!(["b", "-", "*", "%"].map(near), [1, 0, 0, 0]);
}

#[test]
fn the_dependents_are_counted_and_decide_the_order() {
    let (_folder, catalog) = catalog();
    let mut index = small();
    index.update(&catalog);
    let serde = catalog.find("serde").unwrap().unwrap();
    assert_eq!((serde.id, serde.dependents), (1, 3));
    let (rows, total) = catalog.dependents(serde.id, 0, 1).unwrap();
    assert_eq!((names(&rows), total), (vec!["serde_json".to_owned()], 3));

    // The new version of one needs another crate, which is new itself.
    index.publish("toml", "1.1.0", &["winnow"]);
    index.publish("winnow", "0.1.0", &[]);
    assert_eq!(
        index.update(&catalog),
        Updated {
            changed: 2,
            gone: 0
        }
    );
    assert_eq!(catalog.find("serde").unwrap().unwrap().dependents, 2);
    assert_eq!(catalog.find("winnow").unwrap().unwrap().dependents, 1);
    assert_eq!(index.update(&catalog), Updated::default());
}

#[test]
fn what_is_gone_from_the_index_is_found_no_more() {
    let (_folder, catalog) = catalog();
    let mut index = small();
    index.update(&catalog);
    index.0.remove("serde_json");
    // A file that lists no version any more.
    index.0.insert("rand".to_owned(), "\n".to_owned());
    let updated = index.update(&catalog);
    assert_eq!((updated.gone, catalog.len()), (1, 4));
    assert_eq!(find(&catalog, "json"), [""; 0]);
    assert_eq!(catalog.find("rand").unwrap(), None);
    assert_eq!(catalog.find("serde").unwrap().unwrap().dependents, 2);
}

#[test]
fn a_catalog_that_is_opened_again_knows_what_it_knew() {
    let (folder, catalog) = catalog();
    small().update(&catalog);
    let before = everything(&catalog);
    drop(catalog);
    let path = folder.path().join("crates.sqlite");
    let catalog = CrateCatalog::open(&path).unwrap();
    assert_eq!(everything(&catalog), before);
    assert_eq!(small().update(&catalog), Updated::default());
    drop(catalog);

    // One that is no database is made again.
    std::fs::write(&path, "no database ".repeat(1000)).unwrap();
    let catalog = CrateCatalog::open(&path).unwrap();
    assert!(catalog.is_empty());
    small().update(&catalog);
    assert_eq!(everything(&catalog), before);
}

#[test]
fn a_catalog_that_has_no_crate_does_not_seem_unmade_while_it_gets_one() {
    let (_folder, catalog) = catalog();
    assert!(!catalog.is_made());
    Index::default().update(&catalog);
    assert!(catalog.is_made());
    let one = (CrateName::new("serde").unwrap(), id("unreadable"));
    let changes = Changes::between(&catalog.names.load(), vec![one]);
    let read = |_| {
        assert!(catalog.is_made());
        Err(Error::new(Kind::Server, "it cannot be read"))
    };
    let _updating = lock(&catalog.seen);
    assert!(catalog.apply(&changes, &read).is_err());
    assert!(catalog.is_made());
}

#[test]
fn a_file_that_is_damaged_behind_its_first_page_is_made_again() {
    let (folder, catalog) = catalog();
    Index::with(&[("serde", &[])]).update(&catalog);
    catalog.into_database().close().unwrap();
    let path = folder.path().join("crates.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.iter_mut().skip(4096).for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&path, bytes).unwrap();
    let catalog = CrateCatalog::open(&path).unwrap();
    assert!(catalog.is_empty());
    Index::with(&[("serde", &[])]).update(&catalog);
    assert_eq!(find(&catalog, "serde"), ["serde"]);
}

#[test]
fn an_index_that_cannot_be_read_changes_nothing() {
    let (_folder, catalog) = catalog();
    small().update(&catalog);
    let before = everything(&catalog);
    let damaged = |_| Err(Error::new(Kind::Server, "damaged"));
    let changes = Changes {
        changed: vec![(CrateName::new("new").unwrap(), ObjectId::ZERO)],
        gone: Vec::new(),
    };
    let error = catalog.apply(&changes, &damaged).unwrap_err();
    assert_eq!(error.to_string(), "damaged");
    assert_eq!(everything(&catalog), before);
    assert_eq!(catalog.filling(), None);
}

fn describing(text: &str) -> Manifest {
    Manifest {
        description: Some(text.to_owned()),
        keywords: vec!["ferry".to_owned(), "no-std".to_owned()],
        homepage: Some("https://a.example/".to_owned()),
        ..Manifest::default()
    }
}

#[test]
fn the_manifest_of_the_default_version_says_what_a_crate_is_and_else_the_highest() {
    let (folder, catalog) = catalog();
    let mut index = small();
    index.publish("serde", "1.1.0", &[]);
    index.publish("serde", "2.0.0-rc.1", &[]);
    index.update(&catalog);
    let name = CrateName::new("Serde").unwrap();
    let version = |text: &str| CrateVersion::new(text).unwrap();
    let told = |catalog: &CrateCatalog| {
        let row = catalog.find("serde").unwrap().unwrap();
        (
            row.description.unwrap_or_default(),
            row.described.unwrap_or_default(),
        )
    };
    for (number, is_taken) in [
        ("0.9.0", true),
        ("1.0.0", true),
        ("0.9.0", false),
        ("2.0.0-rc.1", true),
        ("1.0.0", false),
        ("1.1.0", true),
        ("2.0.0-rc.1", false),
        ("1.1.0", true),
    ] {
        let manifest = describing(&format!("Frames of {number}"));
        let before = told(&catalog);
        // What was read already is not read again, but may be written again.
        let is_wanted = is_taken && before.1 != number;
        assert_eq!(
            catalog.wants(&name, &version(number)).unwrap(),
            is_wanted,
            "{number}"
        );
        assert_eq!(
            catalog.learn(&name, &version(number), &manifest).unwrap(),
            is_taken,
            "{number}"
        );
        let after = (manifest.description.unwrap(), number.to_owned());
        assert_eq!(told(&catalog), if is_taken { after } else { before });
    }
    assert_eq!(find(&catalog, "frame"), ["serde"]);
    assert_eq!(find(&catalog, "no-std ferry"), ["serde"]);
    let row = catalog.find("serde").unwrap().unwrap();
    assert_eq!(row.keywords, ["ferry", "no-std"]);
    assert_eq!(row.homepage.as_deref(), Some("https://a.example/"));

    // A new version does not take away what the one before said.
    index.publish("serde", "1.2.0", &[]);
    index.update(&catalog);
    drop(catalog);
    let catalog = CrateCatalog::open(&folder.path().join("crates.sqlite")).unwrap();
    assert_eq!(told(&catalog).1, "1.1.0");
    assert_eq!(find(&catalog, "frame"), ["serde"]);
    assert!(catalog.wants(&name, &version("1.2.0")).unwrap());
    assert!(
        catalog
            .learn(&name, &version("1.2.0"), &describing("Other"))
            .unwrap()
    );
    assert_eq!(find(&catalog, "frame"), [""; 0]);
}

#[test]
fn a_manifest_of_a_crate_that_is_not_in_the_index_changes_nothing() {
    let (_folder, catalog) = catalog();
    let version = CrateVersion::new("1.0.0").unwrap();
    for index in [Index::default(), small()] {
        index.update(&catalog);
        let before = everything(&catalog);
        // That search takes `-` for `_` does not make them one crate.
        for name in ["absent", "serde-json"] {
            let name = CrateName::new(name).unwrap();
            assert!(!catalog.wants(&name, &version).unwrap());
            assert!(
                !catalog
                    .learn(&name, &version, &describing("Absent"))
                    .unwrap()
            );
        }
        assert_eq!(everything(&catalog), before);
        assert_eq!(find(&catalog, "absent"), [""; 0]);
    }
}

#[test]
fn the_default_versions_that_are_to_be_read_are_listed() {
    let (_folder, catalog) = catalog();
    small().update(&catalog);
    let list = || {
        let mut found = catalog
            .undescribed(|name, _| name.starts_with("serde"))
            .unwrap();
        found.sort_unstable();
        found
            .into_iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(list(), ["serde 1.0.0", "serde_json 1.0.0"]);
    let name = CrateName::new("serde").unwrap();
    let learn = |version: &str| {
        let version = CrateVersion::new(version).unwrap();
        assert!(
            catalog
                .learn(&name, &version, &Manifest::default())
                .unwrap()
        );
    };
    learn("0.1.0");
    assert_eq!(list().len(), 2);
    learn("1.0.0");
    assert_eq!(list(), ["serde_json 1.0.0"]);
}

#[test]
fn the_results_are_cut_into_pages() {
    let (_folder, catalog) = catalog();
    let crates: Vec<_> = (0..25).map(|n| format!("page-{n:02}")).collect();
    let crates: Vec<_> = crates.iter().map(|name| (name.as_str(), &[][..])).collect();
    Index::with(&crates).update(&catalog);
    let mut seen = Vec::new();
    for offset in [0, 10, 20, 30, usize::MAX] {
        let query = Query {
            text: "page".to_owned(),
            offset,
            limit: 10,
            ..Query::default()
        };
        let found = catalog.search(&query).unwrap();
        assert_eq!(found.total, 25);
        seen.extend(names(&catalog.crates(&found.crates).unwrap()));
    }
    let all: Vec<_> = crates.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, all);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_text_makes_a_search_fail(texts in prop::collection::vec(".{0,80}", 16)) {
        let (_folder, catalog) = catalog();
        small().update(&catalog);
        for text in texts.iter().map(String::as_str).chain(["\"", "a\"b", "NOT", "name:x", "*", "^a", "(", "NEAR(a b)", "\0", "-"]) {
            find(&catalog, text);
        }
    }

    #[test]
    fn updates_lead_to_what_a_build_makes(
        steps in prop::collection::vec((0..6usize, prop::option::weighted(0.8, (0..9u8, prop::collection::vec(0..6usize, 0..3)))), 1..12)
    ) {
        const NAMES: [&str; 6] = ["a", "b-c", "b_c", "D", "e1", "f"];
        let (_folder, catalog) = catalog();
        let mut index = small();
        for (name, step) in steps {
            match step {
                None => drop(index.0.remove(&NAMES[name].to_ascii_lowercase())),
                Some((version, needs)) => {
                    let needs: Vec<_> = needs.into_iter().map(|n| NAMES[n]).collect();
                    index.publish(NAMES[name], &format!("1.0.{version}"), &needs);
                }
            }
            index.update(&catalog);
        }
        let (_other, built) = super::tests::catalog();
        index.update(&built);
        // One that needed a crate before it was there does not count until it changes: crates come after what they need.
        let known = |rows: Vec<(String, String, u64, Vec<String>)>| rows.into_iter().map(|row| (row.0, row.1)).collect::<Vec<_>>();
        prop_assert_eq!(known(everything(&catalog)), known(everything(&built)));
    }
}

#[test]
fn a_word_that_sqlite_cuts_further_finds_nothing_and_fails_nothing() {
    let (_folder, catalog) = catalog();
    small().update(&catalog);
    // A circled letter is one for Rust, and a mark between words for SQLite.
    for text in [
        "serde\u{24d0}json",
        "\u{24d0}\u{24d0}",
        "a\u{0939}\u{093f}b",
    ] {
        assert_eq!(find(&catalog, text), [""; 0], "{text}");
    }
    assert_eq!(find(&catalog, "json serde"), ["serde_json"]);
}

#[test]
fn descriptions_are_asked_only_where_they_may_come_on_the_page() {
    let (_folder, catalog) = catalog();
    let names: Vec<_> = (0..2_000).map(|number| format!("many-{number}")).collect();
    // That all need it makes it the heaviest.
    let mut index = Index::with(&[("other", &[])]);
    for name in &names {
        index.publish(name, "1.0.0", &["other"]);
    }
    index.update(&catalog);
    let name = CrateName::new("other").unwrap();
    let version = CrateVersion::new("1.0.0").unwrap();
    let learned = catalog.learn(&name, &version, &describing("Says many things"));
    assert!(learned.unwrap());
    let search = |sort: Sort, offset: usize| {
        let query = Query {
            text: "many".to_owned(),
            sort,
            offset,
            limit: 10,
        };
        catalog.search(&query).unwrap()
    };
    assert_eq!(search(Sort::Relevance, 0).total, 2_000);
    let last = search(Sort::Relevance, 1_995);
    assert_eq!((last.total, last.crates.len()), (2_001, 6));
    let heaviest = search(Sort::Downloads, 0);
    assert_eq!(heaviest.total, 2_001);
    assert_eq!(catalog.crates(&heaviest.crates).unwrap()[0].name, "other");
}

#[test]
fn a_dump_that_lost_much_is_not_imported() {
    let (folder, catalog) = catalog();
    let names: Vec<_> = (0..600).map(|number| format!("crate-{number}")).collect();
    let crates: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    Index::with(&crates).update(&catalog);
    let import = |count: usize| {
        let rows = names.iter().take(count).enumerate();
        let rows: String = rows
            .map(|(id, name)| format!("{id},{name},It is {name}\n"))
            .collect();
        let downloads: String = (0..count).map(|id| format!("{id},{id}\n")).collect();
        let dump = crate::server::dump::tests::dump(&[
            ("crates", format!("id,name,description\n{rows}")),
            (
                "crate_downloads",
                format!("crate_id,downloads\n{downloads}"),
            ),
        ]);
        let staged =
            crate::server::dump::stage(dump.as_slice(), Some(folder.path()), |_| {}).unwrap();
        catalog.database.import(&staged, &Import::default(), false)
    };
    assert_eq!(import(600).unwrap().crates, 600);
    let error = import(479).unwrap_err();
    assert_eq!(error.kind(), Kind::Guard);
    assert!(
        error
            .to_string()
            .contains("it has 479 of the index's crates"),
        "{error}"
    );
    let described = |name: &str| catalog.find(name).unwrap().unwrap().description;
    assert_eq!(described("crate-599").as_deref(), Some("It is crate-599"));
    assert_eq!(import(480).unwrap().crates, 480);
    assert_eq!(described("crate-599"), None);
}
