//! What is in stored crate files, for pages and the web API: README, list of files, single files.
//!
//! An archive is read from its beginning to its end, which may take a second: a few at a time, on threads that may block,
//! and what pages ask for again and again stays in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::debug;

use super::registry::{FileOf, Registry};
use super::state::State;
use crate::bounded_cache::{Weighter, bounded};
use crate::index::release::Release;
use crate::index::{Checksum, CrateFile, CrateName, CrateVersion};
use crate::server::crate_archive::{ArchiveError, ArchivedFile, Content, CrateArchive, Manifest};
use crate::server::crate_files::ReadableFile;
use crate::server::markdown::{self, Links};
use crate::server::private::files::Unread;
use crate::shown::{lines, one_line};

/// How many bytes of memory keep what was read.
const KEPT: u64 = 16 << 20;
/// What a README or a list of files usually takes, in bytes.
const USUAL: u64 = 16 << 10;
/// What a manifest takes at most of what is kept of it, in bytes; most take a tenth.
const MANIFEST: usize = 8 << 10;
/// How long a page waits for what it can do without. It is read to its end, and there for the next one.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long it waits for a manifest, which says most of what there is to say of a private crate.
const MANIFEST_PATIENCE: Duration = Duration::from_secs(3);
/// The ends of the paths of Markdown files, as crates.io takes them; one without an end is Markdown, too.
const MARKDOWN: [&str; 7] = ["md", "markdown", "mdown", "mdwn", "mkd", "mkdn", "mkdown"];

/// Why the content of a crate file cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Closed {
    /// It is not stored.
    NotStored,
    /// The store cannot be read now.
    Store(String),
    /// It is no archive as cargo makes it.
    Unreadable(String),
}

/// A README, rendered.
#[derive(Debug, Clone)]
pub(super) struct Readme {
    /// Its path in the archive.
    pub(super) path: String,
    /// HTML that is safe to show as it is.
    pub(super) html: String,
    /// Whether its end was left out.
    pub(super) is_cut: bool,
}

/// Files by their paths.
pub(super) type Contents = BTreeMap<String, Content>;

/// What was read of crate files.
pub(super) struct ContentCache(Cache<Key, Kept, BySize>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// The README as so many bytes at most, with links to pages of this registry.
    Readme(Registry, Checksum, usize),
    Files(Registry, Checksum),
    Manifest(Registry, Checksum),
}

#[derive(Clone)]
enum Kept {
    Readme(Option<Arc<Readme>>),
    Files(Arc<Vec<ArchivedFile>>),
    Manifest(Arc<Manifest>),
}

#[derive(Clone)]
struct BySize;

impl Weighter<Key, Kept> for BySize {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        let size = match kept {
            Kept::Readme(None) => 0,
            Kept::Readme(Some(readme)) => readme.html.len(),
            Kept::Files(files) => {
                let each = size_of::<ArchivedFile>();
                files.iter().map(|file| file.path.len() + each).sum()
            }
            Kept::Manifest(_) => MANIFEST,
        };
        size as u64 + 200
    }
}

impl Default for ContentCache {
    fn default() -> Self {
        Self(bounded(KEPT, USUAL, BySize))
    }
}

/// Returns the crate file of a release; `None` where its line does not say what that is.
pub(super) fn crate_file(release: &Release) -> Option<CrateFile> {
    Some(CrateFile {
        name: CrateName::new(&release.name).ok()?,
        version: CrateVersion::new(&release.version.to_string()).ok()?,
        checksum: release.checksum.parse().ok()?,
    })
}

/// Reads a stored crate file; nothing is fetched.
pub(super) async fn unpack<T: Send + 'static>(
    state: &'static State,
    of: &FileOf,
    read: impl FnOnce(&mut CrateArchive<ReadableFile>) -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, Closed> {
    // Before the file is opened. It is never closed.
    let turn = state.unpacking.acquire().await;
    let stored = open(state, of).await?.ok_or(Closed::NotStored)?;
    let mut archive = CrateArchive::new(stored, &of.file.name, &of.file.version);
    let reading = spawn_blocking(move || {
        // Until it is read, whether or not its client still waits.
        let _turn = turn;
        read(&mut archive)
    });
    let read = reading
        .await
        .unwrap_or_else(|error| Err(ArchiveError::of("the thread that reads it failed", error)));
    read.map_err(|why| Closed::Unreadable(state.mask.apply(&why.to_string()).into_owned()))
}

/// Opens a stored crate file; `None` where it is not stored.
async fn open(state: &'static State, of: &FileOf) -> Result<Option<ReadableFile>, Closed> {
    let failed = |why: String| Closed::Store(state.mask.apply(&one_line(&why)).into_owned());
    match (of.registry, &state.private) {
        (Registry::Mirror, _) => {
            let stored = state.crate_files.stored(&of.file).await;
            stored.map_err(|why| failed(why.to_string()))
        }
        (Registry::Private, None) => Ok(None),
        // Whole in memory, of no more than are unpacked at once.
        (Registry::Private, Some(private)) => match private.files.get(&of.file).await {
            Ok(bytes) => Ok(Some(ReadableFile::of(bytes))),
            Err(Unread::Absent) => Ok(None),
            Err(Unread::Damaged) => Err(Closed::Unreadable(
                "its bytes are not those that the private index vouches for".to_owned(),
            )),
            Err(Unread::Failed(error)) => Err(failed(error.chain())),
        },
    }
}

/// Returns the manifest, for a page that can do without: `None` also where it cannot be read, or not soon.
pub(super) async fn manifest_soon(state: &'static State, of: &FileOf) -> Option<Arc<Manifest>> {
    let key = Key::Manifest(of.registry, of.file.checksum);
    if let Some(Kept::Manifest(kept)) = state.contents.0.get(&key) {
        return Some(kept);
    }
    let of = of.clone();
    let reading = async move {
        unpack(state, &of, move |archive| {
            let manifest = Arc::new(archive.manifest()?);
            let kept = Kept::Manifest(Arc::clone(&manifest));
            state.contents.0.insert(key, kept);
            Ok(manifest)
        })
        .await
    };
    // On a task of its own, so that a slow bucket is read to its end once.
    let read = timeout(MANIFEST_PATIENCE, tokio::spawn(reading)).await;
    read.ok()?.ok()?.ok()
}

/// Returns the README as at most so many bytes of HTML; `None` where there is none.
pub(super) async fn readme(
    state: &'static State,
    of: &FileOf,
    bytes: usize,
) -> Result<Option<Arc<Readme>>, Closed> {
    let FileOf { registry, file } = of;
    let key = Key::Readme(*registry, file.checksum, bytes);
    if let Some(Kept::Readme(kept)) = state.contents.0.get(&key) {
        return Ok(kept);
    }
    let base = format!("{}/{}/{}/src", registry.crates(), file.name, file.version);
    unpack(state, of, move |archive| {
        let (found, files) = archive.readme_with_files()?;
        let rendered =
            found.map(|(path, content)| Arc::new(render(path, &content, files, base, bytes)));
        state.contents.0.insert(key, Kept::Readme(rendered.clone()));
        Ok(rendered)
    })
    .await
}

/// Returns the README as [`readme`] does, for a page that can do without: `None` also where it is not here soon.
///
/// # Errors
/// What is wrong with a crate file that is no archive as cargo makes it.
pub(super) async fn readme_soon(
    state: &'static State,
    of: &FileOf,
    bytes: usize,
) -> Result<Option<Arc<Readme>>, String> {
    let wanted = of.clone();
    let reading = async move { readme(state, &wanted, bytes).await };
    // On a task of its own, so that a slow bucket is read to its end once; where others wait already, there is no use in more
    // of them.
    let read = match state.unpacking.available_permits() {
        0 => timeout(PATIENCE, reading).await.ok(),
        _ => {
            let read = timeout(PATIENCE, tokio::spawn(reading)).await.ok();
            read.and_then(|ended| ended.ok())
        }
    };
    match read {
        Some(Ok(found)) => Ok(found),
        Some(Err(Closed::Unreadable(wrong))) => Err(wrong),
        Some(Err(Closed::Store(why))) => {
            debug!("{}: no README on its page: {why}", of.file);
            Ok(None)
        }
        Some(Err(Closed::NotStored)) | None => Ok(None),
    }
}

fn render(
    path: String,
    content: &Content,
    files: Vec<ArchivedFile>,
    base: String,
    bytes: usize,
) -> Readme {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let end = name
        .rsplit_once('.')
        .map(|(_, end)| end.to_ascii_lowercase());
    let text = content.text();
    let rendered = match end {
        Some(end) if !MARKDOWN.contains(&end.as_str()) => markdown::plain(&text, bytes),
        _ => {
            let links = Links {
                base,
                folder: folder.to_owned(),
                files: files.into_iter().map(|file| file.path).collect(),
            };
            markdown::render(&text, &links, bytes)
        }
    };
    Readme {
        path,
        html: rendered.html,
        is_cut: rendered.is_cut || content.is_cut(),
    }
}

/// Lists the files with their checksums, in the order of their paths.
pub(super) async fn files(
    state: &'static State,
    of: &FileOf,
) -> Result<Arc<Vec<ArchivedFile>>, Closed> {
    let key = Key::Files(of.registry, of.file.checksum);
    if let Some(Kept::Files(kept)) = state.contents.0.get(&key) {
        return Ok(kept);
    }
    unpack(state, of, move |archive| {
        let mut files = archive.checksums()?;
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        let files = Arc::new(files);
        state
            .contents
            .0
            .insert(key, Kept::Files(Arc::clone(&files)));
        Ok(files)
    })
    .await
}

/// Reads some of the files, the first 1 MiB of each.
pub(super) async fn contents(
    state: &'static State,
    of: &FileOf,
    paths: Vec<String>,
) -> Result<Contents, Closed> {
    unpack(state, of, move |archive| {
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        archive.contents(&paths).map(|(_, contents)| contents)
    })
    .await
}

/// Says whether a file is text, as git does: the first bytes have no NUL.
pub(super) fn is_text(content: &Content) -> bool {
    !content.bytes.iter().take(8_000).any(|byte| *byte == 0)
}

/// Returns a text of a file as it is shown, line breaks as they are on Unix.
pub(super) fn text(content: &Content) -> String {
    lines(&content.text().replace("\r\n", "\n")).into_owned()
}
