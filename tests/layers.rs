//! A program of its own: it reads the sources and links no part of the library, so it takes no time after an edit.
//!
//! Holds the layers of the library: imports point down only, and each foreign crate has one module that knows it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rooms, the lowest layer first: each uses those of the layers before its own.
const LAYERS: &[&[&str]] = &[
    // Handed on from the crates below.
    &[
        "count",
        "error",
        "git",
        "guarded",
        "progress",
        "retry_after",
        "shown",
    ],
    &["bounded_cache"],
    &["index"],
    &["config"],
    &["policy"],
    &["http", "mirror"],
    &["notify"],
    &["check", "server", "trigger"],
    &["up"],
    &["program"],
];

/// The rooms that are crates of their own, whose imports the compiler keeps below.
const CRATES: &[&str] = &["git", "ground"];

/// Foreign crates and the rooms that adapt each.
const ADAPTED: &[(&str, &[&str])] = &[
    ("ammonia", &["server"]),
    ("csv", &["server"]),
    ("git2", &["git"]),
    ("gix_actor", &["git"]),
    ("gix_hash", &["git", "server"]),
    ("gix_object", &["git", "server"]),
    ("gix_odb", &["git", "server"]),
    ("gix_pack", &["git", "server"]),
    ("gix_validate", &["git"]),
    ("html5ever", &["server"]),
    ("hyper", &["http"]),
    ("lettre", &["config", "notify"]),
    ("object_store", &["server"]),
    ("pulldown_cmark", &["server"]),
    ("quick_xml", &["server"]),
    ("ra_ap_rustc_lexer", &["server"]),
    // Others ask with the clients of `git::transport`.
    ("reqwest", &["git", "server", "trigger"]),
    ("rusqlite", &["server"]),
    ("rustsec", &["server"]),
    ("russh", &["git"]),
    ("similar", &["server"]),
    ("serde_yaml", &["config"]),
    ("tar", &["server"]),
    ("tokio_io_timeout", &["git", "http"]),
    ("toml", &["server"]),
    ("toml_edit", &["server"]),
    ("toml_parser", &["server"]),
];

/// A source file of the library.
struct Source {
    path: PathBuf,
    module: String,
    /// Its lines of code, without comments and tests.
    code: Vec<String>,
}

impl Source {
    fn read(path: PathBuf, root: &Path) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text
            .split("\n#[cfg(test)]\nmod tests {")
            .next()
            .unwrap()
            .lines();
        let code = code.filter(|line| !line.trim_start().starts_with("//"));
        let inside = path.strip_prefix(root).unwrap().with_extension("");
        let first = inside.components().next().unwrap();
        Self {
            module: first.as_os_str().to_str().unwrap().to_owned(),
            code: code.map(str::to_owned).collect(),
            path,
        }
    }

    /// Returns the modules of this library that the code names.
    fn imports(&self) -> BTreeSet<String> {
        let text = self.code.join("\n");
        let mut named = BTreeSet::new();
        for (_, rest) in text
            .match_indices("crate::")
            .map(|(at, found)| (at, &text[at + found.len()..]))
        {
            match rest.strip_prefix('{') {
                Some(list) => named.extend(heads(list)),
                None => named.extend(head(rest)),
            }
        }
        named
    }
}

/// Returns the identifier that a path begins with.
fn head(path: &str) -> Option<String> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let name: String = path
        .trim_start()
        .chars()
        .take_while(|letter| is_part(*letter))
        .collect();
    (!name.is_empty()).then_some(name)
}

/// Returns the identifiers that the paths of a braced list begin with.
fn heads(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut found = Vec::new();
    let mut begins = true;
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if begins && !letter.is_whitespace() => {
                found.extend(head(&list[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    found
}

/// Returns the files of the library, the programs and files of tests left out.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap();
            if name == "tests" || name == "bin" || path == root.join("lib.rs") {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else {
                found.push(Source::read(path, &root));
            }
        }
    }
    found
}

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("`{module}` has no layer yet: give it one in this test"))
}

#[test]
fn imports_point_down_only() {
    let sources = sources();
    assert!(sources.len() > 40, "the sources were not found");
    for source in sources {
        if CRATES.contains(&source.module.as_str()) {
            continue;
        }
        for import in source.imports() {
            let (from, to) = (layer(&source.module), layer(&import));
            assert!(
                import == source.module || to < from,
                "{}: `{}` must not use `{import}`",
                source.path.display(),
                source.module
            );
        }
    }
}

#[test]
fn a_foreign_crate_is_known_to_its_modules_only() {
    for source in sources() {
        for (foreign, modules) in ADAPTED {
            let named = format!("{foreign}::");
            assert!(
                modules.contains(&source.module.as_str())
                    || !source.code.iter().any(|line| line.contains(&named)),
                "{}: only {modules:?} know {foreign}",
                source.path.display()
            );
        }
    }
}

#[test]
fn only_the_configuration_reads_the_environment() {
    // What a child process inherits is passed on unread.
    let passes_on = Path::new("git/transport/local/environment.rs");
    let sources = sources().into_iter();
    for source in sources.filter(|source| !source.path.ends_with(passes_on)) {
        let reads = source.code.iter().any(|line| line.contains("env::var"));
        assert!(
            source.module == "config" || !reads,
            "{}: the environment is read by `config` alone",
            source.path.display()
        );
    }
}

#[test]
fn braced_imports_are_read_one_by_one() {
    let list = "\n    ObjectId, plan::{Keep, Outcome},\n    wire::pack};\nuse other::thing;";
    assert_eq!(heads(list), ["ObjectId", "plan", "wire"]);
}
