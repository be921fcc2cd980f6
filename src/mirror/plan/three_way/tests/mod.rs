#![allow(clippy::unwrap_used)]

mod conflicts;
mod files_and_directories;
mod listing;
mod own_paths;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::*;
use crate::git::tree::{MergedEntry, Mode, TreeEntry};

/// Paths and what they hold: the mode's last three digits where it is no plain file, then the content.
type Files<'a> = &'a [(&'a str, &'a str)];

/// Every tree made so far, so that a merge can be given what it asks for.
#[derive(Default)]
struct World {
    trees: HashMap<ObjectId, Tree>,
    contents: HashMap<TreeEntry, String>,
}

impl World {
    fn id(kind: &str, value: &impl Hash) -> ObjectId {
        let mut hasher = DefaultHasher::new();
        (kind, value).hash(&mut hasher);
        let mut bytes = [7; 20];
        bytes[..8].copy_from_slice(&hasher.finish().to_be_bytes());
        ObjectId::from_bytes(bytes)
    }

    fn root(&mut self, files: Files<'_>) -> ObjectId {
        let mut tree = Tree::new();
        let mut below: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (path, content) in files {
            match path.split_once('/') {
                Some((directory, rest)) => {
                    below.entry(directory).or_default().push((rest, content))
                }
                None => {
                    let mode = match content.split_once(' ') {
                        Some(("755", _)) => Mode::EXECUTABLE,
                        Some(("link", _)) => Mode::SYMLINK,
                        _ => Mode::FILE,
                    };
                    let text = content.rsplit(' ').next().unwrap();
                    let id = Self::id("blob", &text);
                    self.contents
                        .insert(TreeEntry { mode, id }, (*content).to_owned());
                    tree.insert(path.as_bytes().to_vec(), TreeEntry { mode, id });
                }
            }
        }
        for (directory, files) in below {
            let entry = TreeEntry::directory(self.root(&files));
            assert_eq!(tree.insert(directory.as_bytes().to_vec(), entry), None);
        }
        let listed: Vec<_> = tree.iter().collect();
        let id = Self::id("tree", &listed);
        self.trees.insert(id, tree);
        id
    }

    fn files_of(&self, tree: &MergedTree, above: &str, files: &mut Vec<(String, String)>) {
        let entries: Vec<(Vec<u8>, MergedEntry)> = match tree {
            MergedTree::Existing(id) => {
                let tree = self.trees[id].iter();
                tree.map(|(name, entry)| (name.clone(), (*entry).into()))
                    .collect()
            }
            MergedTree::New(entries) => entries.clone().into_iter().collect(),
        };
        for (name, entry) in entries {
            let path = format!("{above}{}", String::from_utf8(name).unwrap());
            match entry {
                MergedEntry::File(entry) => {
                    // A mode of one side and a content of the other make an entry that neither has.
                    let mut contents = self.contents.iter();
                    let content = self.contents.get(&entry).cloned();
                    let content = content.or_else(|| {
                        let (_, text) = contents.find(|(known, _)| known.id == entry.id)?;
                        Some(format!(
                            "{:o} {}",
                            entry.mode.0 & 0o777,
                            text.rsplit(' ').next()?
                        ))
                    });
                    files.push((path, content.unwrap()));
                }
                MergedEntry::Directory(tree) => self.files_of(&tree, &format!("{path}/"), files),
            }
        }
    }
}

/// What a finished merge looks like to a test.
struct Seen {
    merged: Merged,
    files: Vec<(String, String)>,
    rounds: Vec<usize>,
    theirs: ObjectId,
    ours: ObjectId,
}

impl Seen {
    fn assert_files(&self, expected: Files<'_>) {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(p, c)| (p.as_str(), c.as_str()))
            .collect();
        assert_eq!(self.merged.conflicts, []);
        assert_eq!(files, expected);
    }

    fn conflicts(&self) -> Vec<(&str, ConflictKind)> {
        let conflicts = self.merged.conflicts.iter();
        conflicts
            .map(|conflict| (conflict.path.as_str(), conflict.kind))
            .collect()
    }

    fn overlay(&self) -> Vec<&str> {
        self.merged
            .overlay
            .iter()
            .map(|difference| difference.path.as_str())
            .collect()
    }

    fn warnings(&self) -> Vec<String> {
        let warnings = self.merged.warnings.iter();
        warnings
            .map(|warning| match warning {
                MergeWarning::UpstreamConfigChanged => "config".to_owned(),
                MergeWarning::KeptPathChangedUpstream { path } => format!("kept {path}"),
                MergeWarning::DiffersFromUpstream { path } => format!("differs {path}"),
                MergeWarning::Reserved { path } => format!("reserved {path}"),
                MergeWarning::OverlayCut => "cut".to_owned(),
                MergeWarning::OursUnused { path } => format!("unused {path}"),
            })
            .collect()
    }
}

fn merge(ours: Files<'_>, base: Files<'_>, theirs: Files<'_>, rules: Rules) -> Seen {
    let mut world = World::default();
    let [ours, base, theirs] = [ours, base, theirs].map(|files| world.root(files));
    let mut merge = Merge::new(Sides { ours, base, theirs }.map(Some), rules);
    let mut rounds = Vec::new();
    loop {
        match merge.step() {
            Step::Needs(needs) => {
                assert!(!needs.is_empty());
                rounds.push(needs.len());
                for need in needs {
                    assert!(
                        !merge.trees.contains_key(&need.id),
                        "asked twice for {}",
                        need.id
                    );
                    merge.supply(need.id, world.trees[&need.id].clone());
                }
            }
            Step::Done(merged) => {
                let mut files = Vec::new();
                world.files_of(&merged.root, "", &mut files);
                return Seen {
                    merged,
                    files,
                    rounds,
                    theirs,
                    ours,
                };
            }
        }
    }
}

fn plain(ours: Files<'_>, base: Files<'_>, theirs: Files<'_>) -> Seen {
    merge(ours, base, theirs, Rules::default())
}

fn keeping(globs: &[&str]) -> Rules {
    Rules::new(Keep::new(globs).unwrap(), &[] as &[&str])
}

fn reserving(patterns: &[&str]) -> Rules {
    let patterns = patterns.iter().map(|text| text.parse().unwrap());
    Rules::default().reserving(ReservedNames::new(patterns.collect()))
}

fn with_ours(paths: &[&str]) -> Rules {
    Rules::new(Keep::default(), paths)
}
