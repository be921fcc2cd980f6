//! Real crates: the crate files and index lines that cargo fetched to build this very project.

use std::path::{Path, PathBuf};

use super::server::Site;
use super::upstream::{Commit, index_path};

/// Returns the folders of cargo's own registry: of its crate files and of its index.
fn registry() -> (PathBuf, PathBuf) {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cargo"));
    let registry = home.join("registry");
    (registry.join("cache"), registry.join("index"))
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect()
}

/// Returns the lines of a crate's file, as cargo keeps them: each after its version, with zero bytes between.
fn lines(index: &Path, name: &str) -> Option<String> {
    let place = subfolders(index).into_iter();
    let mut places = place.map(|folder| folder.join(".cache").join(index_path(name)));
    let kept = places.find_map(|path| std::fs::read(path).ok())?;
    let parts = kept
        .split(|byte| *byte == 0)
        .filter(|part| part.starts_with(b"{"));
    let lines = parts.map(|line| format!("{}\n", String::from_utf8(line.to_vec()).unwrap()));
    Some(lines.collect())
}

/// A crate file that cargo fetched here.
pub struct Fetched {
    /// The crate.
    pub name: String,
    /// The version.
    pub version: String,
    /// Where the file is.
    pub path: PathBuf,
}

/// Returns the crate files that cargo has fetched here.
pub fn fetched() -> Vec<Fetched> {
    let (cache, _) = registry();
    let mut found = Vec::new();
    for file in subfolders(&cache)
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
    {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(stem) = name.strip_suffix(".crate") {
            let (name, version) = split(stem);
            found.push(Fetched {
                name: name.to_owned(),
                version: version.to_owned(),
                path,
            });
        }
    }
    assert!(
        found.len() > 100,
        "cargo has fetched too little: {}",
        found.len()
    );
    found
}

/// Publishes every crate that cargo has fetched here; returns how many crate files there are.
pub fn publish(site: &mut Site) -> usize {
    let (_, index) = registry();
    let mut commit = Commit::new("Take what cargo has");
    let mut published = std::collections::BTreeSet::new();
    let mut files = 0;
    for Fetched {
        name,
        version,
        path,
    } in fetched()
    {
        let Some(lines) = lines(&index, &name.to_ascii_lowercase()) else {
            continue;
        };
        site.host
            .put(&name, &version, std::fs::read(&path).unwrap());
        files += 1;
        if published.insert(name.clone()) {
            commit = commit.file(&index_path(&name.to_ascii_lowercase()), lines);
        }
    }
    site.index.commit([commit]);
    assert!(files > 100, "cargo has fetched too little: {files}");
    files
}

/// Splits `serde-json-1.0.0` where the version begins.
fn split(stem: &str) -> (&str, &str) {
    let mut starts = stem.match_indices('-').map(|(at, _)| at);
    // As in `sha-1-0.10.1`, a name may have numbers, too.
    let at = starts.find(|at| semver::Version::parse(&stem[at + 1..]).is_ok());
    let at = at.unwrap();
    (&stem[..at], &stem[at + 1..])
}
