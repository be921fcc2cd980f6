//! Git's smart HTTP protocol (`gitprotocol-http`): an advertisement, then one request for each command.

mod banner;
mod body;
mod clients;
mod error;
mod idle;
mod origin;
mod reach;
mod redirect;
mod response;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, PRAGMA};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use tokio::sync::mpsc::Receiver;
use url::Url;

use self::body::{Gathered, PackBody};
pub use self::clients::Clients;
pub use self::error::{PROXY_ADVICE, sending};
pub use self::error::{innermost, unreachable};
use self::idle::Activity;
pub use self::reach::Reach;
pub use self::reach::{Refused, refused};
use self::response::RequestSummary;
use super::{Reader, Service, Side, Traffic};
use crate::error::{Error, Kind, Result};
use crate::transport::{BasicAuth, Limits};

/// How many redirects of an advertisement are followed. reqwest's own policy cannot restrict redirects to the advertisement,
/// and forgets where they led, which is where the later requests must go.
const MAX_REDIRECTS: usize = 5;

/// A git repository behind a smart HTTP server.
///
/// An `http://` remote behind a proxy that itself speaks TLS (`HTTP_PROXY=https://…`) works only where
/// `network.ca_file` names the proxy's authority: the system's certificates are loaded for `https://` alone.
pub struct HttpRemote {
    clients: Clients,
    /// Where a redirect may lead.
    reach: Reach,
    /// Where the repository is now: as configured, or where a redirect led.
    base: Mutex<Url>,
    /// The only origin that gets the credentials.
    origin: url::Origin,
    credentials: Option<BasicAuth>,
    side: Side,
    limits: Limits,
    traffic: Arc<Traffic>,
    /// Whether there was a response: from then on a request may go over a connection that has served before.
    answered: AtomicBool,
}

impl HttpRemote {
    /// Makes a remote without connecting to it. The credentials are sent with the first request, as basic authentication: waiting
    /// for a 401 would cost a round trip.
    ///
    /// # Errors
    /// `config` where the URL is neither `http` nor `https`, or the certificates of `network.ca_file` or of the
    /// system cannot be used.
    pub fn new(
        url: &Url,
        credentials: Option<BasicAuth>,
        limits: &Limits,
        traffic: Arc<Traffic>,
    ) -> Result<Self> {
        let base = redirect::base(url)?;
        let host = base.host_str().map(|host| host.trim_matches(['[', ']']));
        let named = host.map(str::to_owned).into_iter();
        let reach = Reach::new(host, named.chain(limits.proxies.hosts()));
        let clients = Clients::of_git(limits, reach.clone())?;
        clients.for_url(&base)?;
        Ok(Self {
            clients,
            reach,
            origin: base.origin(),
            base: Mutex::new(base),
            credentials,
            side: Side::default(),
            limits: limits.clone(),
            traffic,
            answered: AtomicBool::default(),
        })
    }

    /// Says which repository of the configuration it is; the mirror, where this is not called.
    #[must_use]
    pub fn on(self, side: Side) -> Self {
        Self { side, ..self }
    }

    /// Requests a service's advertisement and returns a reader over its pkt-lines, without the `# service=` banner.
    ///
    /// Redirects are followed here only; later requests of both services go to where they led. Another origin never gets the
    /// credentials.
    ///
    /// # Errors
    /// `network`, `server`, `auth`, `permission` or `config`, as the connection and the status say.
    pub async fn advertisement(&self, service: Service, v2: bool) -> Result<Reader> {
        let mut url = redirect::info_refs(&self.base(), service);
        for _ in 0..=MAX_REDIRECTS {
            let request_summary = self.request_summary(Method::GET, &url, service, "advertisement");
            // `no-cache` as git has it: a cached advertisement would show the branch where it was.
            let request = self
                .request(&request_summary, v2)?
                .header(PRAGMA, "no-cache");
            let activity = Activity::new(self.limits.idle_timeout);
            let response = self.send(request, &request_summary, &activity).await?;
            if redirect::is_redirect(response.status()) {
                let target = redirect::target(&url, response.headers().get(LOCATION))?;
                let within_reach = self.reach.check(&target).await;
                within_reach.map_err(|refused| redirect::out_of_reach(&url, &refused))?;
                url = target;
                continue;
            }
            let reader = self.accept(response, &request_summary, activity).await?;
            // Only now: a redirect to a login page was refused by `accept`, and must not become the repository's URL.
            let base = redirect::base_of_info_refs(&url)?;
            *self.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
            return banner::skip(reader)
                .await
                .map_err(|error| error::reading(&url, &error));
        }
        Err(redirect::too_many(&self.base(), MAX_REDIRECTS))
    }

    /// Sends a whole request to a service and returns a reader over the response.
    ///
    /// # Errors
    /// `network`, `server`, `auth`, `permission` or `config`, as the connection and the status say.
    pub async fn post(&self, service: Service, v2: bool, body: Bytes) -> Result<Reader> {
        let url = redirect::endpoint(&self.base(), service);
        let request_summary = self.request_summary(Method::POST, &url, service, "result");
        let request = self.post_request(&request_summary, v2)?;
        let activity = Activity::new(self.limits.idle_timeout);
        self.send_whole(request, &request_summary, activity, body)
            .await
    }

    /// Sends `head` and then the chunks of `pack`, until its channel closes, to `receive-pack`.
    ///
    /// The request starts with the first chunk, since proxies time out idle bodies. A body of at most 1 MiB is sent with its
    /// length, a longer one chunked. An `Err` in the channel cuts the request off, so that the server never takes a part for
    /// the whole: a sender that fails must send an `Err` before it is dropped.
    ///
    /// # Errors
    /// `network`, also where the channel brought an `Err` or no chunk at all; `server`, `auth`, `permission` or
    /// `config`, as the status says.
    pub async fn push(&self, head: Bytes, pack: Receiver<io::Result<Bytes>>) -> Result<Reader> {
        let url = redirect::endpoint(&self.base(), Service::ReceivePack);
        let request_summary =
            self.request_summary(Method::POST, &url, Service::ReceivePack, "result");
        // Before any connection is opened: a pack that fails at once leaves no trace at the server.
        let gathered = body::gather(head, pack)
            .await
            .map_err(|error| error::broken_pack(&url, &error))?;
        let request = self.post_request(&request_summary, false)?;
        let activity = Activity::new(self.limits.idle_timeout);
        match gathered {
            Gathered::Whole(body) => {
                self.send_whole(request, &request_summary, activity, body)
                    .await
            }
            Gathered::Start(start, rest) => {
                let traffic = Arc::clone(&self.traffic);
                let body = PackBody::new(start, rest, Arc::clone(&activity), traffic);
                let request = request.body(Body::wrap_stream(body));
                let response = self.send(request, &request_summary, &activity).await?;
                self.accept(response, &request_summary, activity).await
            }
        }
    }

    fn base(&self) -> Url {
        self.base
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn request_summary(
        &self,
        method: Method,
        url: &Url,
        service: Service,
        part: &str,
    ) -> RequestSummary {
        RequestSummary {
            method,
            url: url.clone(),
            service,
            expected: format!("application/x-{}-{part}", service.name()),
            side: self.side,
            user: self.credentials.as_ref().map(|c| c.user.clone()),
            at_home: url.origin() == self.origin,
        }
    }

    fn request(&self, request_summary: &RequestSummary, v2: bool) -> Result<RequestBuilder> {
        let mut request = self
            .clients
            .for_url(&request_summary.url)?
            .request(request_summary.method.clone(), request_summary.url.clone());
        if v2 {
            request = request.header("Git-Protocol", "version=2");
        }
        // `at_home` is of this very URL: after a redirect the base may be at another origin, which gets no credentials.
        if let Some(credentials) = self
            .credentials
            .as_ref()
            .filter(|_| request_summary.at_home)
        {
            request = credentials.sign(request);
        }
        Ok(request)
    }

    fn post_request(&self, request_summary: &RequestSummary, v2: bool) -> Result<RequestBuilder> {
        let content = format!("application/x-{}-request", request_summary.service.name());
        Ok(self
            .request(request_summary, v2)?
            .header(CONTENT_TYPE, content)
            .header(ACCEPT, &request_summary.expected))
    }

    async fn send_whole(
        &self,
        request: RequestBuilder,
        request_summary: &RequestSummary,
        activity: Arc<Activity>,
        body: Bytes,
    ) -> Result<Reader> {
        self.traffic.add_sent(body.len());
        let request = request.header(CONTENT_LENGTH, body.len()).body(body);
        let response = self.send(request, request_summary, &activity).await?;
        self.accept(response, request_summary, activity).await
    }

    /// Sends a request and waits for the response's head, or the idle timeout.
    ///
    /// Repeats one that only reads, at once and on a new connection, where a connection that had served before was lost: some
    /// proxies (tinyproxy) close idle connections without a word, and reqwest learns of it from the next request.
    async fn send(
        &self,
        request: RequestBuilder,
        request_summary: &RequestSummary,
        activity: &Activity,
    ) -> Result<Response> {
        let _awaiting = self.traffic.awaiting();
        let url = &request_summary.url;
        let proxy = self.clients.proxy_of(url);
        let failed = |error| error::sending(url, proxy, error);
        let (client, request) = request.build_split();
        let request = request.map_err(failed)?;
        let again = request
            .try_clone()
            .filter(|_| request_summary.only_reads() && self.answered.load(Ordering::Relaxed));
        let sending = client.execute(request);
        let sent = self.await_head(sending, request_summary, activity).await?;
        let sent = match (sent, again) {
            (Err(error), Some(again)) if error::is_lost(&error) => {
                tracing::debug!(%error, "the connection was closed meanwhile: asking again on a new one");
                let sending = self.clients.new_for_url(url)?.execute(again);
                self.await_head(sending, request_summary, activity).await?
            }
            (sent, _) => sent,
        };
        let response = sent.map_err(failed)?;
        self.answered.store(true, Ordering::Relaxed);
        tracing::debug!(
            "{} {} ({}): {}",
            request_summary.method,
            redirect::shown(url),
            request_summary.service.name(),
            response.status()
        );
        match proxy {
            Some(proxy) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(proxy.wants_login())
            }
            _ => Ok(response),
        }
    }

    async fn await_head(
        &self,
        sending: impl Future<Output = reqwest::Result<Response>>,
        request_summary: &RequestSummary,
        activity: &Activity,
    ) -> Result<reqwest::Result<Response>> {
        tokio::select! {
            sent = sending => Ok(sent),
            () = activity.timed_out() => {
                let limit = humantime::format_duration(self.limits.idle_timeout);
                let (method, url) = (&request_summary.method, redirect::shown(&request_summary.url));
                let message = format!("{method} {url}: no response within {limit}");
                Err(match self.clients.proxy_of(&request_summary.url) {
                    None => Error::new(Kind::Network, message)
                        .advise("Try again, or raise `network.idle_timeout`: the server or a proxy stalls."),
                    Some(proxy) => Error::new(Kind::Network, format!("{message}, by way of the proxy {proxy}")).advise(
                        "Check that the proxy runs and may connect to this host, or raise `network.idle_timeout`. A host that needs \
                         no proxy goes into NO_PROXY.",
                    ),
                })
            }
        }
    }

    /// Makes a reader of a response with git's content type, and an error of every other.
    async fn accept(
        &self,
        response: Response,
        request_summary: &RequestSummary,
        activity: Arc<Activity>,
    ) -> Result<Reader> {
        let rejection = response::check(&response, request_summary);
        let idle = idle::reader(response, activity);
        let mut reader = self.traffic.count_reads(idle);
        match rejection {
            None => Ok(reader),
            Some(rejection) => Err(rejection
                .explain(&mut reader, self.limits.idle_timeout)
                .await),
        }
    }
}
