//! The keys of issuers, as OpenID Connect Discovery names them: fetched when they are needed, and kept.
//!
//! ```text
//! GET {issuer}/.well-known/openid-configuration → { "issuer", "jwks_uri" }
//! GET {jwks_uri}                                → { "keys": […] }
//! ```
//!
//! Anybody may send a token that names an issuer of the configuration and a key that it does not have. So requests are counted, and
//! neither a redirect nor another host is followed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::USER_AGENT;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::jwt::{Keys, Unverified};
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Clients, sending};

/// Where an issuer says where its keys are.
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// The most bytes of an answer.
const BODY: usize = 256 << 10;
/// How long an answer may take, where `network.idle_timeout` is not less.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long keys are used before they are fetched again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long they are used where they cannot be.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How often an issuer is asked a minute.
const RATE: std::num::NonZeroU32 = match std::num::NonZeroU32::new(6) {
    Some(rate) => rate,
    None => std::num::NonZeroU32::MIN,
};

/// An issuer of the configuration, and its keys.
pub(super) struct Issuer {
    url: String,
    clients: Clients,
    agent: String,
    patience: Duration,
    kept: ArcSwapOption<Kept>,
    /// Held by whoever fetches; the others wait for what comes.
    fetching: Mutex<()>,
    rate: DefaultDirectRateLimiter,
}

struct Kept {
    keys: Arc<Keys>,
    fetched: Instant,
}

impl Kept {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.fetched.elapsed() < age
    }
}

/// What is used of an issuer's description of itself.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    /// Prepares an issuer; nothing is asked yet.
    ///
    /// # Errors
    /// `config` if the certificates of the configuration cannot be used.
    pub(super) fn new(config: &ServeConfig, url: &str) -> Result<Self> {
        let limits = config.network.limits();
        Ok(Self {
            url: url.to_owned(),
            patience: limits.idle_timeout.min(PATIENCE),
            clients: Clients::new(&limits)?,
            agent: config.user_agent(),
            kept: ArcSwapOption::empty(),
            fetching: Mutex::default(),
            rate: RateLimiter::direct(Quota::per_minute(RATE)),
        })
    }

    /// Says whether it is the one that a token names.
    pub(super) fn is(&self, url: &str) -> bool {
        self.url == url
    }

    /// Returns keys among which that of the token is, if the issuer has it: those that are kept, or new ones.
    ///
    /// # Errors
    /// If there are none, and the issuer does not answer as it should.
    pub(super) async fn keys_for(&self, token: &Unverified<'_>) -> Result<Arc<Keys>> {
        let found = |age| {
            let kept = self.kept.load_full()?;
            (kept.is_younger_than(age) && kept.keys.has(token)).then(|| Arc::clone(&kept.keys))
        };
        if let Some(keys) = found(FRESH) {
            return Ok(keys);
        }
        let _turn = self.fetching.lock().await;
        // Whoever had the turn before has perhaps fetched them.
        if let Some(keys) = found(FRESH) {
            return Ok(keys);
        }
        match self.fetch_within_the_rate().await {
            Ok(keys) => {
                let kept = Kept {
                    keys: Arc::clone(&keys),
                    fetched: Instant::now(),
                };
                self.kept.store(Some(Arc::new(kept)));
                Ok(keys)
            }
            // A key that was right an hour ago is.
            Err(error) => found(LONGEST).ok_or(error),
        }
    }

    async fn fetch_within_the_rate(&self) -> Result<Arc<Keys>> {
        if self.rate.check().is_err() {
            let said = format!(
                "the keys of {} were asked for too often in the last minute, and the token's is not among those that are known",
                self.url
            );
            return Err(Error::new(Kind::Server, said));
        }
        let address = format!("{}{DISCOVERY}", self.url.trim_end_matches('/'));
        let address = self.address(&address)?;
        let found: Discovery = serde_json::from_slice(&self.get(&address).await?)
            .map_err(|error| self.fault(&address, &format!("describes no issuer: {error}")))?;
        if found.issuer != self.url {
            return Err(self.fault(&address, "describes another issuer"));
        }
        let keys = self.address(&found.jwks_uri)?;
        let text = self.get(&keys).await?;
        let keys = Keys::read(&text).map_err(|why| self.fault(&keys, &why))?;
        Ok(Arc::new(keys))
    }

    /// Reads an address of the issuer's own host: what it says of itself leads nowhere else.
    fn address(&self, text: &str) -> Result<Url> {
        let own = Url::parse(&self.url).ok();
        let url = Url::parse(text).ok();
        url.filter(|url| {
            own.is_some_and(|own| own.origin() == url.origin())
                && url.username().is_empty()
                && url.password().is_none()
        })
        .ok_or_else(|| {
            let said = format!("{}: its keys are not at its own host", self.url);
            Error::new(Kind::Server, said)
        })
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>> {
        let asking = async {
            let client = self.clients.for_url(url)?;
            let request = client.get(url.clone()).header(USER_AGENT, &self.agent);
            let failed = |error| sending(url, self.clients.proxy_of(url), error);
            let mut response = request.send().await.map_err(failed)?;
            if response.status() != reqwest::StatusCode::OK {
                return Err(self.fault(url, &format!("responds with {}", response.status())));
            }
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(failed)? {
                if body.len() + piece.len() > BODY {
                    return Err(self.fault(url, "responds with more than 256 KiB"));
                }
                body.extend_from_slice(&piece);
            }
            Ok(body)
        };
        match tokio::time::timeout(self.patience, asking).await {
            Ok(answer) => answer,
            Err(_) => {
                let limit = humantime::format_duration(self.patience);
                let said = format!("{url}: no whole answer within {limit}");
                Err(Error::new(Kind::Network, said))
            }
        }
    }

    fn fault(&self, url: &Url, what: &str) -> Error {
        Error::new(Kind::Server, format!("{url} {what}"))
    }
}
