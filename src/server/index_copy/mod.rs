//! The server's own copy of an index repository: bare, shallow, of one branch, brought up to date by thin increments.
//!
//! ```text
//! index.git/
//!   HEAD, config, refs/heads/BRANCH, shallow
//!   objects/pack/pack-….{pack,idx}     one for the first fetch, one for each increment, until they are made one again
//! index.git.new/                       a whole copy that is to take the place of a damaged one
//! ```
//!
//! The branch moves last: a process that is killed leaves objects that nobody refers to, which go when packs are made one.

mod compact;
mod fetch;
mod objects;
mod receive;
mod repository;
mod snapshot;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::error::{Error, Kind, Result};
use crate::git::objects::Commit;
use crate::git::transport::Remote;
use compact::ObsoletePacks;
use objects::Objects;
use repository::Repository;
pub use snapshot::Snapshot;

/// A damaged copy is made anew no more often than this.
const BETWEEN_REBUILDS: Duration = Duration::from_secs(600);

/// A copy of one branch of an index repository.
pub struct IndexCopy {
    repository: Repository,
    origin: String,
    /// What readers see: whole, until the next one is whole.
    current: ArcSwapOption<Snapshot>,
    /// An object could not be read: the copy is to be made anew.
    is_damaged: AtomicBool,
    /// One refresh at a time.
    writing: Mutex<Writing>,
    /// Held while the copy is ours to write.
    _lock: File,
}

/// What a refresh works with.
struct Writing {
    objects: Objects,
    obsolete: ObsoletePacks,
    last_rebuild: Option<Instant>,
}

impl IndexCopy {
    /// Opens the copy below `data_dir`, or makes an empty one; what a killed process left behind is removed, and so is a copy
    /// of another `origin`, the repository's address.
    ///
    /// # Errors
    /// `config` where the folder cannot be written, or another process serves from it.
    pub async fn open(data_dir: &Path, branch: &str, origin: &str) -> Result<Self> {
        let (data_dir, branch, origin) =
            (data_dir.to_owned(), branch.to_owned(), origin.to_owned());
        blocking(move || Self::open_blocking(&data_dir, &branch, &origin)).await
    }

    fn open_blocking(data_dir: &Path, branch: &str, origin: &str) -> Result<Self> {
        fs::create_dir_all(data_dir).map_err(|e| unwritable(data_dir).because(e))?;
        let lock = lock(data_dir)?;
        let repository = Repository::new(data_dir.join("index.git"), branch);
        repository.recover()?;
        repository.prepare(origin)?;
        let objects = Objects::open(&repository.objects())?;
        let found = look(&repository, &objects);
        if let Err(error) = &found {
            let causes = error.causes().join(": ");
            warn!("the copy of the index cannot be read and is fetched anew: {error} {causes}");
        }
        Ok(Self {
            repository,
            origin: origin.to_owned(),
            is_damaged: AtomicBool::new(found.is_err()),
            current: ArcSwapOption::new(found.ok().flatten().map(Arc::new)),
            writing: Mutex::new(Writing {
                objects,
                obsolete: ObsoletePacks::default(),
                last_rebuild: None,
            }),
            _lock: lock,
        })
    }

    /// Opens a copy that another process may be writing, to read what it holds now.
    ///
    /// # Errors
    /// `config` where there is none yet.
    pub fn read_only(data_dir: &Path, branch: &str) -> Result<Arc<Snapshot>> {
        let repository = Repository::new(data_dir.join("index.git"), branch);
        let missing = || {
            let place = repository.path().display();
            Error::new(Kind::Config, format!("there is no copy of the index in {place} yet"))
                .advise("Wait for the server's first look at the index, or stop it: then this command fetches it.")
        };
        if !repository.objects().is_dir() {
            return Err(missing());
        }
        let objects = Objects::open(&repository.objects())?;
        look(&repository, &objects)?
            .map(Arc::new)
            .ok_or_else(missing)
    }

    /// Returns what the copy holds; `None` before the first refresh.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Takes in that an object could not be read; says whether nobody knew. The next refresh makes the copy anew, beside the
    /// damaged one, of which readers keep whatever can be read.
    pub fn report_damage(&self) -> bool {
        !self.is_damaged.swap(true, Ordering::Relaxed)
    }

    /// Brings the copy to where the branch is: the first time with one fetch of depth 1, then with what changed.
    ///
    /// # Errors
    /// As the conversation goes; `network` where it takes longer than `limit`; `config` where the disk refuses. The copy then
    /// stays as it was.
    pub async fn refresh(&self, remote: &Remote, branch: &str, limit: Duration) -> Result<()> {
        let mut writing = self.writing.lock().await;
        writing.obsolete.remove();
        let rebuilt = writing.last_rebuild;
        let may_rebuild = rebuilt.is_none_or(|at| at.elapsed() > BETWEEN_REBUILDS);
        if self.is_damaged.load(Ordering::Relaxed) && may_rebuild {
            writing.last_rebuild = Some(Instant::now());
            let rebuilt = self.rebuild(remote, branch, limit).await?;
            writing.objects = rebuilt.objects().clone();
            self.show(&mut writing, rebuilt);
            self.is_damaged.store(false, Ordering::Relaxed);
            return Ok(());
        }
        let (repository, before) = (&self.repository, self.snapshot());
        let fetching = self.fetch(remote, branch, repository, &writing.objects, before);
        if let Some(after) = within(limit, fetching).await? {
            self.show(&mut writing, after);
        }
        Ok(())
    }

    fn show(&self, writing: &mut Writing, after: Snapshot) {
        let before = self.current.swap(Some(Arc::new(after)));
        writing.obsolete.note_reader(before.as_ref());
    }

    /// Makes a whole copy beside the damaged one, and puts it in its place.
    async fn rebuild(&self, remote: &Remote, branch: &str, limit: Duration) -> Result<Snapshot> {
        let beside = self.repository.beside();
        let (place, origin) = (beside.clone(), self.origin.clone());
        let objects = blocking(move || {
            place.remove()?;
            place.prepare(&origin)?;
            Objects::open(&place.objects())
        })
        .await?;
        let fetching = self.fetch(remote, branch, &beside, &objects, None);
        within(limit, fetching).await?;
        let repository = self.repository.clone();
        blocking(move || {
            repository.take_place_of(&beside)?;
            let objects = Objects::open(&repository.objects())?;
            let lost = || Error::new(Kind::Server, "the copy that was made anew is not there");
            look(&repository, &objects)?.ok_or_else(lost)
        })
        .await
    }

    /// Makes many packs one, or those of which much is no longer needed.
    ///
    /// # Errors
    /// `server` or `config` where that fails; the copy then stays as it was.
    pub async fn tidy(&self) -> Result<()> {
        let mut writing = self.writing.lock().await;
        let Some(tip) = self.snapshot().map(|snapshot| snapshot.commit()) else {
            return Ok(());
        };
        let packs = self.repository.packs();
        if !compact::is_due(&packs) {
            return Ok(());
        }
        let (repository, objects) = (self.repository.clone(), writing.objects.clone());
        let made = blocking(move || compact::into_one(&repository, &objects, tip)).await?;
        info!("the copy's {} packs are one again", packs.len());
        let old = packs.into_iter().filter(|pack| *pack != made);
        writing.obsolete.add(old);
        Ok(())
    }
}

/// Bounds what servers are waited for.
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        let text = format!("the index could not be fetched within {limit} (network.timeout)");
        Err(Error::new(Kind::Network, text))
    })
}

/// Reads where the branch is and that its tree is there.
fn look(repository: &Repository, objects: &Objects) -> Result<Option<Snapshot>> {
    let Some(tip) = repository.branch()? else {
        return Ok(None);
    };
    let commit = Commit::parse(&objects.read(tip)?)?;
    Snapshot::after(None, tip, &commit, objects.clone()).map(Some)
}

fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(|e| unwritable(&path).because(e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(error) => Err(Error::new(
            Kind::Config,
            format!("another process serves from {}", data_dir.display()),
        )
        .because(std::io::Error::from(error))
        .advise("Stop it, or give this one a serve.data_dir of its own.")),
    }
}

/// Says whether somebody serves from this folder.
pub fn is_in_use(data_dir: &Path) -> bool {
    let file = File::open(data_dir.join("lock"));
    file.is_ok_and(|file| file.try_lock_shared().is_err())
}

fn unwritable(path: &Path) -> Error {
    Error::new(Kind::Config, format!("cannot write {}", path.display()))
        .advise("serve.data_dir must be a folder that this user may write.")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let broken = |error| Error::new(Kind::Server, "work on the copy broke off").because(error);
    spawn_blocking(work).await.map_err(broken)?
}
