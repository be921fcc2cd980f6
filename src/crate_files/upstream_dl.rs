//! Where upstream keeps crate files: `serve.dl`, else the `dl` of upstream's own `config.json`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};
use url::Url;

use super::Unavailable;
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::config_json::points_to;
use crate::relay::branch_ref;
use crate::relay::trees::config_json_at;
use crate::transport::{Remote, UploadPack};

/// How long a `dl` is used until upstream is asked again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a failure is believed.
const FAILED: Duration = Duration::from_secs(10);

/// The `dl`, learned when it is first needed.
pub(super) struct UpstreamDl {
    config: ServeConfig,
    /// What upstream's `config.json` said last, for a time in which upstream cannot be reached.
    kept: PathBuf,
    known: Mutex<Option<Known>>,
}

struct Known {
    dl: Result<String, Unavailable>,
    until: Instant,
}

impl UpstreamDl {
    /// # Errors
    /// `config` where `serve.dl` leads to this very server.
    pub(super) fn new(config: &ServeConfig) -> Result<Self> {
        if let Some(dl) = &config.serve.dl
            && leads_here(dl, config)
        {
            return Err(Error::new(
                Kind::Config,
                format!("serve.dl is {dl}, which is this server itself"),
            )
            .advise("Set it to where upstream keeps its crate files, or leave it out: upstream's config.json says so."));
        }
        Ok(Self {
            kept: config.serve.data_dir.join("upstream-config.json"),
            config: config.clone(),
            known: Mutex::default(),
        })
    }

    pub(super) async fn get(&self) -> Result<String, Unavailable> {
        if let Some(dl) = &self.config.serve.dl {
            return Ok(dl.clone());
        }
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Instant::now() < known.until) {
            return known.dl.clone();
        }
        let dl = self.learn().await;
        let fresh = if dl.is_ok() { FRESH } else { FAILED };
        let until = Instant::now() + fresh;
        *known = Some(Known {
            dl: dl.clone(),
            until,
        });
        dl
    }

    async fn learn(&self) -> Result<String, Unavailable> {
        // Clients wait for it.
        let asked = timeout(self.config.network.idle_timeout, self.ask()).await;
        let asked = asked.unwrap_or_else(|_| {
            Err(Error::new(
                Kind::Network,
                "upstream's config.json could not be read in time",
            ))
        });
        let bytes = match asked {
            Ok(bytes) => {
                if let Err(error) = tokio::fs::write(&self.kept, &bytes).await {
                    warn!("{}: {error}", self.kept.display());
                }
                bytes
            }
            Err(error) => match tokio::fs::read(&self.kept).await {
                Ok(bytes) => {
                    warn!("upstream's config.json is the one kept before: {error}");
                    bytes
                }
                Err(_) => return Err(Unavailable::Upstream(error.to_string())),
            },
        };
        let dl = points_to(&bytes)
            .map_err(|error| Unavailable::Upstream(format!("upstream's config.json: {error}")))?
            .dl;
        if leads_here(&dl, &self.config) {
            let text = format!(
                "upstream's config.json says dl is {dl}, which is this server itself: set upstream.url to the index that the mirror is made from, or serve.dl"
            );
            return Err(Unavailable::Upstream(text));
        }
        info!("crate files come from {dl}");
        Ok(dl)
    }

    /// Reads `config.json` by tree and blob id: the mirror's own points at us.
    async fn ask(&self) -> Result<Vec<u8>> {
        let remote = Remote::upstream_of(&self.config)?;
        let mut server = UploadPack::open(&remote).await?;
        let reference = branch_ref(&self.config.upstream.branch);
        let refs = server.refs(&reference).await?;
        let tip = refs.branches.get(&reference).copied();
        let missing = |what: &str| Error::new(Kind::Config, format!("{remote}: it has no {what}"));
        let tip = tip.ok_or_else(|| missing(&reference))?;
        let found = config_json_at(&mut server, tip).await?;
        found.ok_or_else(|| missing("config.json"))
    }
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
