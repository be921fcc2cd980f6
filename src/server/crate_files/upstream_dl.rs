//! Where upstream serves crate files: `serve.dl`, else the `dl` of upstream's own `config.json`.
//!
//! crates.io may move its downloads by a commit to its index, so the `dl` is read again every hour. Requests never wait
//! for that once one is known: the old one is used meanwhile.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};
use url::Url;

use super::receive::finish;
use super::unavailable::Unavailable;
use crate::config::{self, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::git::branch_ref;
use crate::git::transport::UploadPack;
use crate::git::transport::by_id::file_at_root;
use crate::index::config_json::{CONFIG_JSON, points_to};
use crate::server::store::Scratch;

/// How long after a success upstream is asked again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long after a failure upstream is asked again, if no `dl` is known.
const FAILED: Duration = Duration::from_secs(10);
/// How long after a failure upstream is asked again, if an older `dl` is known.
const LATER: Duration = Duration::from_secs(60);

/// The `dl`, fetched when it is first needed. A known one is returned at once, and refreshed in the background.
pub(super) struct UpstreamDl(Arc<Inner>);

struct Inner {
    config: ServeConfig,
    /// Upstream's last `config.json`, for the next start.
    saved: PathBuf,
    scratch: Scratch,
    known: Mutex<Known>,
    /// Locked during a request to upstream: one at a time.
    requesting: Arc<tokio::sync::Mutex<()>>,
    runtime: Handle,
}

/// What is known of the `dl`.
#[derive(Default)]
struct Known {
    dl: Option<String>,
    /// Why the last request failed.
    failure: Option<Unavailable>,
    /// When upstream is asked again.
    until: Option<Instant>,
}

impl Known {
    fn is_fresh(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns what is known without a request.
    fn current(&self) -> Option<Result<String, Unavailable>> {
        match (&self.dl, &self.failure) {
            (Some(dl), _) => Some(Ok(dl.clone())),
            (None, Some(why)) if self.is_fresh() => Some(Err(why.clone())),
            _ => None,
        }
    }
}

impl UpstreamDl {
    /// # Errors
    /// `config` if `serve.dl` leads to this very server.
    pub(super) fn new(config: &ServeConfig, scratch: &Scratch) -> Result<Self> {
        if let Some(dl) = &config.serve.dl
            && leads_here(dl, config)
        {
            return Err(Error::new(
                Kind::Config,
                format!("serve.dl is {dl}, which is this server itself"),
            )
            .advise("Set `serve.dl` to where upstream serves crate files, or remove it: the default is the dl of upstream's config.json."));
        }
        let mut inner = Inner {
            saved: config.serve.data_dir.join(file_name(config)),
            config: config.clone(),
            scratch: scratch.clone(),
            known: Mutex::default(),
            requesting: Arc::default(),
            runtime: Handle::current(),
        };
        let dl = inner.load();
        let known = Known {
            dl,
            ..Known::default()
        };
        inner.known = Mutex::new(known);
        Ok(Self(Arc::new(inner)))
    }

    /// Returns the `dl`; waits for upstream only if none is known.
    pub(super) async fn get(&self) -> Result<String, Unavailable> {
        let inner = &self.0;
        if let Some(dl) = &inner.config.serve.dl {
            return Ok(dl.clone());
        }
        let (current, is_fresh) = {
            let known = inner.known();
            (known.current(), known.is_fresh())
        };
        if let Some(current) = current {
            if !is_fresh {
                inner.refresh();
            }
            return current;
        }
        let one_at_a_time = Arc::clone(&inner.requesting).lock_owned().await;
        // The request before ours may have fetched it.
        if let Some(current) = inner.known().current() {
            return current;
        }
        let this = Arc::clone(inner);
        // A task of its own, which goes on when the client has disconnected.
        let fetching = inner.runtime.spawn(async move {
            // The lock moved in with it: a client that disconnects must not let a second request begin beside this one.
            let fetched = this.fetch().await;
            drop(one_at_a_time);
            fetched
        });
        let fetched = fetching.await;
        fetched.unwrap_or_else(|error| Err(Unavailable::Upstream(error.to_string())))
    }
}

impl Inner {
    /// Fetches the `dl` in the background, unless that is under way.
    fn refresh(self: &Arc<Self>) {
        let Ok(one_at_a_time) = Arc::clone(&self.requesting).try_lock_owned() else {
            return;
        };
        let this = Arc::clone(self);
        self.runtime.spawn(async move {
            if let Err(why) = this.fetch().await {
                warn!("keeping the known dl: {why}");
            }
            drop(one_at_a_time);
        });
    }

    /// Fetches the `dl` from upstream; the known one stays if that fails.
    async fn fetch(&self) -> Result<String, Unavailable> {
        let fetched = self.read_upstream().await;
        if let Ok((dl, bytes)) = &fetched {
            info!("crate files come from {dl}");
            // The bytes as upstream sent them: the next start checks them as it would check upstream's answer.
            self.save(bytes.clone()).await;
        }
        let fetched = fetched.map(|(dl, _)| dl);
        let mut known = self.known();
        let lasts = match (&fetched, &known.dl) {
            (Ok(_), _) => FRESH,
            (Err(_), Some(_)) => LATER,
            (Err(_), None) => FAILED,
        };
        known.until = Some(Instant::now() + lasts);
        known.failure = fetched.as_ref().err().cloned();
        if let Ok(dl) = &fetched {
            known.dl = Some(dl.clone());
        }
        fetched
    }

    async fn read_upstream(&self) -> Result<(String, Vec<u8>), Unavailable> {
        let read = timeout(self.config.network.idle_timeout, self.read_config_json()).await;
        let bytes = match read {
            Ok(read) => read.map_err(|error| Unavailable::Upstream(error.to_string()))?,
            Err(_) => {
                let text = "upstream's config.json did not arrive in time";
                return Err(Unavailable::Timeout(text.to_owned()));
            }
        };
        let dl = self.dl_of(&bytes)?;
        Ok((dl, bytes))
    }

    /// Parses the `dl` of a `config.json`.
    fn dl_of(&self, bytes: &[u8]) -> Result<String, Unavailable> {
        // The message is about a mirror's config.json; its causes fit here as well.
        let unusable = |error: Error| {
            let why = error.causes().pop().unwrap_or_else(|| error.to_string());
            Unavailable::Upstream(format!("cannot use upstream's config.json: {why}"))
        };
        let dl = points_to(bytes).map_err(unusable)?.dl;
        let dl = config::dl(&dl).map_err(|why| {
            let text = format!("cannot use the dl of upstream's config.json: {why}");
            Unavailable::Upstream(text)
        })?;
        if leads_here(&dl, &self.config) {
            let text = format!(
                "the dl of upstream's config.json is {dl}, which is this server itself: set upstream.url to the index that the mirror is made from, or set serve.dl"
            );
            return Err(Unavailable::Upstream(text));
        }
        Ok(dl)
    }

    /// Loads what an earlier process saved.
    fn load(&self) -> Option<String> {
        let bytes = std::fs::read(&self.saved).ok()?;
        match self.dl_of(&bytes) {
            Ok(dl) => Some(dl),
            Err(why) => {
                warn!("ignoring {}: {why}", self.saved.display());
                None
            }
        }
    }

    /// Saves a `config.json` for the next start, whole or not at all.
    async fn save(&self, bytes: Vec<u8>) {
        let (scratch, path) = (self.scratch.clone(), self.saved.clone());
        let saving = spawn_blocking(move || {
            let mut file = scratch.file()?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)
        });
        let saved = saving.await.map_err(std::io::Error::other);
        if let Err(error) = saved.and_then(|saved| saved) {
            warn!("cannot write {}: {error}", self.saved.display());
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches `config.json` from the upstream index: the mirror's own leads to this server.
    async fn read_config_json(&self) -> Result<Vec<u8>> {
        let remote = self.config.upstream_remote()?;
        let reference = branch_ref(&self.config.upstream.branch);
        let (mut server, refs) = UploadPack::open_and_list(&remote, &reference).await?;
        let tip = refs.branches.get(&reference).copied();
        let missing = |what: &str| Error::new(Kind::Config, format!("{remote} has no {what}"));
        let tip = tip.ok_or_else(|| missing(&reference))?;
        let found = file_at_root(&mut server, tip, CONFIG_JSON).await?;
        found.ok_or_else(|| missing("config.json"))
    }
}

/// Returns the name of the file that holds the `config.json` of this upstream, and of no other.
fn file_name(config: &ServeConfig) -> String {
    let upstream = format!("{} {}", config.upstream.url, config.upstream.branch);
    let mut hash = Context::new(&SHA256);
    hash.update(upstream.as_bytes());
    let name = finish(hash).to_string();
    format!("upstream-config-{}.json", &name[..16])
}

/// Says whether a `dl` leads to the server of this configuration.
fn leads_here(dl: &str, config: &ServeConfig) -> bool {
    // Markers such as `{crate}` come after the host.
    let start: String = dl.split('{').next().unwrap_or_default().to_owned();
    let (Ok(dl), Ok(public)) = (Url::parse(&start), Url::parse(&config.public_url())) else {
        return false;
    };
    let listen = config.serve.listen;
    // Other names of this machine are not known here: `Via` finds such a loop with the first request.
    let is_local = dl.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host == listen.ip().to_string()
    });
    dl.origin() == public.origin() || is_local && dl.port_or_known_default() == Some(listen.port())
}
