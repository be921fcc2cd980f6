//! Checks pushed objects for `receive.fsckObjects`: each by itself, and that what it names is there (`git-fsck`).
//!
//! The findings have git's names, so that `receive.fsck.<name>` and `receive.fsck.skipList` apply to them as in git.
//! Not checked, though git does: the contents of `.gitmodules` and `.gitattributes`, the size of trees, and characters
//! in a tag's name; an index has none of these.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;

use git2::{Config, Repository};
use gix_object::bstr::{BStr, ByteSlice};
use gix_object::tree::{EntryKind, EntryRef};
use gix_object::{CommitRef, TagRef, TreeRef};
use gix_validate::path::component;

use super::objects::{Objects, ours};
use super::pipe::{Failure, Output, Result};
use super::repository::value;
use crate::ObjectId;
use crate::transport::host_messages::FSCK_ERROR;
use crate::wire::pack::ObjectKind;

const SHA1: gix_hash::Kind = gix_hash::Kind::Sha1;

/// How strict a repository is.
#[derive(Default)]
pub(super) struct Strictness {
    /// Findings that are no reason to refuse, by their names in lower case.
    tolerated: HashSet<String>,
    /// Objects that are not checked.
    skipped: HashSet<ObjectId>,
}

/// Takes what is wrong with an object, and keeps the first finding that is a reason to refuse it. A finding that is tolerated
/// ends nothing, as in git: the others count all the same.
struct Findings<'a> {
    tolerated: &'a HashSet<String>,
    refusal: Option<String>,
}

impl Findings<'_> {
    /// Takes a finding by git's name for it, and why it is one.
    fn report(&mut self, name: &'static str, why: impl Display) {
        if !self.tolerated.contains(&name.to_ascii_lowercase()) {
            self.refuse(format!("{name}: {why}"));
        }
    }

    /// Takes a finding that no setting tolerates.
    fn refuse(&mut self, why: String) {
        self.refusal.get_or_insert(why);
    }
}

impl Strictness {
    /// Reads the settings; returns `None` where objects are not to be checked.
    pub(super) fn read(repository: &Repository, config: &Config) -> Result<Option<Self>> {
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
            // As a path, of which `~` may be the beginning. A relative one is relative to where git's own service runs.
            Some(_) => {
                let path = config.get_path("receive.fsck.skiplist");
                skip_list(&repository.path().join(path.map_err(unreadable)?))?
            }
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
        let mut findings = Findings {
            tolerated: &self.strictness.tolerated,
            refusal: None,
        };
        inspect(kind, content, &mut links, &mut findings);
        if let Some(why) = findings.refusal {
            return Err(Failure::new(format!("{FSCK_ERROR}: object {id}: {why}")));
        }
        for link in links {
            if !self.there.contains(&link) {
                if !self.objects.has(link) {
                    // git's words, since the push is what is incomplete here, and not the repository.
                    return Err(Failure::new(format!(
                        "did not receive expected object {link}"
                    )));
                }
                self.there.insert(link);
            }
        }
        Ok(())
    }
}

fn inspect(
    kind: ObjectKind,
    content: &[u8],
    links: &mut Vec<ObjectId>,
    findings: &mut Findings<'_>,
) {
    match kind {
        ObjectKind::Blob => {}
        ObjectKind::Commit => commit(content, links, findings),
        ObjectKind::Tree => tree(content, links, findings),
        ObjectKind::Tag => tag(content, links, findings),
    }
}

fn commit(content: &[u8], links: &mut Vec<ObjectId>, findings: &mut Findings<'_>) {
    let commit = match CommitRef::from_bytes(content, SHA1) {
        Ok(commit) => commit,
        // Under no name: which of git's it would be is not known, and one that was tolerated would let any content pass.
        Err(error) => return findings.refuse(format!("invalid commit: {error}")),
    };
    links.push(ours(&commit.tree()));
    links.extend(commit.parents().map(|id| ours(&id)));
    for line in [commit.author, commit.committer] {
        if let Err((name, why)) = ident(line) {
            findings.report(name, format_args!("invalid author/committer line - {why}"));
        }
    }
    if content.contains(&0) {
        findings.report("nulInCommit", "NUL byte in the commit object body");
    }
}

fn tag(content: &[u8], links: &mut Vec<ObjectId>, findings: &mut Findings<'_>) {
    let tag = match TagRef::from_bytes(content, SHA1) {
        Ok(tag) => tag,
        Err(error) => return findings.refuse(format!("invalid tag: {error}")),
    };
    links.push(ours(&tag.target()));
    if let Some(Err((name, why))) = tag.tagger.map(ident) {
        findings.report(name, format_args!("invalid author/committer line - {why}"));
    }
}

/// Checks `NAME <ADDRESS> SECONDS ZONE`, up to the first finding: behind it, as in git, nothing can be judged.
fn ident(line: &BStr) -> Result<(), (&'static str, &'static str)> {
    let wrong = |name, why| Err((name, why));
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

fn tree(content: &[u8], links: &mut Vec<ObjectId>, findings: &mut Findings<'_>) {
    let tree = match TreeRef::from_bytes(content, SHA1) {
        Ok(tree) => tree,
        Err(error) => {
            return findings.report(
                "badTree",
                format_args!("cannot be parsed as a tree: {error}"),
            );
        }
    };
    let mut rest = content;
    let mut files: Vec<&BStr> = Vec::new();
    let mut previous: Option<EntryRef<'_>> = None;
    for entry in &tree.entries {
        // The parser does not tell how a mode was written.
        if rest.starts_with(b"0") {
            findings.report("zeroPaddedFilemode", "contains zero-padded file modes");
        }
        let name_at = rest.find_byte(b' ').map_or(rest.len(), |space| space + 1);
        let next = name_at + entry.filename.len() + 1 + SHA1.len_in_bytes();
        rest = rest.get(next..).unwrap_or_default();
        name(entry, findings);
        if entry.oid.is_null() {
            findings.report("nullSha1", "contains entries pointing to null sha1");
        }
        // A directory sorts as if its name ended in a slash, so that a file of the same name may stand some entries
        // before it, as `a`, `a-b`, `a/`. The stack holds the files whose names the current one begins with.
        while files
            .last()
            .is_some_and(|file| !entry.filename.starts_with(file))
        {
            files.pop();
        }
        let is_next_to_its_like = previous.is_some_and(|one| one.filename == entry.filename);
        if is_next_to_its_like || files.last() == Some(&entry.filename) {
            findings.report("duplicateEntries", "contains duplicate file entries");
        } else if previous.is_some_and(|previous| previous > *entry) {
            findings.report("treeNotSorted", "not properly sorted");
        }
        previous = Some(*entry);
        if !entry.mode.is_tree() {
            files.push(entry.filename);
        }
        // A submodule's commit is in another repository.
        if entry.mode.kind() != EntryKind::Commit {
            links.push(ours(entry.oid));
        }
    }
}

fn name(entry: &EntryRef<'_>, findings: &mut Findings<'_>) {
    match entry.filename.as_bytes() {
        b"" => findings.report("emptyName", "contains empty pathname"),
        b"." => findings.report("hasDot", "contains '.'"),
        b".." => findings.report("hasDotdot", "contains '..'"),
        name if name.contains(&b'/') => {
            findings.report("fullPathname", "contains full pathnames");
        }
        _ => {}
    }
    let options = component::Options {
        // What git checks in an fsck: names that HFS+ or NTFS take for `.git`, but not those that only Windows
        // reserves.
        protect_windows: false,
        protect_hfs: true,
        protect_ntfs: true,
    };
    let mode = entry.mode.is_link().then_some(component::Mode::Symlink);
    // By parts: Windows takes a backslash for a slash, and a full pathname may be tolerated.
    for part in entry.filename.split(|byte| b"/\\".contains(byte)) {
        match gix_validate::path::component(part.as_bstr(), mode, options) {
            Err(component::Error::DotGitDir) => findings.report("hasDotgit", "contains '.git'"),
            Err(component::Error::SymlinkedGitModules) => {
                findings.report("gitmodulesSymlink", ".gitmodules is a symbolic link");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what an object is refused for where these findings are tolerated.
    fn refusal(kind: ObjectKind, content: &[u8], tolerated: &[&str]) -> Option<String> {
        let strictness: HashSet<_> = tolerated.iter().map(|name| (*name).to_owned()).collect();
        let mut findings = Findings {
            tolerated: &strictness,
            refusal: None,
        };
        inspect(kind, content, &mut Vec::new(), &mut findings);
        let why = findings.refusal?;
        Some(why.split(':').next().unwrap_or_default().to_owned())
    }

    /// The entries of a tree, what is tolerated, and what it is refused for.
    type Case = (Vec<Vec<u8>>, &'static [&'static str], &'static str);

    fn entry(mode: &str, name: &str) -> Vec<u8> {
        [format!("{mode} {name}\0").as_bytes(), &[7; 20]].concat()
    }

    #[test]
    fn a_tolerated_finding_of_a_tree_hides_no_other() {
        let padded = entry("0100644", "a");
        let cases: [Case; 13] = [
            (vec![padded.clone()], &[], "zeroPaddedFilemode"),
            (
                vec![entry("0100644", ".git")],
                &["zeropaddedfilemode"],
                "hasDotgit",
            ),
            (
                vec![entry("0100644", ".."), padded.clone()],
                &["zeropaddedfilemode"],
                "hasDotdot",
            ),
            (
                vec![entry("100644", "."), padded.clone()],
                &["hasdot"],
                "zeroPaddedFilemode",
            ),
            (
                vec![entry("100644", "."), entry("100644", "..")],
                &["hasdot"],
                "hasDotdot",
            ),
            (
                vec![entry("100644", ""), entry("100644", ".GIT")],
                &["emptyname"],
                "hasDotgit",
            ),
            (
                vec![entry("100644", ".git/x")],
                &["fullpathname"],
                "hasDotgit",
            ),
            (vec![entry("100644", "a\\.git")], &[], "hasDotgit"),
            (
                vec![entry("120000", ".gitmodules"), entry("100644", "git~1")],
                &["hasdotgit"],
                "gitmodulesSymlink",
            ),
            (
                vec![
                    entry("100644", "b"),
                    entry("100644", "a"),
                    entry("100644", ".git"),
                ],
                &["treenotsorted"],
                "hasDotgit",
            ),
            (
                vec![entry("100644", "a"), entry("100644", "a")],
                &["treenotsorted"],
                "duplicateEntries",
            ),
            (
                vec![entry("40000", "a"), entry("40000", "a")],
                &["treenotsorted"],
                "duplicateEntries",
            ),
            (
                vec![
                    [b"100644 .a\0".as_slice(), &[0; 20]].concat(),
                    entry("100644", ".git"),
                ],
                &["nullsha1"],
                "hasDotgit",
            ),
        ];
        for (entries, tolerated, expected) in cases {
            let content = entries.concat();
            let text = String::from_utf8_lossy(&content);
            let found = refusal(ObjectKind::Tree, &content, tolerated);
            assert_eq!(found.as_deref(), Some(expected), "{text:?}");
            let all = [tolerated, &[expected]].concat();
            let all: Vec<_> = all.iter().map(|name| name.to_ascii_lowercase()).collect();
            let all: Vec<_> = all.iter().map(String::as_str).collect();
            assert_eq!(refusal(ObjectKind::Tree, &content, &all), None, "{text:?}");
        }
    }

    #[test]
    fn what_git_accepts_is_accepted() {
        let tree = [
            entry("100644", "a"),
            entry("100644", "a-b"),
            entry("40000", "b"),
            entry("160000", "c"),
            entry("120000", "gitmodules"),
        ];
        assert_eq!(refusal(ObjectKind::Tree, &tree.concat(), &[]), None);
    }

    #[test]
    fn a_tolerated_finding_of_a_commit_hides_no_other() {
        let commit = |author: &str, committer: &str, body: &str| {
            let tree = "7".repeat(40);
            format!("tree {tree}\nauthor {author}\ncommitter {committer}\n\n{body}").into_bytes()
        };
        let good = "A <a@b> 1 +0000";
        let cases = [
            (
                commit("<a@b> 1 +0000", "A <a@b> 01 +0000", ""),
                "missingNameBeforeEmail",
                Some("zeroPaddedDate"),
            ),
            (
                commit("A <a@b> 1 +00", good, "a\0b"),
                "badTimezone",
                Some("nulInCommit"),
            ),
            (commit("A <a@b> 1 +00", good, "a"), "badTimezone", None),
            // The rest of a line cannot be judged where its beginning is wrong: git, too, goes on with the next line.
            (commit("A <a<b> 01 +00", good, "a"), "badEmail", None),
        ];
        for (content, first, second) in cases {
            let found = refusal(ObjectKind::Commit, &content, &[]);
            assert_eq!(found.as_deref(), Some(first));
            let tolerated = first.to_ascii_lowercase();
            let found = refusal(ObjectKind::Commit, &content, &[&tolerated]);
            assert_eq!(found.as_deref(), second, "{first}");
        }
        let garbage = refusal(ObjectKind::Commit, b"tree\n", &["badtree"]);
        assert!(garbage.is_some(), "not even a commit");
    }
}
