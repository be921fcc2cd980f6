//! Each target, once on each file of its corpus.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crates_ferry_fuzz::{TARGETS, run};

fn names_in(folder: &str, of: impl Fn(&Path) -> Option<String>) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.filter_map(|entry| of(&entry.path())).collect()
}

fn stem(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_str()?.to_owned())
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in("fuzz_targets", stem), targets);
    assert_eq!(names_in("corpus", stem), targets);
}

#[test]
fn every_target_passes_on_its_corpus() {
    for (name, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let files: BTreeSet<PathBuf> = files.collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            println!("{}", file.display());
            run(name, &fs::read(file).unwrap());
        }
    }
}
