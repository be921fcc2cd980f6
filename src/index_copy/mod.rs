//! The server's own copy of an index repository: bare, shallow, of one branch, brought up to date by thin increments.
//!
//! ```text
//! index.git/
//!   HEAD, config, refs/heads/BRANCH, shallow
//!   objects/pack/pack-….{pack,idx}     one for the first fetch, one for each increment, until they are made one again
//! ```
//!
//! The branch moves last: a process that is killed leaves objects that nobody refers to, which the next start removes.

mod compact;
mod folder;
mod objects;
mod receive;
mod snapshot;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use crate::ObjectId;
use crate::error::{Error, Kind, Result};
use crate::objects::Commit;
use crate::transport::{Remote, UploadPack};
use crate::wire::upload_pack::Fetch;
use folder::Folder;
use objects::Objects;
pub use snapshot::Snapshot;

/// From this many packs on they are made one.
const MANY_PACKS: usize = 64;

/// A copy of one branch of an index repository.
pub struct IndexCopy {
    folder: Folder,
    /// What readers see: whole, until the next one is whole.
    current: ArcSwapOption<Snapshot>,
    /// One refresh at a time.
    writing: Mutex<Writing>,
    /// Held while the copy is ours to write.
    _lock: File,
}

/// What a refresh works with.
struct Writing {
    objects: Objects,
    /// Packs that nobody needs from the next refresh on.
    unneeded: Vec<PathBuf>,
}

/// What a refresh came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// The branch is where it was.
    Unchanged,
    /// The branch moved, and the copy with it.
    Moved,
}

impl IndexCopy {
    /// Opens the copy below `data_dir`, or makes an empty one; what a killed process left behind is removed.
    ///
    /// # Errors
    /// `config` where the folder cannot be written, or another process serves from it.
    pub async fn open(data_dir: &Path, branch: &str, origin: &str) -> Result<Self> {
        let (data_dir, branch, origin) =
            (data_dir.to_owned(), branch.to_owned(), origin.to_owned());
        spawn_blocking(move || Self::open_blocking(&data_dir, &branch, &origin))
            .await
            .map_err(|error| {
                Error::new(Kind::Server, "opening the copy broke off").because(error)
            })?
    }

    fn open_blocking(data_dir: &Path, branch: &str, origin: &str) -> Result<Self> {
        fs::create_dir_all(data_dir).map_err(|e| unwritable(data_dir).because(e))?;
        let lock = lock(data_dir)?;
        let folder = Folder::new(data_dir.join("index.git"), branch);
        folder.prepare(origin)?;
        let mut objects = Objects::open(&folder.objects())?;
        let current = match look(&folder, &objects) {
            Ok(found) => found,
            Err(error) => {
                let causes = error.causes().join(": ");
                warn!("the copy of the index cannot be read and is fetched anew: {error} {causes}");
                folder.remove()?;
                folder.prepare(origin)?;
                objects = Objects::open(&folder.objects())?;
                None
            }
        };
        Ok(Self {
            folder,
            current: ArcSwapOption::new(current.map(Arc::new)),
            writing: Mutex::new(Writing {
                objects,
                unneeded: Vec::new(),
            }),
            _lock: lock,
        })
    }

    /// Opens a copy that another process may be writing, to read what it holds now.
    ///
    /// # Errors
    /// `config` where there is none yet.
    pub fn read_only(data_dir: &Path, branch: &str) -> Result<Arc<Snapshot>> {
        let folder = Folder::new(data_dir.join("index.git"), branch);
        let missing = || {
            let place = folder.path().display();
            Error::new(Kind::Config, format!("there is no copy of the index in {place} yet"))
                .advise("Wait for the server's first look at the index, or stop it: then this command fetches it.")
        };
        if !folder.objects().is_dir() {
            return Err(missing());
        }
        let objects = Objects::open(&folder.objects())?;
        look(&folder, &objects)?.map(Arc::new).ok_or_else(missing)
    }

    /// Returns what the copy holds; `None` before the first refresh.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Brings the copy to where the branch is: the first time with one fetch of depth 1, then with what changed.
    ///
    /// # Errors
    /// As the conversation goes; `config` where the disk refuses. The copy then stays as it was.
    pub async fn refresh(&self, remote: &Remote, branch: &str) -> Result<Refreshed> {
        let mut writing = self.writing.lock().await;
        for path in writing.unneeded.drain(..) {
            // What stays is removed by the next start.
            let _ = fs::remove_file(path);
        }
        self.follow(&mut writing, remote, branch, self.snapshot())
            .await
    }

    /// Makes the copy anew, where it turned out damaged. Readers keep what they have until then.
    ///
    /// # Errors
    /// As [`IndexCopy::refresh`].
    pub async fn rebuild(&self, remote: &Remote, branch: &str) -> Result<Refreshed> {
        let mut writing = self.writing.lock().await;
        let folder = self.folder.clone();
        let origin = remote.to_string();
        writing.objects = blocking(move || {
            folder.remove()?;
            folder.prepare(&origin)?;
            Objects::open(&folder.objects())
        })
        .await?;
        self.follow(&mut writing, remote, branch, None).await
    }

    async fn follow(
        &self,
        writing: &mut Writing,
        remote: &Remote,
        branch: &str,
        before: Option<Arc<Snapshot>>,
    ) -> Result<Refreshed> {
        let mut server = UploadPack::open(remote).await?;
        let reference = format!("refs/heads/{branch}");
        let refs = server.refs(&reference).await?;
        let tip = refs.branches.get(&reference).copied().ok_or_else(|| {
            Error::new(Kind::Config, format!("{remote}: it has no branch {branch}"))
                .advise("Set serve.index and serve.branch to a repository that holds the index.")
        })?;
        if before.as_ref().is_some_and(|before| before.commit() == tip) {
            return Ok(Refreshed::Unchanged);
        }
        let held: Vec<ObjectId> = before.iter().map(|before| before.commit()).collect();
        let fetch = Fetch {
            wants: vec![tip],
            thin: !held.is_empty(),
            shallow: held.clone(),
            haves: held,
            deepen: Some(1),
            done: true,
            ..Fetch::default()
        };
        let answer = server.fetch(&fetch).await?;
        if answer.pack_follows {
            let received = receive::receive(&mut server, &self.folder, &writing.objects).await?;
            debug!("{remote}: {received} objects for {}", tip.short());
        }
        let after = self.advance(&writing.objects, before, tip).await?;
        self.current.store(Some(Arc::new(after)));
        writing.unneeded = self.compact(&writing.objects, tip).await;
        Ok(Refreshed::Moved)
    }

    /// Makes the tree of the new tip readable and then moves the branch.
    async fn advance(
        &self,
        objects: &Objects,
        before: Option<Arc<Snapshot>>,
        tip: ObjectId,
    ) -> Result<Snapshot> {
        let (folder, objects) = (self.folder.clone(), objects.clone());
        blocking(move || {
            let commit = Commit::parse(&objects.read(tip)?)?;
            let after = Snapshot::after(before.as_deref(), tip, &commit, objects)?;
            folder.move_branch(tip)?;
            Ok(after)
        })
        .await
    }

    /// Makes many packs one; returns those that nobody needs any longer.
    async fn compact(&self, objects: &Objects, tip: ObjectId) -> Vec<PathBuf> {
        let packs = self.folder.packs();
        if packs.len() < MANY_PACKS {
            return Vec::new();
        }
        let (folder, objects) = (self.folder.clone(), objects.clone());
        match blocking(move || compact::into_one(&folder, &objects, tip)).await {
            Ok(made) => {
                info!("the copy's {} packs are one again", packs.len());
                let old = packs.into_iter().filter(|pack| *pack != made);
                old.flat_map(|pack| [pack.with_extension("idx"), pack])
                    .collect()
            }
            Err(error) => {
                let causes = error.causes().join(": ");
                warn!("the copy's packs could not be made one: {error} {causes}");
                Vec::new()
            }
        }
    }
}

/// Reads where the branch is and that its tree is there.
fn look(folder: &Folder, objects: &Objects) -> Result<Option<Snapshot>> {
    let Some(tip) = folder.branch()? else {
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
