//! Looks at crates.io and at the mirror as cargo would: `config.json`, the entry of a crate, a crate file.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use backon::{ExponentialBuilder, Retryable as _};
use reqwest::StatusCode;
use tokio::time::timeout;
use url::Url;

use super::memory::Entry;
use super::requests::{Answer, Requests};
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::config_json::{CONFIG_JSON, ConfigJson};
use crate::index::{CrateFile, download, entry};
use crate::shown;

/// The largest `config.json`, and what is read of other short answers.
const SHORT: usize = 64 << 10;
/// The largest entry of an index: those of the largest crates have 2 MB.
const ENTRY: usize = 8 << 20;
/// The largest crate file that serves as a sample.
const FILE: usize = 10 << 20;
/// How many versions of the crate the mirror is asked for, the newest first, until it holds one.
const VERSIONS: usize = 8;

/// Looks at both sides.
pub(super) struct Looker<'a> {
    config: &'a ServeConfig,
    requests: Requests,
}

/// What a mirror that answers says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    /// Every request needs a token.
    pub(super) needs_token: bool,
}

/// Why a look saw nothing.
#[derive(Debug)]
pub(super) enum Unseen {
    /// It does not answer as it should.
    Down(Error),
    /// It answers, but is not what the configuration says: that must be mended first, and nothing is switched.
    Misset(Error),
}

impl From<Error> for Unseen {
    fn from(error: Error) -> Self {
        Self::Down(error)
    }
}

impl From<Unseen> for Error {
    fn from(unseen: Unseen) -> Self {
        match unseen {
            Unseen::Down(error) | Unseen::Misset(error) => error,
        }
    }
}

/// One of the two, by the words of its faults.
#[derive(Clone, Copy)]
struct Named {
    who: &'static str,
    /// The key that says where it is, and what to set it to.
    key: &'static str,
    cure: &'static str,
}

const CRATES_IO: Named = Named {
    who: "crates.io",
    key: "probe.index",
    cure: "Set it (`--crates-io`, FERRY_PROBE_INDEX) to the address of crates.io's sparse index, which cargo's book names.",
};
const MIRROR: Named = Named {
    who: "the mirror",
    key: "serve.public_url",
    cure: "Set it (`--public-url`, FERRY_SERVE_PUBLIC_URL) to the address of a server that `crates-ferry serve` or `up` runs.",
};

impl<'a> Looker<'a> {
    /// # Errors
    /// `config` if certificates cannot be read.
    pub(super) fn new(config: &'a ServeConfig, crates_io: Option<&Url>) -> Result<Self> {
        let requests = Requests::new(config, crates_io)?;
        Ok(Self { config, requests })
    }

    /// Looks at crates.io: `config.json`, the crate's entry, and the newest crate file, whose checksum must be the entry's.
    ///
    /// # Errors
    /// What cargo would meet, too.
    pub(super) async fn crates_io(
        &self,
        index: &Url,
        known: Option<&Entry>,
    ) -> Result<Entry, Unseen> {
        self.within_the_limit(CRATES_IO, || async {
            let config = self.config_json(index, index, CRATES_IO).await?;
            let config = config.ok_or_else(|| unexpected(index, StatusCode::UNAUTHORIZED))?;
            let entry = self.entry(index, known).await?;
            let file = entry.file().ok_or_else(|| no_version(&entry.url))?;
            self.file(&config.dl, &file).await?;
            Ok(entry)
        })
        .await
    }

    /// Looks at the mirror: it is ready, so its index is fresh; cargo can read that, and a crate file of it.
    ///
    /// # Errors
    /// Why cargo cannot use it.
    pub(super) async fn mirror(&self) -> Result<Mirror, Unseen> {
        self.within_the_limit(MIRROR, || async {
            let index = self.at("/index/")?;
            let config = match self.config_json(&index, &self.at("/")?, MIRROR).await {
                Err(Unseen::Down(why)) if why.kind() == Kind::Server => Err(why),
                config => Ok(config?),
            };
            // Before that error: one that is not ready says why.
            self.is_ready().await?;
            // One that wants a token answers whoever has it.
            let needs_token = true;
            let Some(config) = config? else {
                return Ok(Mirror { needs_token });
            };
            if config.auth_required {
                return Ok(Mirror { needs_token });
            }
            let url = join(&index, &self.config.probe.crate_name.index_path())?;
            let entry = self.requests.get(&url, None, ENTRY).await?;
            match entry.status {
                StatusCode::OK => self.any_file(&config.dl, &url, &entry.body).await?,
                status if is_missing(status) => return Err(self.no_crate(&url, MIRROR)),
                status => return Err(unexpected(&url, status).into()),
            }
            Ok(Mirror { needs_token: false })
        })
        .await
    }

    /// Says why crates.io must not replace the mirror, if it must not: a policy or a token closes what crates.io would open.
    ///
    /// # Errors
    /// Why it is not known.
    pub(super) async fn closed_by(&self) -> Result<Option<&'static str>, Unseen> {
        if self.config.serve.auth.is_some() {
            return Ok(Some("wants a token"));
        }
        self.within_the_limit(MIRROR, || async {
            let index = self.at("/index/")?;
            let config = self.config_json(&index, &self.at("/")?, MIRROR).await?;
            if config.is_none_or(|config| config.auth_required) {
                return Ok(Some("wants a token"));
            }
            let policy = self.at("/api/v1/policy")?;
            let answer = self.requests.get(&policy, None, SHORT).await?;
            match answer.status {
                StatusCode::NOT_FOUND => Ok(None),
                status if status.is_success() => Ok(Some("announces a policy")),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Some("wants a token")),
                status => Err(unexpected(&policy, status).into()),
            }
        })
        .await
    }

    /// Repeats what may pass, as cargo does, and gives up after `probe.timeout`.
    async fn within_the_limit<T, F: Future<Output = Result<T, Unseen>>>(
        &self,
        named: Named,
        look: impl FnMut() -> F,
    ) -> Result<T, Unseen> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(3))
            .with_jitter()
            .with_max_times(self.config.network.retries as usize);
        let limit = self.config.probe.timeout;
        let may_pass =
            |unseen: &Unseen| matches!(unseen, Unseen::Down(error) if error.is_transient());
        let looking = look.retry(waits).when(may_pass);
        timeout(limit, looking).await.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            let message = format!("{} does not answer within {limit}", named.who);
            Err(Error::new(Kind::Network, message).into())
        })
    }

    /// Reads the `config.json` of an index, which the configuration names by the address `at`; `None` where that needs a token.
    async fn config_json(
        &self,
        index: &Url,
        at: &Url,
        named: Named,
    ) -> Result<Option<ConfigJson>, Unseen> {
        let url = join(index, CONFIG_JSON)?;
        let answer = self.requests.get(&url, None, SHORT).await?;
        match read_config(&url, &answer) {
            Ok(config) => Ok(Some(config)),
            Err(_) if answer.status == StatusCode::UNAUTHORIZED => Ok(None),
            Err(_) if self.requests.is_git(at).await => {
                let message = format!("{}: {at} is a git repository", named.key);
                let error = Error::new(Kind::Config, message).advise(named.cure);
                Err(Unseen::Misset(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn is_ready(&self) -> Result<()> {
        let ready = self.at("/readyz")?;
        let answer = self.requests.get(&ready, None, SHORT).await?;
        if answer.status == StatusCode::OK {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        let why = shown::beginning(said.trim(), 200).into_owned();
        let message = match why.is_empty() {
            true => format!("{ready} responds with {}", answer.status),
            false => format!("{ready} responds with {}: {why}", answer.status),
        };
        Err(Error::new(Kind::Server, message))
    }

    /// Gets the entry of the sample crate from crates.io, if it changed since.
    async fn entry(&self, index: &Url, known: Option<&Entry>) -> Result<Entry, Unseen> {
        let url = join(index, &self.config.probe.crate_name.index_path())?;
        let known = known.filter(|known| known.url == url.as_str() && known.file().is_some());
        let etag = known.and_then(|known| known.etag.as_deref());
        let answer = self.requests.get(&url, etag, ENTRY).await?;
        match (answer.status, known) {
            (StatusCode::NOT_MODIFIED, Some(known)) => Ok(known.clone()),
            (StatusCode::OK, _) => {
                let file = entry::latest(&answer.body)
                    .ok_or_else(|| nothing_to_take(&url, &answer.body, CRATES_IO))?;
                Ok(Entry::new(url.as_str(), answer.etag, &file))
            }
            // One that it had before is not misspelt.
            (status, None) if is_missing(status) => Err(self.no_crate(&url, CRATES_IO)),
            (status, _) => Err(unexpected(&url, status).into()),
        }
    }

    fn no_crate(&self, url: &Url, named: Named) -> Unseen {
        let name = &self.config.probe.crate_name;
        let message = format!(
            "probe.crate: {} has no crate `{name}`: there is no {url}",
            named.who
        );
        let advice = "Set it (FERRY_PROBE_CRATE) to a small crate that both have.";
        Unseen::Misset(Error::new(Kind::Config, message).advise(advice))
    }

    /// Gets a crate file that the mirror holds, else the newest, which it then has to fetch: the newest may have come out
    /// while crates.io was going down.
    async fn any_file(&self, dl: &str, entry: &Url, content: &[u8]) -> Result<(), Unseen> {
        let files = entry::newest_first(content);
        let newest = files
            .first()
            .ok_or_else(|| nothing_to_take(entry, content, MIRROR))?;
        for file in files.iter().take(VERSIONS) {
            if self.requests.is_there(&file_url(dl, file)?).await? {
                return Ok(self.file(dl, file).await?);
            }
        }
        let name = &newest.name;
        let advice = format!(
            "Let the mirror hold a version of it (`crates-ferry prefetch --crate {name}`), or set `probe.crate` to a crate of which \
             it holds one."
        );
        let fetched = self.file(dl, newest).await;
        fetched.map_err(|error| match error.kind() {
            Kind::Server => error.advise(advice).into(),
            _ => error.into(),
        })
    }

    async fn file(&self, dl: &str, file: &CrateFile) -> Result<()> {
        let url = file_url(dl, file)?;
        let answer = self.requests.get(&url, None, FILE).await?;
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
            Error::new(Kind::Config, message)
                .because(error)
                .advise(MIRROR.cure)
        })
    }
}

/// Says whether an index has no such file, as cargo understands it.
fn is_missing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
    )
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

/// An entry whose versions are all yanked says nothing of the server that has it: another crate is to be asked for.
fn nothing_to_take(url: &Url, content: &[u8], named: Named) -> Unseen {
    let error = no_version(url.as_str());
    let versions = entry::by_version(content);
    if versions.is_empty() {
        return error.into();
    }
    let which = match versions.values().all(|version| version.is_yanked) {
        true => "only yanked versions of it",
        false => "only versions of it that cargo does not take",
    };
    let message = format!("probe.crate: {} has {which}: {url}", named.who);
    let advice = error.advice().unwrap_or_default().to_owned();
    Unseen::Misset(Error::new(Kind::Config, message).advise(advice))
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
