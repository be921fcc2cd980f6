//! The registry of private crates, as the server runs it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Cursor;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::change::{Actor, Applied, Change, Names, Publish, name_in};
use super::draft::Draft;
use super::files::{PrivateFiles, checksum_of};
use super::index::PrivateIndex;
use super::line::line;
use super::manifest::{check_agreement, declared};
use super::owners::{self, Owners};
use super::publisher::{Publisher, Signature};
use super::refusal::{Failure, Refusal};
use super::request::{Upload, check_size};
use super::rules::{Checked, check};
use crate::bounded_cache::{Cache, Weighter, bounded};
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Author;
use crate::index::{CrateFile, CrateName, ReservedNames, entry, folded};
use crate::server::crate_archive::{CrateArchive, Manifest};
use crate::server::index_copy::Snapshot;

/// How old what is shown of the index may be, and how often it is looked at while somebody reads it.
const FRESH: Duration = Duration::from_millis(1500);
const POLL: Duration = Duration::from_secs(1);
/// How long after the last reader it is looked at.
const ACTIVE: Duration = Duration::from_secs(30);
/// How long a reader waits for a look.
const PATIENCE: Duration = Duration::from_secs(3);
/// How old a file is, at least, that is swept since no line names it.
const ORPHANED: Duration = Duration::from_secs(24 * 60 * 60);
/// How often that is done.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How many requests to publish are read at the same time: each is whole in memory.
const UPLOADS: usize = 8;
/// How many mebibytes files on their way to clients may take.
const MEMORY: u32 = 256;
/// How many bytes of crates' files are kept in memory, and how many one usually has.
const ENTRIES: u64 = 32 << 20;
const USUAL: u64 = 4 << 10;
/// How many descriptions are kept.
const DESCRIPTIONS: usize = 10_000;

/// The manifest, as cargo rewrote it.
const MANIFEST: &str = "Cargo.toml";

/// The registry of private crates.
pub struct PrivateRegistry {
    /// Its index.
    pub index: Arc<PrivateIndex>,
    /// Its files.
    pub files: PrivateFiles,
    publisher: Publisher,
    /// The names that may be published; empty where all may that the public index does not have.
    names: ReservedNames,
    /// The largest crate file, in bytes.
    pub max_size: u64,
    began: Instant,
    /// When somebody read the index last, in milliseconds since then.
    asked: AtomicU64,
    wanted: Notify,
    looked: watch::Sender<Option<Instant>>,
    looking: AsyncMutex<()>,
    /// How many requests to publish may be read at the same time.
    pub uploads: Semaphore,
    /// The memory for files on their way to clients, in mebibytes.
    memory: Arc<Semaphore>,
    /// Files of crates that were read, by their ids.
    entries: Cache<ObjectId, Bytes, ByLength>,
    /// What crates say of themselves, by the checksum of the version.
    descriptions: Mutex<HashMap<[u8; 32], Option<String>>>,
}

/// Weighs the file of a crate.
#[derive(Clone)]
struct ByLength;

impl Weighter<ObjectId, Bytes> for ByLength {
    fn weight(&self, _: &ObjectId, content: &Bytes) -> u64 {
        content.len() as u64 + KEY
    }
}

/// What an entry of a cache takes beside its content, in bytes.
const KEY: u64 = 100;

/// A version that keeps the rules, and whose crate file was read.
#[derive(Debug, Clone)]
pub struct Publishable {
    /// What it is.
    pub checked: Checked,
    /// Its crate file.
    pub file: CrateFile,
    /// The bytes of that.
    pub bytes: Bytes,
}

impl PrivateRegistry {
    /// Opens the registry, and starts the task that makes changes; `None` where none is configured.
    ///
    /// # Errors
    /// `config` if its folder, store, key or certificate cannot be used.
    pub async fn open(config: &ServeConfig) -> Result<Option<Self>> {
        let Some(index) = PrivateIndex::open(config).await? else {
            return Ok(None);
        };
        let index = Arc::new(index);
        let files = PrivateFiles::open(config)?;
        info!(
            "private crates: {}, files in {}",
            index.place(),
            files.place()
        );
        Ok(Some(Self {
            publisher: Publisher::start(Arc::clone(&index), signature(config)),
            index,
            files,
            names: ReservedNames::new(config.private.names.clone()),
            max_size: config.private.max_size,
            began: Instant::now(),
            asked: AtomicU64::new(0),
            wanted: Notify::new(),
            looked: watch::Sender::new(None),
            looking: AsyncMutex::default(),
            uploads: Semaphore::new(UPLOADS),
            memory: Arc::new(Semaphore::new(MEMORY as usize)),
            entries: bounded(ENTRIES, USUAL, ByLength),
            descriptions: Mutex::default(),
        }))
    }

    /// Looks at the repository once, and then while somebody reads the index.
    pub async fn keep_fresh(&self) -> Infallible {
        let mut last_failure = None;
        loop {
            // A push has just shown where the branch is.
            let is_known = self
                .index
                .seen()
                .is_some_and(|seen| seen.elapsed() < POLL / 2);
            let looked = match is_known {
                true => Ok(()),
                false => self.index.refresh().await,
            };
            match looked {
                Ok(()) => {
                    if last_failure.take().is_some() {
                        info!("the private index can be fetched again");
                    }
                }
                Err(error) => {
                    let advice = error.advice().map(|advice| format!(" ({advice})"));
                    let text = format!("{}{}", error.chain(), advice.unwrap_or_default());
                    if last_failure.as_ref() != Some(&text) {
                        warn!("cannot fetch the private index: [{}] {text}", error.kind());
                    }
                    last_failure = Some(text);
                }
            }
            self.looked.send_replace(Some(Instant::now()));
            self.index.tidy().await;
            let idle =
                self.began.elapsed() - Duration::from_millis(self.asked.load(Ordering::Relaxed));
            match idle < ACTIVE {
                true => {
                    let _ = timeout(POLL, self.wanted.notified()).await;
                }
                false => self.wanted.notified().await,
            }
        }
    }

    /// Says whether the repository was looked at not long ago, and notes that somebody reads the index.
    pub fn is_fresh(&self) -> bool {
        let now = self.began.elapsed().as_millis();
        self.asked
            .store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < FRESH);
        is_recent(self.index.seen()) || is_recent(*self.looked.borrow())
    }

    /// Returns a file of a crate that was read before.
    pub fn kept(&self, id: ObjectId) -> Option<Bytes> {
        self.entries.get(&id)
    }

    /// Keeps a file of a crate that was read.
    pub fn keep(&self, id: ObjectId, content: &Bytes) {
        self.entries.insert(id, content.clone());
    }

    /// Waits until the repository was looked at not long ago, as it mostly was; not for long where it cannot be reached.
    pub async fn fresh(&self) {
        if self.is_fresh() {
            return;
        }
        let mut looked = self.looked.subscribe();
        looked.mark_unchanged();
        self.wanted.notify_one();
        // The sender is in `self`.
        let _ = timeout(PATIENCE, looked.changed()).await;
    }

    /// Waits until the repository was looked at after this was called: for what another server may just have published. Not for long
    /// where it cannot be reached.
    pub async fn look(&self) {
        let began = Instant::now();
        let looking = async {
            // One at a time: who waited for another one's look may need none.
            let _turn = self.looking.lock().await;
            if self.index.seen() < Some(began)
                && let Err(error) = self.index.refresh().await
            {
                debug!("the private index cannot be fetched: {}", error.chain());
            }
        };
        let _ = timeout(PATIENCE, looking).await;
    }

    /// Says whether a name may be published, and why not; `has_public` says whether the public index has a crate, by its path.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_name(
        &self,
        name: &CrateName,
        has_public: impl Fn(&str) -> Result<bool>,
    ) -> Result<Option<String>, Failure> {
        if self.names.is_empty() {
            return match public_like(name, has_public)? {
                None => Ok(None),
                Some(public) => {
                    let text = format!(
                        "the public index has a crate `{public}`: to publish `{name}` here, its name has to be in private.names, which \
                         keeps it from being taken from there"
                    );
                    Err(Refusal::forbidden(text).into())
                }
            };
        }
        if self.names.find(&folded(name.as_str())).is_none() {
            let patterns: Vec<_> = self
                .names
                .patterns()
                .iter()
                .map(ToString::to_string)
                .collect();
            let text = format!(
                "`{name}` is not one of the names that may be published here: {} (private.names)",
                patterns.join(", ")
            );
            return Err(Refusal::forbidden(text).into());
        }
        Ok(public_like(name, has_public)?.map(|public| {
            format!("the public index has a crate `{public}`: whoever uses it without naming this registry gets another crate")
        }))
    }

    /// Waits for so many mebibytes of memory; nothing is granted where the registry is gone.
    pub async fn memory(&self, mebibytes: u32) -> Option<OwnedSemaphorePermit> {
        let memory = Arc::clone(&self.memory);
        memory.acquire_many_owned(mebibytes.min(MEMORY)).await.ok()
    }

    /// Publishes a version: stores its file, and then adds its line.
    ///
    /// # Errors
    /// Why it was not published, or that it is not known whether it was.
    pub async fn publish(&self, publishable: Publishable, by: Actor) -> Result<(), Failure> {
        let Publishable {
            checked,
            file,
            bytes,
        } = publishable;
        let published = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let change = Change::Publish(Box::new(Publish {
            line: line(&checked, &file.checksum, &published, false),
            checksum: file.checksum,
            checked,
            by,
            owners: Vec::new(),
            is_import: false,
        }));
        self.check(change.clone()).await?;
        // Before the line: what the index names is there.
        self.files.put(&file, bytes.clone()).await?;
        self.publisher.make(change).await?;
        // A sweeper that listed the files long ago may have taken it for one that nobody needs. Whatever becomes of this, the version
        // is published.
        let stored = match self.files.has(&file).await {
            Ok(false) => self.files.put(&file, bytes).await,
            looked => looked.map(drop),
        };
        if let Err(error) = stored {
            warn!(
                "private crates: it is not known whether the file of {file} is stored: {}",
                error.chain()
            );
        }
        Ok(())
    }

    /// Makes a change.
    ///
    /// # Errors
    /// Why it was not made, or that it is not known whether it was.
    pub async fn make(&self, change: Change) -> Result<Applied, Failure> {
        Ok(self.publisher.make(change).await?)
    }

    /// Refuses early what the index would refuse: no file is stored for it. A refusal counts only by an index that was looked at
    /// since: another server may have published meanwhile what this one needs.
    async fn check(&self, change: Change) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let checked = self.check_once(change.clone()).await;
            if checked.is_ok() || self.index.seen() >= Some(began) {
                return checked;
            }
            self.index.refresh().await?;
        }
    }

    async fn check_once(&self, change: Change) -> Result<(), Failure> {
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(());
        };
        let checked = read(move || {
            let read = |id| snapshot.content(id);
            let tip = (snapshot.commit(), snapshot.tree(), snapshot.seconds());
            let mut draft = Draft::on(Some(tip), &read);
            // Without names: they are looked at by those who push.
            Ok(change.apply(&mut draft, &mut Names::default(), false))
        });
        checked.await?.map(drop)
    }

    /// Returns the file of a crate in the index, if it has one.
    ///
    /// # Errors
    /// If the index was not reached yet, or its copy is damaged.
    pub async fn lines(&self, name: &CrateName) -> Result<Option<Vec<u8>>> {
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(None);
        };
        let path = name.index_path();
        read(move || match snapshot.file(&path)? {
            Some(id) => snapshot.content(id).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// Returns the owners of a crate; `None` if there is no such crate.
    ///
    /// # Errors
    /// As [`PrivateRegistry::lines`].
    pub async fn owners(&self, name: &CrateName) -> Result<Option<Owners>> {
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(None);
        };
        let name = name.clone();
        read(move || {
            let read = |id| snapshot.content(id);
            let tip = (snapshot.commit(), snapshot.tree(), snapshot.seconds());
            let draft = Draft::on(Some(tip), &read);
            if draft.file(&name.index_path())?.is_none() {
                return Ok(None);
            }
            let listed = draft.file(&owners::path_of(&name))?;
            Ok(Some(Owners::parse(&listed.unwrap_or_default())))
        })
        .await
    }

    /// Finds the crates whose names have all these words, those whose names begin with them first.
    ///
    /// # Errors
    /// As [`PrivateRegistry::lines`].
    pub async fn search(&self, text: &str) -> Result<Vec<CrateName>> {
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(Vec::new());
        };
        let words: Vec<_> = text.split_whitespace().map(folded).collect();
        read(move || {
            let mut found: Vec<_> = snapshot.crates()?;
            let has_all = |name: &CrateName| {
                let name = folded(name.as_str());
                words.iter().all(|word| name.contains(word.as_str()))
            };
            found.retain(has_all);
            let rank = |name: &CrateName| {
                let first = words.first().map_or("", String::as_str);
                let folded = folded(name.as_str());
                (folded != first, !folded.starts_with(first), folded)
            };
            found.sort_by_cached_key(rank);
            Ok(found)
        })
        .await
    }

    /// Returns what a version says of itself, as far as its crate file can be read.
    pub async fn description(&self, file: &CrateFile) -> Option<String> {
        let key = *file.checksum.as_bytes();
        let known = || {
            self.descriptions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(description) = known().get(&key) {
            return description.clone();
        }
        let bytes = self.files.get(file).await.ok()?;
        let (name, version) = (file.name.clone(), file.version.clone());
        let reading = spawn_blocking(move || {
            let mut archive = CrateArchive::new(Cursor::new(bytes), &name, &version);
            archive
                .manifest()
                .ok()
                .and_then(|manifest: Manifest| manifest.description)
        });
        let description = reading.await.ok()?;
        let mut known = known();
        if known.len() >= DESCRIPTIONS {
            known.clear();
        }
        known.insert(key, description.clone());
        description
    }

    /// Sweeps the files that no line names, for ever.
    pub async fn keep_swept(&self) -> Infallible {
        loop {
            match self.sweep(SystemTime::now()).await {
                Ok(0) => {}
                Ok(swept) => {
                    let files = counted(swept, "file");
                    info!("private crates: {files} removed that no line of the index names");
                }
                Err(error) => warn!(
                    "private crates: files that no line names were not swept: {}",
                    error.chain()
                ),
            }
            sleep(SWEEP_EVERY).await;
        }
    }

    /// Removes the files that are older than a day, and that no line of the index names as it is now; returns how many.
    async fn sweep(&self, now: SystemTime) -> Result<usize> {
        let is_old = |modified: SystemTime| {
            now.duration_since(modified)
                .is_ok_and(|age| age >= ORPHANED)
        };
        let mut old = self.files.list().await?;
        // What has no path of ours is somebody else's.
        old.retain(|stored| stored.file.is_some() && is_old(stored.modified));
        if old.is_empty() {
            return Ok(0);
        }
        // After the listing: what was published before that is named by then, and what comes later is younger.
        self.index.refresh().await?;
        // A repository without a commit is one that was just replaced or mistyped: no reason to remove all there is.
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(0);
        };
        let orphans = read(move || {
            let mut orphans = Vec::new();
            for stored in old {
                if let Some(file) = &stored.file
                    && !is_named(&snapshot, file)?
                {
                    orphans.push(stored);
                }
            }
            Ok(orphans)
        })
        .await?;
        let mut swept = 0;
        for orphan in orphans {
            swept += usize::from(
                self.files
                    .remove_if_older(&orphan.path, now - ORPHANED)
                    .await?,
            );
        }
        Ok(swept)
    }
}

/// Says whether a line of the index names a file.
pub fn is_named(snapshot: &Snapshot, file: &CrateFile) -> Result<bool> {
    let Some(id) = snapshot.file(&file.name.index_path())? else {
        return Ok(false);
    };
    let content = snapshot.content(id)?;
    Ok(entry::versions(&content).any(|listed| listed.file == *file))
}

/// Reads an upload: what it says, and what is in its crate file.
///
/// # Errors
/// The rule that it breaks.
pub fn read_upload(upload: Upload, max_size: u64) -> Result<Publishable, Refusal> {
    check_size(upload.file.len() as u64, max_size)?;
    let checked = check(upload.metadata)?;
    let manifest = manifest_of(&upload.file, &checked.name, &checked.version)?;
    check_agreement(&checked, &declared(&manifest)?)?;
    let file = CrateFile {
        name: checked.name.clone(),
        version: checked.version.clone(),
        checksum: checksum_of(&upload.file),
    };
    Ok(Publishable {
        checked,
        file,
        bytes: upload.file,
    })
}

/// Reads a crate file to its end, within bounds, and returns its manifest.
///
/// # Errors
/// What is wrong with it.
pub fn manifest_of(
    bytes: &Bytes,
    name: &CrateName,
    version: &crate::index::CrateVersion,
) -> Result<Vec<u8>, Refusal> {
    let wrong = |why: &dyn std::fmt::Display| {
        Refusal::invalid(format!("the crate file cannot be taken: {why}"))
    };
    let mut archive = CrateArchive::new(Cursor::new(bytes), name, version);
    let mut kept = archive
        .contents(&[MANIFEST])
        .map_err(|error| wrong(&error))?;
    let manifest = kept
        .remove(MANIFEST)
        .ok_or_else(|| wrong(&"there is no Cargo.toml in it"))?;
    // Its bounds are those of what is shown of it later.
    Manifest::parse(&manifest.bytes).map_err(|error| wrong(&error))?;
    Ok(manifest.bytes)
}

/// Finds a crate of the public index that looks like this one.
fn public_like(name: &CrateName, has: impl Fn(&str) -> Result<bool>) -> Result<Option<String>> {
    /// The most separators of a name that are varied: of more, the spellings with either of them alone are looked for.
    const VARIED: usize = 10;
    let name = name.as_str().to_ascii_lowercase();
    let places: Vec<_> = name.match_indices(['-', '_']).map(|(at, _)| at).collect();
    let spellings: Vec<String> = match places.len() {
        0..=VARIED => (0..1_u32 << places.len())
            .map(|bits| spelled(&name, &places, bits))
            .collect(),
        _ => vec![name.clone(), name.replace('-', "_"), name.replace('_', "-")],
    };
    for spelling in spellings {
        let Ok(spelling) = CrateName::new(&spelling) else {
            continue;
        };
        if has(&spelling.index_path())? {
            return Ok(Some(spelling.to_string()));
        }
    }
    Ok(None)
}

/// Writes a name with `-` where a bit is set, and with `_` where not.
fn spelled(name: &str, places: &[usize], bits: u32) -> String {
    let mut letters = name.as_bytes().to_vec();
    for (number, place) in places.iter().enumerate() {
        letters[*place] = if bits >> number & 1 == 1 { b'-' } else { b'_' };
    }
    String::from_utf8(letters).unwrap_or_default()
}

/// Returns what commits are made with.
pub fn signature(config: &ServeConfig) -> Signature {
    let address = config.public_url();
    Signature {
        committer: Author {
            name: "crates-ferry".to_owned(),
            email: "crates-ferry@localhost".to_owned(),
        },
        config_json: config_json(&address).into_bytes(),
    }
}

/// Makes the `config.json` of the registry of a server at this address.
pub fn config_json(address: &str) -> String {
    let json = serde_json::json!({
        "dl": format!("{address}/private/api/v1/crates"),
        "api": format!("{address}/private"),
        "auth-required": true,
    });
    format!("{json}\n")
}

/// Returns the name of a crate as its file has it.
pub fn name_of(content: &[u8]) -> Option<CrateName> {
    CrateName::new(name_in(content)?).ok()
}

/// Reads on a thread that may wait for the disk.
async fn read<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let panicked = |error| {
        Error::new(
            Kind::Server,
            "the thread that reads the private index failed",
        )
        .because(error)
    };
    spawn_blocking(work).await.map_err(panicked)?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// Makes the body of a request with a crate file.
    fn body(name: &str, version: &str, manifest: &str) -> Vec<u8> {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(encoder);
        let mut header = tar::Header::new_gnu();
        header.set_size(manifest.len() as u64);
        let path = format!("{name}-{version}/Cargo.toml");
        archive
            .append_data(&mut header, path, manifest.as_bytes())
            .unwrap();
        let file = archive.into_inner().unwrap().finish().unwrap();
        let json = serde_json::json!({ "name": name, "vers": version }).to_string();
        let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        [
            &length(json.as_bytes())[..],
            json.as_bytes(),
            &length(&file),
            &file,
        ]
        .concat()
    }

    fn read(body: Vec<u8>) -> Result<Publishable, Refusal> {
        const LARGEST: u64 = 1 << 20;
        read_upload(
            crate::server::private::request::parse(body.into(), LARGEST)?,
            LARGEST,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn bytes_that_changed_on_their_way_are_refused_or_harmless(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut body = body("foo", "1.0.0", "[package]\nname = \"foo\"\nversion = \"1.0.0\"\n");
            let right = read(body.clone()).unwrap();
            for (place, byte) in places {
                let place = place.index(body.len());
                body[place] = byte;
            }
            // A field of the archive that nobody reads may differ, and then the checksum does.
            if let Ok(read) = read(body) {
                prop_assert_eq!(read.checked.name, right.checked.name);
                prop_assert_eq!(checksum_of(&read.bytes), read.file.checksum);
            }
        }
    }

    #[test]
    fn each_spelling_of_a_public_name_is_found() {
        let has = |path: &str| Ok(path == "se/rd/serde_json-core");
        let found = |name: &str| public_like(&CrateName::new(name).unwrap(), has).unwrap();
        for name in ["serde_json-core", "serde-json-core", "Serde_JSON_core"] {
            assert_eq!(found(name).as_deref(), Some("serde_json-core"), "{name}");
        }
        assert_eq!(found("serde-json"), None);
        assert_eq!(found(&"a-".repeat(30)), None);
    }
}
