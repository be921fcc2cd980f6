//! Looks at crates.io and at the mirror as cargo would: `config.json`, the entry of a crate, its newest crate file.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use backon::{ExponentialBuilder, Retryable as _};
use reqwest::StatusCode;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use tokio::time::timeout;
use url::Url;

use super::memory::Entry;
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Clients, Reach, sending};
use crate::index::config_json::{CONFIG_JSON, ConfigJson};
use crate::index::{CrateFile, CrateName, download, entry};
use crate::shown;

/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// The largest `config.json`, and what is read of other short answers.
const SHORT: usize = 64 << 10;
/// The largest entry of an index: those of the largest crates have 2 MB.
const ENTRY: usize = 8 << 20;
/// The largest crate file that serves as a sample.
const FILE: usize = 10 << 20;

/// Sends the requests of a probe.
pub(super) struct Looker<'a> {
    config: &'a ServeConfig,
    clients: Clients,
}

/// What a mirror that answers says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    /// Every request needs a token.
    pub(super) needs_token: bool,
}

struct Answer {
    status: StatusCode,
    etag: Option<String>,
    body: Vec<u8>,
}

impl<'a> Looker<'a> {
    /// # Errors
    /// `config` if certificates cannot be read.
    pub(super) fn new(config: &'a ServeConfig, crates_io: Option<&Url>) -> Result<Self> {
        let serve = &config.serve;
        let mirror = Url::parse(&config.public_url()).ok();
        let hosts = [crates_io, mirror.as_ref()].into_iter().flatten();
        let hosts = hosts.filter_map(Url::host_str);
        let named = hosts.map(|host| host.trim_matches(['[', ']']).to_owned());
        let named = named.chain(serve.allow_private.iter().cloned());
        let named = named.chain(config.network.proxies.hosts());
        // Whoever names the index names its network, as with an upstream of the server.
        let reach = Reach::new(crates_io.and_then(Url::host_str), named);
        let agent = config.user_agent();
        let limits = config.network.limits();
        Ok(Self {
            config,
            clients: Clients::for_foreign_urls(&limits, &agent, REDIRECTS, reach)?,
        })
    }

    /// Looks at crates.io: `config.json`, the crate's entry, and the newest crate file, whose checksum must be the entry's.
    ///
    /// # Errors
    /// What cargo would meet, too.
    pub(super) async fn crates_io(&self, index: &Url, known: Option<&Entry>) -> Result<Entry> {
        self.within_the_limit("crates.io", || async {
            let config = self.config_json(index).await?;
            let entry = self.entry(index, known).await?;
            let file = entry.file().ok_or_else(|| no_version(&entry.url))?;
            self.file(&config.dl, &file).await?;
            Ok(entry)
        })
        .await
    }

    /// Looks at the mirror: it is ready, so its index is fresh, and cargo can read that.
    ///
    /// # Errors
    /// Why cargo cannot use it.
    pub(super) async fn mirror(&self) -> Result<Mirror> {
        self.within_the_limit("the mirror", || async {
            let index = self.at("/index/")?;
            let config = self.get(&join(&index, CONFIG_JSON)?, None, SHORT).await?;
            let ready = self.at("/readyz")?;
            let answer = self.get(&ready, None, SHORT).await?;
            if answer.status != StatusCode::OK {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                let why = shown::beginning(said.trim(), 200).into_owned();
                let message = format!("{ready} responds with {}: {why}", answer.status);
                return Err(Error::new(Kind::Server, message));
            }
            // It answers whoever has the token.
            if config.status == StatusCode::UNAUTHORIZED {
                return Ok(Mirror { needs_token: true });
            }
            let config = read_config(&join(&index, CONFIG_JSON)?, &config)?;
            let entry = self.entry(&index, None).await?;
            let file = entry.file().ok_or_else(|| no_version(&entry.url))?;
            file_url(&config.dl, &file)?;
            Ok(Mirror {
                needs_token: config.auth_required,
            })
        })
        .await
    }

    /// Says why crates.io must not replace the mirror, if it must not: a policy or a token closes what crates.io would open.
    ///
    /// # Errors
    /// Why it is not known.
    pub(super) async fn closed_by(&self) -> Result<Option<&'static str>> {
        if self.config.serve.auth.is_some() {
            return Ok(Some("wants a token"));
        }
        self.within_the_limit("the mirror", || async {
            let config = join(&self.at("/index/")?, CONFIG_JSON)?;
            let answer = self.get(&config, None, SHORT).await?;
            if answer.status == StatusCode::UNAUTHORIZED
                || read_config(&config, &answer)?.auth_required
            {
                return Ok(Some("wants a token"));
            }
            let policy = self.at("/api/v1/policy")?;
            let answer = self.get(&policy, None, SHORT).await?;
            match answer.status {
                StatusCode::NOT_FOUND => Ok(None),
                status if status.is_success() => Ok(Some("announces a policy")),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Some("wants a token")),
                status => Err(unexpected(&policy, status)),
            }
        })
        .await
    }

    /// Repeats what may pass, as cargo does, and gives up after `probe.timeout`.
    async fn within_the_limit<T, F: Future<Output = Result<T>>>(
        &self,
        who: &str,
        look: impl FnMut() -> F,
    ) -> Result<T> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(3))
            .with_jitter()
            .with_max_times(self.config.network.retries as usize);
        let limit = self.config.probe.timeout;
        let looking = look.retry(waits).when(Error::is_transient);
        timeout(limit, looking).await.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            let message = format!("{who} does not answer within {limit}");
            Err(Error::new(Kind::Network, message))
        })
    }

    async fn config_json(&self, index: &Url) -> Result<ConfigJson> {
        let url = join(index, CONFIG_JSON)?;
        read_config(&url, &self.get(&url, None, SHORT).await?)
    }

    /// Gets the entry of the sample crate, if it changed since.
    async fn entry(&self, index: &Url, known: Option<&Entry>) -> Result<Entry> {
        let name: &CrateName = &self.config.probe.crate_name;
        let url = join(index, &name.index_path())?;
        let known = known.filter(|known| known.url == url.as_str() && known.file().is_some());
        let etag = known.and_then(|known| known.etag.as_deref());
        let answer = self.get(&url, etag, ENTRY).await?;
        match (answer.status, known) {
            (StatusCode::NOT_MODIFIED, Some(known)) => Ok(known.clone()),
            (StatusCode::OK, _) => {
                let file = entry::latest(&answer.body).ok_or_else(|| no_version(url.as_str()))?;
                Ok(Entry::new(url.as_str(), answer.etag, &file))
            }
            (status, _) => Err(unexpected(&url, status)),
        }
    }

    async fn file(&self, dl: &str, file: &CrateFile) -> Result<()> {
        let url = file_url(dl, file)?;
        let answer = self.get(&url, None, FILE).await?;
        if answer.status != StatusCode::OK {
            return Err(unexpected(&url, answer.status));
        }
        match digest(&SHA256, &answer.body).as_ref() == file.checksum.as_bytes() {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Server,
                format!("{url} has another checksum than the index says"),
            )),
        }
    }

    /// Returns an address of the mirror.
    fn at(&self, path: &str) -> Result<Url> {
        let url = format!("{}{path}", self.config.public_url());
        Url::parse(&url).map_err(|error| {
            let message = format!("serve.public_url: {url} is no address");
            Error::new(Kind::Config, message).because(error)
        })
    }

    async fn get(&self, url: &Url, etag: Option<&str>, most: usize) -> Result<Answer> {
        let mut request = self.clients.for_url(url)?.get(url.clone());
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let failed = |error| sending(url, self.clients.proxy_of(url), error);
        let mut response = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > most {
                let message = format!("{url} responds with more than {most} bytes");
                return Err(Error::new(Kind::Server, message));
            }
            body.extend_from_slice(&chunk);
        }
        let etag = response.headers().get(ETAG);
        Ok(Answer {
            status: response.status(),
            etag: etag.and_then(|etag| Some(etag.to_str().ok()?.to_owned())),
            body,
        })
    }
}

/// Returns the address of a crate file, which must be one that cargo can fetch.
fn file_url(dl: &str, file: &CrateFile) -> Result<Url> {
    let url = download::download_url(dl, file);
    let message = format!("the index names {dl} as the place of crate files");
    let url = Url::parse(&url).map_err(|error| {
        Error::new(Kind::Server, message.clone())
            .because(error)
            .lasting()
    })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(Error::new(Kind::Server, message).lasting()),
    }
}

fn read_config(url: &Url, answer: &Answer) -> Result<ConfigJson> {
    if answer.status != StatusCode::OK {
        return Err(unexpected(url, answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        Error::new(
            Kind::Server,
            format!("{url} is not the config.json of an index"),
        )
        .because(error)
    })
}

fn join(index: &Url, path: &str) -> Result<Url> {
    index.join(path).map_err(|error| {
        Error::new(
            Kind::Config,
            format!("{index} is not the address of an index"),
        )
        .because(error)
    })
}

fn no_version(url: &str) -> Error {
    Error::new(Kind::Server, format!("{url} lists no version"))
        .advise("Set `probe.crate` to a crate that has one.")
}

/// A registry that is well says none of these. What the next request would get, too, is not repeated.
fn unexpected(url: &Url, status: StatusCode) -> Error {
    let error = Error::new(Kind::Server, format!("{url} responds with {status}"));
    let may_pass = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    match may_pass {
        true => error,
        false => error.lasting(),
    }
}
