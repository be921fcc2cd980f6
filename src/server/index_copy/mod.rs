//! The server's own copy of an index repository: bare, shallow, of one branch, updated by thin packs.
//!
//! ```text
//! index.git/
//!   HEAD, config, refs/heads/BRANCH, shallow
//!   objects/pack/pack-….{pack,idx}     one for the first fetch, one for each refresh, until they are compacted
//! index.git.new/                       a new copy that is to replace a damaged one
//! advisories.git/                      the same for the repository of advisories
//! ```
//!
//! The branch moves last: a process that is killed leaves unreachable objects, which compaction removes.

mod compact;
mod content;
mod fetch;
mod kept;
mod objects;
mod receive;
mod repository;
mod snapshot;

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::Remote;
use crate::index::ReservedNames;
use crate::progress::Progress;
use crate::server::disk_error::unwritable;
use crate::server::shortage::is_shortage;
use compact::ObsoletePacks;
pub use content::Content;
pub(super) use content::{ADVISORIES, MOST_ADVISORIES};
use fetch::Seen;
use kept::Kept;
use objects::Objects;
use receive::Indexer;
use repository::Repository;
pub use snapshot::Snapshot;

/// What the branch of a copy is called that has the branch of the repository's HEAD.
const BRANCH: &str = "main";

/// The least time between two rebuilds of a damaged copy.
const BETWEEN_REBUILDS: Duration = Duration::from_secs(600);

/// A copy of one branch of an index repository.
pub struct IndexCopy {
    content: Content,
    repository: Repository,
    origin: String,
    /// What readers see. It is replaced only when the next snapshot is complete.
    current: ArcSwapOption<Snapshot>,
    /// An object could not be read: the next refresh rebuilds the copy.
    is_damaged: AtomicBool,
    /// One refresh at a time.
    writing: Mutex<Writing>,
    indexer: Indexer,
    /// The connection of the last look.
    kept: Kept,
    progress: Arc<Progress>,
    /// The crates that its snapshots do not show.
    hidden: ArcSwap<ReservedNames>,
    /// Locks out other processes that would write. One copy of a folder holds it for all.
    _lock: Option<File>,
}

/// What only a refresh uses.
struct Writing {
    objects: Objects,
    obsolete: ObsoletePacks,
    last_rebuild: Option<Instant>,
}

/// Fetches the index, for a command that is not the server; if a server uses its copy right now, returns that as it is.
///
/// # Errors
/// As [`IndexCopy::open_fresh`] and [`IndexCopy::read_only`].
pub async fn for_reading(config: &ServeConfig) -> Result<(Arc<Snapshot>, Option<IndexCopy>)> {
    let (data_dir, branch) = (&config.serve.data_dir, &config.index.branch);
    // Only one process may write the copy; the server keeps it fresh.
    if is_in_use(data_dir) {
        let snapshot = IndexCopy::read_only(data_dir, branch, config.hidden())?;
        return Ok((snapshot, None));
    }
    let (snapshot, copy) = IndexCopy::open_fresh(config).await?;
    Ok((snapshot, Some(copy)))
}

impl IndexCopy {
    /// Opens the copy below `data_dir`, or creates an empty one. Removes what a killed process left behind, and a copy
    /// of another `origin`, the address of the repository.
    ///
    /// # Errors
    /// `config` if the folder cannot be written, or another process uses it.
    pub async fn open(data_dir: &Path, branch: &str, origin: &str) -> Result<Self> {
        let (data_dir, branch, origin) =
            (data_dir.to_owned(), branch.to_owned(), origin.to_owned());
        blocking(move || {
            fs::create_dir_all(&data_dir).map_err(|e| unwritable(&data_dir, e))?;
            // First: what follows moves and removes what another process may be using.
            let lock = lock(&data_dir)?;
            let copy = Self::open_blocking(&data_dir, Content::Index, &branch, &origin)?;
            Ok(Self {
                _lock: Some(lock),
                ..copy
            })
        })
        .await
    }

    /// Opens another copy in the folder of this one, which holds the lock: of the repository at `origin`, whatever its branch is
    /// called.
    ///
    /// # Errors
    /// `config` if the folder cannot be written.
    pub async fn open_beside(data_dir: &Path, content: Content, origin: &str) -> Result<Self> {
        let (data_dir, origin) = (data_dir.to_owned(), origin.to_owned());
        blocking(move || Self::open_blocking(&data_dir, content, BRANCH, &origin)).await
    }

    /// Opens the copy of this configuration, and fetches the index once, for a command that is not the server.
    ///
    /// # Errors
    /// As [`IndexCopy::open`] and [`IndexCopy::refresh`]; `server` if the index has no commit.
    pub async fn open_fresh(config: &ServeConfig) -> Result<(Arc<Snapshot>, Self)> {
        let branch = &config.index.branch;
        let origin = config.index.url.to_string();
        let remote = config.index_remote()?;
        let copy = Self::open(&config.serve.data_dir, branch, &origin).await?;
        let copy = copy.hiding(config.hidden());
        copy.refresh(&remote, Some(branch), config.network.timeout)
            .await?;
        let snapshot = copy.snapshot();
        let snapshot =
            snapshot.ok_or_else(|| Error::new(Kind::Server, "the index has no commit"))?;
        Ok((snapshot, copy))
    }

    fn open_blocking(
        data_dir: &Path,
        content: Content,
        branch: &str,
        origin: &str,
    ) -> Result<Self> {
        let repository = Repository::new(data_dir.join(content.folder()), branch)
            .private(content == Content::Private);
        repository.recover()?;
        repository.prepare(origin)?;
        let objects = Objects::open(&repository.objects())?;
        let found = match current(content, &repository, &objects) {
            Err(error) if is_shortage(&error) => return Err(error),
            found => found,
        };
        if let Err(error) = &found {
            let error = error.chain();
            let name = content.name();
            warn!("cannot read the copy of {name}, fetching a new one: {error}");
        }
        Ok(Self {
            content,
            repository,
            origin: origin.to_owned(),
            is_damaged: AtomicBool::new(found.is_err()),
            current: ArcSwapOption::new(found.ok().flatten().map(Arc::new)),
            writing: Mutex::new(Writing {
                objects,
                obsolete: ObsoletePacks::default(),
                last_rebuild: None,
            }),
            indexer: Indexer::default(),
            kept: Kept::default(),
            progress: Arc::default(),
            hidden: ArcSwap::default(),
            _lock: None,
        })
    }

    /// Shows there how far fetches are.
    #[must_use]
    pub fn shown_by(self, progress: Arc<Progress>) -> Self {
        Self { progress, ..self }
    }

    /// Hides these crates in all its snapshots.
    #[must_use]
    pub fn hiding(self, hidden: ReservedNames) -> Self {
        let hidden = Arc::new(hidden);
        let current = self.current.swap(None).and_then(Arc::into_inner);
        let current = current.map(|snapshot| Arc::new(snapshot.hiding(Arc::clone(&hidden))));
        self.current.store(current);
        self.hidden.store(hidden);
        self
    }

    /// Hides these crates from now on, and no others.
    pub async fn hide(&self, hidden: ReservedNames) {
        let mut writing = self.writing.lock().await;
        let hidden = Arc::new(hidden);
        self.hidden.store(Arc::clone(&hidden));
        if let Some(current) = self.snapshot() {
            let after = Arc::new(current.also_hiding(hidden));
            let before = self.current.swap(Some(after));
            writing.obsolete.note_reader(before.as_ref());
        }
    }

    /// Opens a copy for reading, as it is now, without these crates; another process may be writing it.
    ///
    /// # Errors
    /// `config` if there is none yet.
    pub fn read_only(
        data_dir: &Path,
        branch: &str,
        hidden: ReservedNames,
    ) -> Result<Arc<Snapshot>> {
        let snapshot = Self::read_only_of(data_dir, Content::Index, branch)?;
        Ok(Arc::new(snapshot.hiding(Arc::new(hidden))))
    }

    /// Opens another copy of a folder for reading, as [`IndexCopy::read_only`] does.
    ///
    /// # Errors
    /// `config` if there is none yet.
    pub fn read_only_beside(data_dir: &Path, content: Content) -> Result<Arc<Snapshot>> {
        Self::read_only_of(data_dir, content, BRANCH).map(Arc::new)
    }

    fn read_only_of(data_dir: &Path, content: Content, branch: &str) -> Result<Snapshot> {
        let repository = Repository::new(data_dir.join(content.folder()), branch);
        let name = content.name();
        let missing = || {
            let place = repository.path().display();
            Error::new(Kind::Config, format!("there is no copy of {name} in {place} yet"))
                .advise(format!("Wait until the server has fetched {name}, or stop the server: then this command fetches it."))
        };
        if !repository.objects().is_dir() {
            return Err(missing());
        }
        let objects = Objects::open(&repository.objects())?;
        current(content, &repository, &objects)?.ok_or_else(missing)
    }

    /// Reads the snapshot of a commit that the copy had before; `None` if it does not have it any more.
    pub fn at(&self, commit: ObjectId) -> Option<Arc<Snapshot>> {
        self.snapshot()?.at(commit).map(Arc::new)
    }

    /// Returns the current snapshot; `None` before the first refresh.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Reports that an object could not be read; returns whether it is the first report. The next refresh builds a new
    /// copy beside the damaged one, from which readers go on reading what they can.
    pub fn report_damage(&self) -> bool {
        !self.is_damaged.swap(true, Ordering::Relaxed)
    }

    /// Says whether the copy is to be rebuilt.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Fetches the tip of the branch, or without one of the repository's HEAD: the first time with depth 1, then what changed since.
    ///
    /// # Errors
    /// If the fetch fails; `network` if it takes longer than `limit`; `config` if the disk cannot be written. The copy
    /// then stays as it was.
    pub async fn refresh(
        &self,
        remote: &Remote,
        branch: Option<&str>,
        limit: Duration,
    ) -> Result<()> {
        let mut writing = self.writing.lock().await;
        writing.obsolete.remove();
        let rebuilt = writing.last_rebuild;
        let may_rebuild = rebuilt.is_none_or(|at| at.elapsed() > BETWEEN_REBUILDS);
        if self.is_damaged.load(Ordering::Relaxed) && may_rebuild {
            // Noted before the attempt: a rebuild fetches everything, and one that fails must not start over with each
            // refresh.
            writing.last_rebuild = Some(Instant::now());
            // Beside the damaged copy, from which requests are answered until the new one is whole.
            let rebuilt = self.rebuild(remote, branch, limit).await?;
            writing.objects = rebuilt.objects().clone();
            self.publish(&mut writing, rebuilt);
            self.is_damaged.store(false, Ordering::Relaxed);
            return Ok(());
        }
        let (repository, before) = (&self.repository, self.snapshot());
        let fetching = self.fetch(remote, branch, repository, &writing.objects, before);
        if let Some(after) = self.within(limit, fetching).await? {
            self.publish(&mut writing, after);
        }
        Ok(())
    }

    /// Takes in commits that were just pushed on top of a snapshot, from the pack that was pushed: nothing is fetched. Says whether it
    /// did: not if the copy is at another commit meanwhile.
    ///
    /// # Errors
    /// As [`IndexCopy::refresh`].
    pub async fn take(&self, pack: Bytes, on: Option<ObjectId>, tip: ObjectId) -> Result<bool> {
        let mut writing = self.writing.lock().await;
        let before = self.snapshot();
        if before.as_ref().map(|before| before.commit()) != on || self.is_damaged() {
            return Ok(false);
        }
        let after = self.index_own(pack, &writing.objects, before, tip).await?;
        self.publish(&mut writing, after);
        Ok(true)
    }

    /// Looks for commits over the connection of the last refresh, if that is open yet: far faster than a refresh, which alone tells for
    /// certain where the branch is. Says whether it could look.
    ///
    /// # Errors
    /// As [`IndexCopy::refresh`].
    pub async fn peek(&self, remote: &Remote, branch: &str, limit: Duration) -> Result<bool> {
        let mut writing = self.writing.lock().await;
        let Some(before) = self.snapshot().filter(|_| !self.is_damaged()) else {
            return Ok(false);
        };
        let fetching = self.fetch_again(remote, branch, &writing.objects, before);
        match self.within(limit, fetching).await? {
            Seen::Nothing => return Ok(false),
            Seen::Same => {}
            Seen::Other(after) => self.publish(&mut writing, after),
        }
        Ok(true)
    }

    fn publish(&self, writing: &mut Writing, after: Snapshot) {
        self.kept.note(after.commit());
        let after = after.hiding(self.hidden.load_full());
        let before = self.current.swap(Some(Arc::new(after)));
        writing.obsolete.note_reader(before.as_ref());
    }

    /// Fetches a new copy beside the damaged one, and replaces that with it.
    async fn rebuild(
        &self,
        remote: &Remote,
        branch: Option<&str>,
        limit: Duration,
    ) -> Result<Snapshot> {
        let beside = self.repository.beside();
        let (place, origin) = (beside.clone(), self.origin.clone());
        let objects = blocking(move || {
            place.remove()?;
            place.prepare(&origin)?;
            Objects::open(&place.objects())
        })
        .await?;
        let fetching = self.fetch(remote, branch, &beside, &objects, None);
        self.within(limit, fetching).await?;
        let (repository, content) = (self.repository.clone(), self.content);
        blocking(move || {
            repository.replace_with(&beside)?;
            let objects = Objects::open(&repository.objects())?;
            let text = format!("the new copy of {} has no branch", content.name());
            let lost = || Error::new(Kind::Server, text);
            current(content, &repository, &objects)?.ok_or_else(lost)
        })
        .await
    }

    /// Compacts the packs if there are many, or much in them is obsolete.
    ///
    /// # Errors
    /// `server` or `config` if that fails; the copy then stays as it was.
    pub async fn tidy(&self) -> Result<()> {
        let mut writing = self.writing.lock().await;
        let Some(tip) = self.snapshot().map(|snapshot| snapshot.commit()) else {
            return Ok(());
        };
        writing.obsolete.remove();
        let mut packs = self.repository.packs();
        // What waits for its last reader to be removed is compacted already.
        packs.retain(|pack| !writing.obsolete.has(pack));
        if !compact::is_due(&packs) {
            return Ok(());
        }
        let (repository, objects) = (self.repository.clone(), writing.objects.clone());
        let made = blocking(move || compact::into_one(&repository, &objects, tip)).await?;
        info!(
            "compacted the {} packs of the copy of {}",
            packs.len(),
            self.content.name()
        );
        // A pack is named after its content: the new one may be one of the old.
        writing.obsolete.keep(&made);
        let old = packs.into_iter().filter(|pack| *pack != made);
        writing.obsolete.add(old);
        Ok(())
    }

    /// Bounds a fetch in time.
    async fn within<T>(&self, limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(limit, work).await.unwrap_or_else(|_| {
            let name = self.content.name();
            let verb = match self.content {
                Content::Index | Content::Private => "was",
                Content::Advisories => "were",
            };
            let limit = humantime::format_duration(limit);
            let text = format!("{name} {verb} not fetched within {limit} (network.timeout)");
            Err(Error::new(Kind::Network, text))
        })
    }
}

/// Reads the snapshot that the branch points to.
fn current(
    content: Content,
    repository: &Repository,
    objects: &Objects,
) -> Result<Option<Snapshot>> {
    let Some(tip) = repository.branch()? else {
        return Ok(None);
    };
    let commit = Commit::parse(&objects.read(tip)?)?;
    let snapshot = Snapshot::after(None, tip, &commit, objects.clone())?;
    content.check(&snapshot, None)?;
    Ok(Some(snapshot))
}

fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("lock");
    // The file is never removed: who had it open would keep the lock of a file that the next process does not find.
    let file = File::create(&path).map_err(|e| unwritable(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        // Some file systems on the network have no locks.
        Err(TryLockError::Error(error)) => Err(Error::new(
            Kind::Config,
            format!("cannot lock {}", path.display()),
        )
        .because(error)
        .advise("Set `serve.data_dir` to a folder on a file system with locks.")),
        Err(TryLockError::WouldBlock) => Err(in_use(data_dir)),
    }
}

fn in_use(data_dir: &Path) -> Error {
    let text = format!("another process uses {}", data_dir.display());
    Error::new(Kind::Config, text)
        .advise("Stop the other process, or set `serve.data_dir` to another folder.")
}

/// Refuses a folder that another process uses.
///
/// # Errors
/// `config`, as [`IndexCopy::open`] has it.
pub fn check_unused(data_dir: &Path) -> Result<()> {
    match is_in_use(data_dir) {
        true => Err(in_use(data_dir)),
        false => Ok(()),
    }
}

/// Says whether another process uses this folder.
pub fn is_in_use(data_dir: &Path) -> bool {
    let file = File::open(data_dir.join("lock"));
    file.is_ok_and(|file| file.try_lock_shared().is_err())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let broken = |error| {
        Error::new(Kind::Server, "work on the copy of the index was aborted").because(error)
    };
    spawn_blocking(work).await.map_err(broken)?
}
