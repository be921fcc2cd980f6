//! The requests of a probe: bounded, without credentials, and only to where whoever runs it lets them lead.

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Clients, Reach, sending};

/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// What git's smart HTTP protocol answers to who asks for a repository.
const GIT: &str = "application/x-git-upload-pack-advertisement";

/// Sends the requests of a probe.
pub(super) struct Requests {
    clients: Clients,
}

/// A response, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Requests {
    /// Prepares them for crates.io's index and the mirror.
    ///
    /// # Errors
    /// `config` if certificates cannot be read.
    pub(super) fn new(config: &ServeConfig, crates_io: Option<&Url>) -> Result<Self> {
        let mirror = Url::parse(&config.public_url()).ok();
        let hosts = [crates_io, mirror.as_ref()].into_iter().flatten();
        let hosts = hosts.filter_map(Url::host_str);
        let named = hosts.map(|host| host.trim_matches(['[', ']']).to_owned());
        let named = named.chain(config.serve.allow_private.iter().cloned());
        let named = named.chain(config.network.proxies.hosts());
        // Whoever names the index names its network, as with an upstream of the server.
        let reach = Reach::new(crates_io.and_then(Url::host_str), named);
        let (limits, agent) = (config.network.limits(), config.user_agent());
        let clients = Clients::for_foreign_urls(&limits, &agent, REDIRECTS, reach)?;
        Ok(Self { clients })
    }

    /// Gets a file of at most so many bytes, if it is not the one with this entity tag.
    ///
    /// # Errors
    /// `network` or `config` if there is no whole response; `server` if it is larger.
    pub(super) async fn get(&self, url: &Url, etag: Option<&str>, most: usize) -> Result<Answer> {
        let condition = etag.map(|etag| (IF_NONE_MATCH, etag));
        let mut response = self.send(Method::GET, url, condition).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failed(url, error))?
        {
            if body.len() + chunk.len() > most {
                let message = format!("{url} responds with more than {most} bytes");
                return Err(Error::new(Kind::Server, message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status(),
            etag: text(response.headers(), &ETAG).map(str::to_owned),
            body,
        })
    }

    /// Says whether a file is there, by its length: a server of ours states none of one that it would have to fetch.
    ///
    /// # Errors
    /// `network` or `config` if there is no response.
    pub(super) async fn is_there(&self, url: &Url) -> Result<bool> {
        let response = self.send(Method::HEAD, url, None).await?;
        let has_length = text(response.headers(), &CONTENT_LENGTH).is_some_and(|size| size != "0");
        Ok(response.status() == StatusCode::OK && has_length)
    }

    /// Says whether there is a git repository at this address; one that does not answer is none.
    pub(super) async fn is_git(&self, url: &Url) -> bool {
        let mut refs = url.clone();
        refs.set_path(&format!("{}/info/refs", url.path().trim_end_matches('/')));
        refs.set_query(Some("service=git-upload-pack"));
        let answer = self.send(Method::GET, &refs, None).await;
        answer.is_ok_and(|answer| text(answer.headers(), &CONTENT_TYPE) == Some(GIT))
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        header: Option<(HeaderName, &str)>,
    ) -> Result<Response> {
        let mut request = self.clients.for_url(url)?.request(method, url.clone());
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request
            .send()
            .await
            .map_err(|error| self.failed(url, error))
    }

    fn failed(&self, url: &Url, error: reqwest::Error) -> Error {
        sending(url, self.clients.proxy_of(url), error)
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
