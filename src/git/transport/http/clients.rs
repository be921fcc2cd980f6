//! The HTTP clients of a remote: one for `http://`, one for `https://`, each made when it is first needed.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, redirect, retry};
use tokio_rustls::rustls::ClientConfig;
use url::Url;

use super::error::innermost;
use super::reach::Reach;
use crate::error::{Error, Kind, Result};
use crate::transport::tls::Trust;
use crate::transport::{Limits, Proxies, Proxy};

/// GitHub and some proxies accept only agents that begin with `git/`.
const USER_AGENT: &str = concat!("git/crates-ferry/", env!("CARGO_PKG_VERSION"));

/// Two clients, since loading the system's certificates takes milliseconds, and fails in a container that has none. `http://`
/// needs none, unless it may be redirected to `https://`.
pub struct Clients {
    agent: String,
    redirects: usize,
    /// Where redirects may lead, also those that the caller follows; `None` where none is followed.
    reach: Option<Reach>,
    connect_timeout: Duration,
    trust: Trust,
    proxies: Proxies,
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
}

impl Clients {
    /// Prepares clients for the configured host alone.
    pub fn new(limits: &Limits) -> Result<Self> {
        Self::make(limits, USER_AGENT, 0, None)
    }

    /// Prepares the clients of git's protocol, which follows redirects itself, to what is within `reach`.
    pub(super) fn of_git(limits: &Limits, reach: Reach) -> Result<Self> {
        Self::make(limits, USER_AGENT, 0, Some(reach))
    }

    /// Prepares clients with a `User-Agent` of their own for URLs that others choose: they follow up to `redirects` redirects,
    /// and connect to what is within `reach`.
    pub fn for_foreign_urls(
        limits: &Limits,
        agent: &str,
        redirects: usize,
        reach: Reach,
    ) -> Result<Self> {
        Self::make(limits, agent, redirects, Some(reach))
    }

    fn make(limits: &Limits, agent: &str, redirects: usize, reach: Option<Reach>) -> Result<Self> {
        Ok(Self {
            agent: agent.to_owned(),
            redirects,
            reach,
            connect_timeout: limits.connect_timeout,
            trust: Trust::new(limits.extra_cas.as_deref())?,
            proxies: limits.proxies.clone(),
            plain: OnceLock::new(),
            tls: OnceLock::new(),
        })
    }

    /// Returns the client for a URL's scheme; a clone shares its connections.
    pub fn for_url(&self, url: &Url) -> Result<Client> {
        if url.scheme() == "https" {
            return self.client(true);
        }
        // A redirect may lead to `https://`; without certificates only that fails.
        match self.redirects {
            0 => self.client(false),
            _ => self.client(true).or_else(|_| self.client(false)),
        }
    }

    /// Returns the proxy that a URL is requested through.
    pub fn proxy_of(&self, url: &Url) -> Option<&Proxy> {
        self.proxies.proxy_of(url)
    }

    /// Makes another client for a URL's scheme, which has no connections yet.
    pub(super) fn new_for_url(&self, url: &Url) -> Result<Client> {
        self.build(url.scheme() == "https")
    }

    fn client(&self, tls: bool) -> Result<Client> {
        let client = if tls { &self.tls } else { &self.plain };
        match client.get() {
            Some(made) => Ok(made.clone()),
            None => {
                let built = self.build(tls)?;
                // Not `get_or_try_init`, which is unstable: two threads may both build one, and the first is kept.
                Ok(client.get_or_init(|| built).clone())
            }
        }
    }

    fn build(&self, tls: bool) -> Result<Client> {
        let policy = match (self.redirects, &self.reach) {
            (0, _) | (_, None) => redirect::Policy::none(),
            (most, Some(reach)) => reach.clone().policy(most),
        };
        // No retries and no `Referer`: reqwest would repeat some requests by itself, where the caller counts attempts,
        // and show the address of a repository to where it redirects.
        let builder = Client::builder()
            .http1_only()
            .user_agent(&self.agent)
            .redirect(policy)
            .retry(retry::never())
            .referer(false)
            .connect_timeout(self.connect_timeout);
        let builder = self.proxies.apply(builder);
        let builder = match &self.reach {
            Some(reach) => builder.dns_resolver(reach.clone()),
            None => builder,
        };
        let builder = match (tls, self.trust.is_empty()) {
            (true, _) => builder.tls_backend_preconfigured(http1(self.trust.client_config()?)),
            (false, false) => {
                builder.tls_backend_preconfigured(http1(self.trust.own_client_config()?))
            }
            // Does not load the system's certificates.
            (false, true) => builder.tls_certs_only([]),
        };
        builder.build().map_err(|error| {
            Error::new(Kind::Config, "the HTTP client cannot be set up").because(innermost(&error))
        })
    }
}

/// Offers HTTP/1.1 only: reqwest leaves settings that it did not make as they are.
fn http1(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
