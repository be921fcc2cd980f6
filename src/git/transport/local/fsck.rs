//! Checks pushed objects for `receive.fsckObjects`: each by itself, and that what it names is there (`git-fsck`).
//!
//! The findings have git's names, so that `receive.fsck.<name>` and `receive.fsck.skipList` apply to them as in git.
//! Not checked, though git does: the contents of `.gitmodules` and `.gitattributes`, the size of trees, and characters
//! in a tag's name; an index has none of these.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use git2::Config;
use gix_object::bstr::{BStr, ByteSlice};
use gix_object::tree::{EntryKind, EntryRef};
use gix_object::{CommitRef, TagRef, TreeRef, WriteTo};
use gix_validate::path::component;

use super::objects::{Objects, missing, ours};
use super::pipe::{Failure, Output, Result};
use super::repository::value;
use crate::git::ObjectId;
use crate::git::wire::pack::ObjectKind;

const SHA1: gix_hash::Kind = gix_hash::Kind::Sha1;

/// How strict a repository is.
#[derive(Default)]
pub(super) struct Strictness {
    /// Findings that are no reason to refuse, by their names in lower case.
    tolerated: HashSet<String>,
    /// Objects that are not checked.
    skipped: HashSet<ObjectId>,
}

/// What is wrong with an object: git's name for it, and why.
#[derive(Debug, PartialEq, Eq)]
struct Finding(&'static str, String);

impl Strictness {
    /// Reads the settings; returns `None` where objects are not to be checked.
    pub(super) fn read(config: &Config) -> Result<Option<Self>> {
        let is_on = config
            .get_bool("receive.fsckobjects")
            // The setting of the service wins over that of both directions (git-config).
            .or_else(|_| config.get_bool("transfer.fsckobjects"));
        if !is_on.unwrap_or(false) {
            return Ok(None);
        }
        let unreadable = |error| Failure::because("the configuration cannot be read", error);
        let mut levels = HashMap::new();
        let mut entries = config
            .entries(Some(r"^receive\.fsck\."))
            .map_err(unreadable)?;
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(unreadable)?;
            let name = entry.name().unwrap_or_default().to_ascii_lowercase();
            levels.insert(name.replace("receive.fsck.", ""), value(entry).to_owned());
        }
        let skipped = match levels.remove("skiplist") {
            Some(path) => skip_list(Path::new(&path))?,
            None => HashSet::new(),
        };
        levels.retain(|_, level| ["ignore", "warn"].contains(&level.to_ascii_lowercase().as_str()));
        Ok(Some(Self {
            tolerated: levels.into_keys().collect(),
            skipped,
        }))
    }
}

fn skip_list(path: &Path) -> Result<HashSet<ObjectId>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::because(format_args!("cannot read {}", path.display()), error))?;
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let ids = lines.filter(|line| !line.is_empty());
    ids.map(|id| {
        id.parse()
            .map_err(|_| Failure::new(format!("{}: not an object id: {id}", path.display())))
    })
    .collect()
}

/// Checks every object of a pack, reachable or not.
pub(super) fn check(
    index: &Path,
    objects: &Objects,
    strictness: &Strictness,
    output: &Output,
) -> Result<()> {
    let unreadable = |error| Failure::because("the index of the pack cannot be read", error);
    let index = gix_pack::index::File::at(index, SHA1).map_err(unreadable)?;
    // In the order of the pack, where an object is near the base of its delta, which is then still in the cache.
    let mut entries: Vec<_> = index
        .iter()
        .map(|entry| (entry.pack_offset, entry.oid))
        .collect();
    entries.sort_unstable();
    let mut checker = Checker {
        objects,
        strictness,
        there: HashSet::new(),
    };
    let mut content = Vec::new();
    for (_, id) in entries {
        output.keep_alive()?;
        let id = ours(&id);
        if !strictness.skipped.contains(&id) {
            let kind = objects.read(id, &mut content)?;
            checker.object(id, kind, &content)?;
        }
    }
    Ok(())
}

struct Checker<'a> {
    objects: &'a Objects,
    strictness: &'a Strictness,
    /// Objects that are known to exist: the trees of neighbouring commits name mostly the same ones.
    there: HashSet<ObjectId>,
}

impl Checker<'_> {
    fn object(&mut self, id: ObjectId, kind: ObjectKind, content: &[u8]) -> Result<()> {
        let mut links = Vec::new();
        let checked = match kind {
            ObjectKind::Blob => Ok(()),
            ObjectKind::Commit => commit(content, &mut links),
            ObjectKind::Tree => tree(content, &mut links),
            ObjectKind::Tag => tag(content, &mut links),
        };
        if let Err(Finding(name, why)) = checked
            && !self
                .strictness
                .tolerated
                .contains(&name.to_ascii_lowercase())
        {
            return Err(Failure::new(format!("object {id}: {name}: {why}")));
        }
        for link in links {
            if !self.there.contains(&link) {
                if !self.objects.has(link) {
                    return Err(missing(link));
                }
                self.there.insert(link);
            }
        }
        Ok(())
    }
}

fn commit(content: &[u8], links: &mut Vec<ObjectId>) -> Result<(), Finding> {
    let commit = CommitRef::from_bytes(content, SHA1)
        .map_err(|error| Finding("badTree", format!("invalid commit: {error}")))?;
    links.push(ours(&commit.tree()));
    links.extend(commit.parents().map(|id| ours(&id)));
    ident(commit.author)?;
    ident(commit.committer)?;
    if content.contains(&0) {
        return Err(Finding(
            "nulInCommit",
            "NUL byte in the commit object body".to_owned(),
        ));
    }
    Ok(())
}

fn tag(content: &[u8], links: &mut Vec<ObjectId>) -> Result<(), Finding> {
    let tag = TagRef::from_bytes(content, SHA1)
        .map_err(|error| Finding("badTag", format!("invalid tag: {error}")))?;
    links.push(ours(&tag.target()));
    tag.tagger.map_or(Ok(()), ident)
}

/// Checks `NAME <ADDRESS> SECONDS ZONE`, whose name may be missing, with the space behind it.
fn ident(line: &BStr) -> Result<(), Finding> {
    let wrong = |name, why: &str| {
        Err(Finding(
            name,
            format!("invalid author/committer line - {why}"),
        ))
    };
    let Some(open) = line.find_byteset(b"<>") else {
        return wrong("missingEmail", "missing email");
    };
    match (line[open], open) {
        (b'>', _) => return wrong("badName", "bad name"),
        (_, 0) => return wrong("missingNameBeforeEmail", "missing name before email"),
        (_, _) if line[open - 1] != b' ' => {
            return wrong("missingSpaceBeforeEmail", "missing space before email");
        }
        _ => {}
    }
    let rest = &line[open + 1..];
    let close = match rest.find_byteset(b"<>") {
        Some(close) if rest[close] == b'>' => close,
        _ => return wrong("badEmail", "bad email"),
    };
    let Some(date) = rest[close + 1..].strip_prefix(b" ") else {
        return wrong("missingSpaceBeforeDate", "missing space before date");
    };
    let (seconds, zone) = date.split_once_str(b" ").unwrap_or((date, b""));
    if seconds.len() > 1 && seconds[0] == b'0' {
        return wrong("zeroPaddedDate", "zero-padded date");
    }
    let seconds = seconds
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
    match seconds.map(str::parse::<i64>) {
        Some(Ok(_)) => {}
        Some(Err(error)) if *error.kind() == std::num::IntErrorKind::PosOverflow => {
            return wrong("badDateOverflow", "date causes integer overflow");
        }
        _ => return wrong("badDate", "bad date"),
    }
    match zone {
        [b'+' | b'-', digits @ ..]
            if digits.len() == 4 && digits.iter().all(u8::is_ascii_digit) =>
        {
            Ok(())
        }
        _ => wrong("badTimezone", "bad time zone"),
    }
}

fn tree(content: &[u8], links: &mut Vec<ObjectId>) -> Result<(), Finding> {
    let tree = TreeRef::from_bytes(content, SHA1)
        .map_err(|error| Finding("badTree", format!("cannot be parsed as a tree: {error}")))?;
    let mut canonical = Vec::with_capacity(content.len());
    // The parser does not tell how a mode was written; writing the tree anew shows it.
    if tree.write_to(&mut canonical).is_err() || canonical != content {
        return Err(Finding(
            "zeroPaddedFilemode",
            "contains zero-padded file modes".to_owned(),
        ));
    }
    let mut files: Vec<&BStr> = Vec::new();
    let mut previous: Option<EntryRef<'_>> = None;
    for entry in &tree.entries {
        name(entry)?;
        if entry.oid.is_null() {
            return Err(Finding(
                "nullSha1",
                "contains entries pointing to null sha1".to_owned(),
            ));
        }
        if previous.is_some_and(|previous| previous >= *entry) {
            return Err(Finding("treeNotSorted", "not properly sorted".to_owned()));
        }
        previous = Some(*entry);
        // A directory sorts as if its name ended in a slash, so that a file of the same name may stand some entries
        // before it, as `a`, `a-b`, `a/`. The stack holds the files whose names the current one begins with.
        while files
            .last()
            .is_some_and(|file| !entry.filename.starts_with(file))
        {
            files.pop();
        }
        if files.last() == Some(&entry.filename) {
            return Err(Finding(
                "duplicateEntries",
                "contains duplicate file entries".to_owned(),
            ));
        }
        if !entry.mode.is_tree() {
            files.push(entry.filename);
        }
        // A submodule's commit is in another repository.
        if entry.mode.kind() != EntryKind::Commit {
            links.push(ours(entry.oid));
        }
    }
    Ok(())
}

fn name(entry: &EntryRef<'_>) -> Result<(), Finding> {
    let options = component::Options {
        // What git checks in an fsck: names that HFS+ or NTFS take for `.git`, but not those that only Windows
        // reserves.
        protect_windows: false,
        protect_hfs: true,
        protect_ntfs: true,
    };
    let mode = entry.mode.is_link().then_some(component::Mode::Symlink);
    let Err(error) = gix_validate::path::component(entry.filename, mode, options) else {
        return Ok(());
    };
    let name = match &error {
        component::Error::Empty => "emptyName",
        component::Error::PathSeparator => "fullPathname",
        component::Error::Relative if entry.filename == "." => "hasDot",
        component::Error::Relative => "hasDotdot",
        component::Error::SymlinkedGitModules => "gitmodulesSymlink",
        _ => "hasDotgit",
    };
    Err(Finding(name, error.to_string()))
}
