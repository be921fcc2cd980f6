//! Where upstream keeps crate files: `serve.dl`, else the `dl` of upstream's own `config.json`.

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
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::branch_ref;
use crate::git::transport::UploadPack;
use crate::git::transport::by_id::file_at_root;
use crate::index::config_json::{CONFIG_JSON, points_to};
use crate::server::store::Scratch;

/// How long a `dl` is used until upstream is asked again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a failure is believed, where nothing is known.
const FAILED: Duration = Duration::from_secs(10);
/// How long upstream is left alone after a failure, where something is known.
const LATER: Duration = Duration::from_secs(60);

/// The `dl`, learned when it is first needed. One that is known is used at once, and upstream is asked behind it.
pub(super) struct UpstreamDl(Arc<Learning>);

struct Learning {
    config: ServeConfig,
    /// What upstream's `config.json` said last, for the next start.
    kept: PathBuf,
    scratch: Scratch,
    known: Mutex<Known>,
    /// VerifiedFile while upstream is asked.
    asking: Arc<tokio::sync::Mutex<()>>,
    runtime: Handle,
}

/// What is known.
#[derive(Default)]
struct Known {
    dl: Option<String>,
    /// Why it could not be learned last.
    failure: Option<Unavailable>,
    /// Until when upstream is not asked again.
    until: Option<Instant>,
}

impl Known {
    fn is_fresh(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns what can be said without asking.
    fn answer(&self) -> Option<Result<String, Unavailable>> {
        match (&self.dl, &self.failure) {
            (Some(dl), _) => Some(Ok(dl.clone())),
            (None, Some(why)) if self.is_fresh() => Some(Err(why.clone())),
            _ => None,
        }
    }
}

impl UpstreamDl {
    /// # Errors
    /// `config` where `serve.dl` leads to this very server.
    pub(super) fn new(config: &ServeConfig, scratch: &Scratch) -> Result<Self> {
        if let Some(dl) = &config.serve.dl
            && leads_here(dl, config)
        {
            return Err(Error::new(
                Kind::Config,
                format!("serve.dl is {dl}, which is this server itself"),
            )
            .advise("Set it to where upstream keeps its crate files, or leave it out: upstream's config.json says so."));
        }
        let mut learning = Learning {
            kept: config.serve.data_dir.join(kept_as(config)),
            config: config.clone(),
            scratch: scratch.clone(),
            known: Mutex::default(),
            asking: Arc::default(),
            runtime: Handle::current(),
        };
        let dl = learning.remembered();
        let known = Known {
            dl,
            ..Known::default()
        };
        learning.known = Mutex::new(known);
        Ok(Self(Arc::new(learning)))
    }

    /// Returns it; waits for upstream only where nothing is known.
    pub(super) async fn get(&self) -> Result<String, Unavailable> {
        let learning = &self.0;
        if let Some(dl) = &learning.config.serve.dl {
            return Ok(dl.clone());
        }
        let (answer, is_fresh) = {
            let known = learning.known();
            (known.answer(), known.is_fresh())
        };
        if let Some(answer) = answer {
            if !is_fresh {
                learning.refresh();
            }
            return answer;
        }
        let one_at_a_time = Arc::clone(&learning.asking).lock_owned().await;
        // Whoever was before us may have learned it.
        if let Some(answer) = learning.known().answer() {
            return answer;
        }
        let asking = Arc::clone(learning);
        // Goes on when whoever asked has gone.
        let learned = learning.runtime.spawn(async move {
            let learned = asking.learn().await;
            drop(one_at_a_time);
            learned
        });
        let learned = learned.await;
        learned.unwrap_or_else(|error| Err(Unavailable::Upstream(error.to_string())))
    }
}

impl Learning {
    /// Asks upstream while others use what is known.
    fn refresh(self: &Arc<Self>) {
        let Ok(one_at_a_time) = Arc::clone(&self.asking).try_lock_owned() else {
            return;
        };
        let learning = Arc::clone(self);
        self.runtime.spawn(async move {
            if let Err(why) = learning.learn().await {
                warn!("the known dl is used further: {why}");
            }
            drop(one_at_a_time);
        });
    }

    /// Asks upstream and remembers what it says; what is known stays where that is no good.
    async fn learn(&self) -> Result<String, Unavailable> {
        let learned = self.read_upstream().await;
        if let Ok((dl, bytes)) = &learned {
            info!("crate files come from {dl}");
            self.keep(bytes.clone()).await;
        }
        let learned = learned.map(|(dl, _)| dl);
        let mut known = self.known();
        let lasts = match (&learned, &known.dl) {
            (Ok(_), _) => FRESH,
            (Err(_), Some(_)) => LATER,
            (Err(_), None) => FAILED,
        };
        known.until = Some(Instant::now() + lasts);
        known.failure = learned.as_ref().err().cloned();
        if let Ok(dl) = &learned {
            known.dl = Some(dl.clone());
        }
        learned
    }

    async fn read_upstream(&self) -> Result<(String, Vec<u8>), Unavailable> {
        let asked = timeout(self.config.network.idle_timeout, self.ask()).await;
        let bytes = match asked {
            Ok(asked) => asked.map_err(|error| Unavailable::Upstream(error.to_string()))?,
            Err(_) => {
                let text = "upstream's config.json could not be read in time";
                return Err(Unavailable::Slow(text.to_owned()));
            }
        };
        let dl = self.dl_of(&bytes)?;
        Ok((dl, bytes))
    }

    /// Reads the `dl` off a `config.json`.
    fn dl_of(&self, bytes: &[u8]) -> Result<String, Unavailable> {
        // It speaks of a mirror's; the cause is the same.
        let useless = |error: Error| {
            let why = error.causes().join(": ");
            Unavailable::Upstream(format!("upstream's config.json cannot be used: {why}"))
        };
        let dl = points_to(bytes).map_err(useless)?.dl;
        if leads_here(&dl, &self.config) {
            let text = format!(
                "upstream's config.json says dl is {dl}, which is this server itself: set upstream.url to the index that the mirror is made from, or serve.dl"
            );
            return Err(Unavailable::Upstream(text));
        }
        Ok(dl)
    }

    /// Returns what an earlier process learned.
    fn remembered(&self) -> Option<String> {
        let bytes = std::fs::read(&self.kept).ok()?;
        match self.dl_of(&bytes) {
            Ok(dl) => Some(dl),
            Err(why) => {
                warn!("{} is of no use: {why}", self.kept.display());
                None
            }
        }
    }

    /// Writes it down for the next start, whole or not at all.
    async fn keep(&self, bytes: Vec<u8>) {
        let (scratch, kept) = (self.scratch.clone(), self.kept.clone());
        let keeping = spawn_blocking(move || {
            let mut file = scratch.file()?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(kept).map_err(|error| error.error)
        });
        let kept = keeping.await.map_err(std::io::Error::other);
        if let Err(error) = kept.and_then(|kept| kept) {
            warn!("{}: {error}", self.kept.display());
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `config.json` by tree and blob id: the mirror's own points at us.
    async fn ask(&self) -> Result<Vec<u8>> {
        let remote = self.config.upstream_remote()?;
        let mut server = UploadPack::open(&remote).await?;
        let reference = branch_ref(&self.config.upstream.branch);
        let refs = server.refs(&reference).await?;
        let tip = refs.branches.get(&reference).copied();
        let missing = |what: &str| Error::new(Kind::Config, format!("{remote}: it has no {what}"));
        let tip = tip.ok_or_else(|| missing(&reference))?;
        let found = file_at_root(&mut server, tip, CONFIG_JSON).await?;
        found.ok_or_else(|| missing("config.json"))
    }
}

/// Returns the name of the file in which the word of this upstream is kept, and of no other.
fn kept_as(config: &ServeConfig) -> String {
    let upstream = format!("{} {}", config.upstream.url, config.upstream.branch);
    let mut hash = Context::new(&SHA256);
    hash.update(upstream.as_bytes());
    let name = finish(hash).to_string();
    format!("upstream-config-{}.json", &name[..16])
}

/// Says whether an address leads to the server of this configuration.
fn leads_here(dl: &str, config: &ServeConfig) -> bool {
    // Markers stand behind the host.
    let start: String = dl.split('{').next().unwrap_or_default().to_owned();
    let (Ok(dl), Ok(public)) = (Url::parse(&start), Url::parse(&config.public_url())) else {
        return false;
    };
    let listen = config.serve.listen;
    let is_local = dl.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host == listen.ip().to_string()
    });
    dl.origin() == public.origin() || is_local && dl.port_or_known_default() == Some(listen.port())
}
