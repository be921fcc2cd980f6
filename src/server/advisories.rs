//! The security advisories of a repository in the format of RustSec's database: which files are read, and what is made of them.
//!
//! ```text
//! crates/arrayref/RUSTSEC-2026-0260.md      an advisory: TOML in a code block, then Markdown
//! ```
//!
//! Uses rustsec, which knows the format. Its `Database` wants a work tree and fails on the first file that it cannot read; here the
//! files come from a bare copy, and one that cannot be read is left out and told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rustsec::advisory::Category;
use tracing::warn;

use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::guarded::guarded;
use crate::policy::{Advisories, Advisory, Class, Range, Seen};
use crate::server::index_copy::{ADVISORIES, Content, IndexCopy, MOST_ADVISORIES, Snapshot};
use crate::shown::{beginning, one_line};

/// The largest file that is read, in bytes. The largest of RustSec's has 10 KB.
const LARGEST: usize = 64 << 10;
/// How many characters of a title, and of a reason, are kept.
const LONGEST: usize = 300;
/// How many names elsewhere are kept of one, and of how many characters.
const ALIASES: usize = 20;
const LONGEST_ID: usize = 100;
/// The longest address that is kept, in bytes.
const LONGEST_URL: usize = 2048;
/// How many files that cannot be read are named in the log at once.
const NAMED: usize = 5;

/// What to do where they cannot be fetched.
const UNREACHABLE: &str = "Set policy.advisories to a repository that the server can read, such as a relay of it. Until then no advisory \
     counts, or those of the last time.";

/// What was read of a repository at one commit.
pub struct Read {
    /// Where it was.
    pub commit: ObjectId,
    /// The advisories.
    pub advisories: Arc<Advisories>,
    /// The files that cannot be read, each with the reason.
    pub unreadable: BTreeMap<String, String>,
    /// What each file is, by its id: the next commit has most of them, too.
    files: HashMap<ObjectId, File>,
}

/// What a file is: an advisory, one that does not count, or why it cannot be read.
type File = std::result::Result<Option<Arc<Advisory>>, String>;

impl Read {
    /// Reads all advisories; of the files that were read before, nothing.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn of(snapshot: &Snapshot, before: Option<&Self>) -> Result<Self> {
        let files = snapshot.files_in(ADVISORIES, MOST_ADVISORIES)?;
        let files = files.unwrap_or_default();
        let mut read = Self {
            commit: snapshot.commit(),
            advisories: Arc::default(),
            unreadable: BTreeMap::new(),
            files: HashMap::new(),
        };
        let mut found = Vec::new();
        for (path, id) in files.into_iter().filter(|(path, _)| path.ends_with(".md")) {
            let known = before.and_then(|before| before.files.get(&id)).cloned();
            let file = match known {
                Some(file) => file,
                None => read_file(&snapshot.content(id)?),
            };
            match &file {
                Ok(advisory) => found.extend(advisory.clone()),
                Err(why) => drop(read.unreadable.insert(path, why.clone())),
            }
            read.files.insert(id, file);
        }
        read.advisories = Arc::new(found.into_iter().collect());
        Ok(read)
    }

    /// Logs the files that cannot be read, unless that was so before.
    pub fn warn_of_unreadable(&self, before: Option<&Self>) {
        if self.unreadable.is_empty()
            || before.is_some_and(|before| before.unreadable == self.unreadable)
        {
            return;
        }
        let number = counted(self.unreadable.len(), "advisory file");
        let named = self.unreadable.iter().take(NAMED);
        let named: Vec<_> = named
            .map(|(path, why)| format!("{}: {why}", one_line(path)))
            .collect();
        warn!(
            "left out {number} that cannot be read: {}",
            named.join("; ")
        );
    }
}

/// Reads a file; `None` of one that does not count. A panic of the library is a file that cannot be read.
///
/// # Errors
/// Why it cannot be read, in a line.
pub fn read_file(content: &[u8]) -> std::result::Result<Option<Arc<Advisory>>, String> {
    let told = |why: &dyn std::fmt::Display| {
        let why = why.to_string();
        beginning(&one_line(&why), LONGEST).into_owned()
    };
    if content.len() > LARGEST {
        return Err(format!("it has more than {} KiB", LARGEST >> 10));
    }
    let text = std::str::from_utf8(content).map_err(|error| told(&error))?;
    // As some editors write it.
    let text = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .replace("\r\n", "\n");
    let advisory = guarded(|| text.parse::<rustsec::Advisory>().map(|read| convert(&read)));
    match advisory {
        Ok(Ok(advisory)) => Ok(advisory.map(Arc::new)),
        Ok(Err(error)) => Err(told(&error)),
        Err(panicked) => Err(told(&panicked)),
    }
}

/// Makes of an advisory what is kept of it; `None` of one that does not count: a draft, one that was withdrawn, and one about a crate
/// of another registry.
fn convert(advisory: &rustsec::Advisory) -> Option<Advisory> {
    let about = &advisory.metadata;
    let is_of_crates_io = about
        .source
        .as_ref()
        .is_none_or(rustsec::SourceId::is_default_registry);
    if advisory.withdrawn() || about.id.is_placeholder() || !is_of_crates_io {
        return None;
    }
    let short = |text: &str| beginning(&one_line(text), LONGEST).into_owned();
    let id = |id: &rustsec::advisory::Id| -> Option<String> {
        let is_id = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
        let is_usable = id.as_str().len() <= LONGEST_ID && id.as_str().chars().all(is_id);
        is_usable.then(|| id.to_string())
    };
    let links = about
        .url
        .iter()
        .filter(|url| matches!(url.scheme(), "https" | "http"));
    let mut links = links
        .map(ToString::to_string)
        .filter(|url| url.len() <= LONGEST_URL);
    // The advisory itself says most; where it has no page, as a company's own, what it names.
    let page = about.id.is_rustsec().then(|| about.id.url()).flatten();
    let ranges = rustsec::osv::ranges_for_advisory(&advisory.versions);
    Some(Advisory {
        id: id(&about.id)?,
        package: about.package.to_string(),
        title: short(&plain(advisory.title())),
        class: class(advisory),
        kind: about
            .informational
            .as_ref()
            .map(|kind| short(kind.as_str().trim())),
        date: about.date.as_str().parse().ok()?,
        url: page.or_else(|| links.next()),
        aliases: about.aliases.iter().filter_map(id).take(ALIASES).collect(),
        severity: advisory
            .severity()
            .map(|severity| severity.as_str().to_owned()),
        affected: ranges
            .into_iter()
            .map(|range| Range {
                introduced: range.introduced,
                fixed: range.fixed,
            })
            .collect(),
    })
}

/// Says how grave an advisory is.
///
/// RustSec gives malware the category `malicious`. A few of August 2026 lack it: what was deleted from the registry for that has
/// `expect-deleted`, and the word in its title; and OSV's database of malicious packages names its ids `MAL-…`.
fn class(advisory: &rustsec::Advisory) -> Class {
    let about = &advisory.metadata;
    let has_word = advisory.title().to_ascii_lowercase().contains("malicious");
    match () {
        () if about.categories.contains(&Category::Malicious) => Class::Malicious,
        () if about
            .aliases
            .iter()
            .any(|id| id.as_str().starts_with("MAL-")) =>
        {
            Class::Malicious
        }
        () if about.informational.is_some() => Class::Informational,
        () if about.expect_deleted && has_word => Class::Malicious,
        () => Class::Vulnerable,
    }
}

/// Returns a title without the marks of Markdown's code.
fn plain(title: &str) -> String {
    title.replace('`', "")
}

/// Adds the advisories of the configuration's repository to what was seen, for a command: fetches them, unless a server uses the
/// folder right now, whose copy is read then. Whoever has the copy of the index open has the folder's lock.
///
/// # Errors
/// If they can neither be fetched nor are there from before.
pub async fn add_to(seen: &mut Seen, config: &ServeConfig, has_lock: bool) -> Result<()> {
    let Some(remote) = config.advisories_remote()? else {
        return Ok(());
    };
    let data_dir = &config.serve.data_dir;
    let snapshot = match has_lock {
        false => IndexCopy::read_only_beside(data_dir, Content::Advisories)?,
        true => {
            let origin = config.policy.advisories.as_ref().map(ToString::to_string);
            let origin = origin.unwrap_or_default();
            let copy = IndexCopy::open_beside(data_dir, Content::Advisories, &origin).await?;
            let refreshed = copy.refresh(&remote, None, config.network.timeout).await;
            match (refreshed, copy.snapshot()) {
                (Ok(()), Some(snapshot)) => snapshot,
                (Err(error), Some(snapshot)) => {
                    let error = error.chain();
                    warn!("cannot fetch the advisories, using those of the last time: {error}");
                    snapshot
                }
                (Err(error), None) => return Err(error),
                (Ok(()), None) => {
                    return Err(Error::new(Kind::Server, "the advisories have no commit"));
                }
            }
        }
    };
    let read = tokio::task::spawn_blocking(move || Read::of(&snapshot, None));
    let panicked = |error| {
        Error::new(Kind::Server, "the thread that reads the advisories failed").because(error)
    };
    let read = read.await.map_err(panicked)??;
    read.warn_of_unreadable(None);
    seen.set_advisories(read.advisories);
    Ok(())
}

/// Says what the configuration's repository of advisories has: fetches it into a folder that is removed again.
///
/// # Errors
/// If it cannot be fetched or read, or no advisory in it counts.
pub async fn probe(config: &ServeConfig) -> Result<String> {
    let Some(remote) = config.advisories_remote()? else {
        return Ok("none are read".to_owned());
    };
    let folder = tempfile::tempdir().map_err(|error| {
        Error::new(Kind::Config, "cannot create a temporary folder").because(error)
    })?;
    let copy = IndexCopy::open_beside(folder.path(), Content::Advisories, "").await?;
    let refreshed = copy.refresh(&remote, None, config.network.timeout).await;
    refreshed.map_err(|error| match error.advice() {
        Some(_) => error,
        None => error.advise(UNREACHABLE),
    })?;
    let snapshot = copy.snapshot();
    let snapshot =
        snapshot.ok_or_else(|| Error::new(Kind::Server, "the advisories have no commit"))?;
    let read = Read::of(&snapshot, None)?;
    let Some(newest) = read.advisories.all().max_by_key(|it| (it.date, &it.id)) else {
        let text = format!("no advisory of {remote} can be read and counts");
        return Err(Error::new(Kind::Config, text).advise(Content::Advisories.advice()));
    };
    let number = match read.advisories.all().count() {
        1 => "1 advisory".to_owned(),
        number => format!("{number} advisories"),
    };
    let unreadable = match read.unreadable.len() {
        0 => String::new(),
        number => format!("; {} cannot be read", counted(number, "file")),
    };
    let (id, date) = (&newest.id, newest.date);
    Ok(format!("{number}, the newest {id} of {date}{unreadable}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Writes an advisory in RustSec's format.
    fn advisory(lines: &str, title: &str) -> String {
        format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-2026-0001\"\npackage = \"foo\"\ndate = \"2026-11-01\"\n{lines}\n```\n\n# {title}\n\nMore.\n"
        )
    }

    fn read(lines: &str, title: &str) -> Option<Arc<Advisory>> {
        read_file(advisory(lines, title).as_bytes()).unwrap()
    }

    const NONE_PATCHED: &str = "[versions]\npatched = []";

    #[test]
    fn an_advisory_is_about_what_is_neither_patched_nor_unaffected() {
        let lines = "aliases = [\"CVE-2026-1\"]\ncvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H\"\n[versions]\n\
                     patched = [\">= 1.2.3, < 1.3.0\", \">= 1.3.4\"]\nunaffected = [\"<= 0.1.2\"]";
        let read = read(lines, "`foo` panics").unwrap();
        let affects = |version: &str| read.affects(&version.parse().unwrap());
        for version in ["0.1.3", "1.2.2", "1.2.3-rc.1", "1.3.0", "1.3.3"] {
            assert!(affects(version), "{version}");
        }
        for version in ["0.1.2", "1.2.3", "1.2.9", "1.3.4", "2.0.0"] {
            assert!(!affects(version), "{version}");
        }
        assert_eq!(read.to_string(), "RUSTSEC-2026-0001: foo panics");
        assert_eq!(
            (read.class, read.severity.as_deref()),
            (Class::Vulnerable, Some("critical"))
        );
        assert_eq!(
            read.url.as_deref(),
            Some("https://rustsec.org/advisories/RUSTSEC-2026-0001")
        );
    }

    #[test]
    fn what_is_malicious_is_what_rustsec_says_so() {
        let class = |lines: &str, title: &str| {
            read(&format!("{lines}\n{NONE_PATCHED}"), title)
                .unwrap()
                .class
        };
        for (lines, title, wanted) in [
            (
                "categories = [\"code-execution\", \"malicious\"]",
                "t",
                Class::Malicious,
            ),
            ("aliases = [\"MAL-2022-1\"]", "t", Class::Malicious),
            (
                "expect-deleted = true",
                "`foo` was removed due to malicious code",
                Class::Malicious,
            ),
            (
                "expect-deleted = true",
                "`foo` is unsound",
                Class::Vulnerable,
            ),
            ("", "a malicious server can crash it", Class::Vulnerable),
            (
                "informational = \"unmaintained\"",
                "`foo` is unmaintained",
                Class::Informational,
            ),
            (
                "informational = \"notice\"\ncategories = [\"malicious\"]",
                "t",
                Class::Malicious,
            ),
        ] {
            assert_eq!(class(lines, title), wanted, "{lines}");
        }
    }

    #[test]
    fn what_was_withdrawn_is_a_draft_or_of_another_registry_does_not_count() {
        assert!(read(NONE_PATCHED, "t").is_some());
        assert!(read(&format!("withdrawn = \"2026-11-02\"\n{NONE_PATCHED}"), "t").is_none());
        let other = "source = \"registry+https://crates.example/index\"";
        assert!(read(&format!("{other}\n{NONE_PATCHED}"), "t").is_none());
        let draft = advisory(NONE_PATCHED, "t").replace("2026-0001", "0000-0000");
        assert_eq!(read_file(draft.as_bytes()), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let whole = advisory(NONE_PATCHED, "t");
        // Where the library cuts it, there is no boundary of a letter, and it panics.
        let panics = format!("{}ü and more", "x".repeat(19));
        for (content, why) in [
            (
                whole.replace("2026-11-01", "soon").into_bytes(),
                "invalid date",
            ),
            (
                whole
                    .replace("patched = []", "patched = [\">= 1\", \">= 2\"]")
                    .into_bytes(),
                "Overlapping",
            ),
            (whole.replace("# t", "t").into_bytes(), "header"),
            (panics.into_bytes(), "a panic"),
            (vec![0xff], "utf-8"),
            (vec![b' '; LARGEST + 1], "64 KiB"),
        ] {
            let refused = read_file(&content).unwrap_err();
            assert!(refused.contains(why), "{why}: {refused}");
        }
    }
}
