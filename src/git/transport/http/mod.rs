//! Git's smart HTTP protocol, as `gitprotocol-http` describes it: an advertisement, then one request a command.

mod answer;
mod banner;
mod body;
mod clients;
mod failure;
mod idle;
mod redirect;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, PRAGMA};
use reqwest::{Body, Method, RequestBuilder, Response};
use tokio::sync::mpsc::Receiver;
use url::Url;

use self::answer::Question;
use self::body::{Gathered, PackBody};
pub(crate) use self::clients::Clients;
pub(crate) use self::failure::sending;
use self::idle::Activity;
use super::stream::Counted;
use super::{Reader, Service, Traffic};
use crate::error::{Error, Kind, Result};
use crate::git::transport::{BasicAuth, Limits};

/// How many redirects of an advertisement are followed.
const MAX_REDIRECTS: usize = 5;

/// A git repository behind a smart HTTP server.
///
/// An `http://` remote behind a proxy that itself speaks TLS (`HTTP_PROXY=https://…`) works only where
/// `network.ca_file` names the proxy's authority: the system's certificates are loaded for `https://` alone.
pub struct HttpRemote {
    clients: Clients,
    /// Where the repository is now: as configured, or where a redirect led.
    base: Mutex<Url>,
    /// The only server that gets the credentials.
    origin: url::Origin,
    credentials: Option<BasicAuth>,
    limits: Limits,
    traffic: Arc<Traffic>,
}

impl HttpRemote {
    /// Makes a remote without connecting to it; the credentials are sent from the first request on, as basic auth.
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
        let clients = Clients::new(limits)?;
        clients.for_url(&base)?;
        Ok(Self {
            clients,
            origin: base.origin(),
            base: Mutex::new(base),
            credentials,
            limits: limits.clone(),
            traffic,
        })
    }

    /// Asks for a service's advertisement and returns a reader over its pkt-lines, without the `# service=` banner.
    ///
    /// Redirects are followed here and only here; where they lead is where every later request goes, of both
    /// services. Another origin never gets the credentials.
    ///
    /// # Errors
    /// `network`, `server`, `auth`, `permission` or `config`, as the connection and the status say.
    pub async fn advertisement(&self, service: Service, v2: bool) -> Result<Reader> {
        let mut url = redirect::info_refs(&self.base(), service);
        for _ in 0..=MAX_REDIRECTS {
            let question = self.question(Method::GET, &url, service, "advertisement");
            let request = self.request(&question, v2)?.header(PRAGMA, "no-cache");
            let activity = Activity::new(self.limits.idle_timeout);
            let response = self.send(request, &question, &activity).await?;
            if redirect::is_redirect(response.status()) {
                url = redirect::target(&url, response.headers().get(LOCATION))?;
                continue;
            }
            let reader = self.accept(response, &question, activity).await?;
            let base = redirect::base_of_info_refs(&url)?;
            *self.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
            return banner::skip(reader)
                .await
                .map_err(|error| failure::reading(&url, &error));
        }
        Err(redirect::too_many(&self.base(), MAX_REDIRECTS))
    }

    /// Sends a whole request to a service and returns a reader over its answer.
    ///
    /// # Errors
    /// `network`, `server`, `auth`, `permission` or `config`, as the connection and the status say.
    pub async fn post(&self, service: Service, v2: bool, body: Bytes) -> Result<Reader> {
        let url = redirect::endpoint(&self.base(), service);
        let question = self.question(Method::POST, &url, service, "result");
        let request = self.post_request(&question, v2)?;
        let activity = Activity::new(self.limits.idle_timeout);
        self.send_whole(request, &question, activity, body).await
    }

    /// Sends `head` and then the chunks of `pack`, until its channel closes, to `receive-pack`.
    ///
    /// The request starts once a chunk is there, since proxies time out idle bodies: whole with its length where
    /// all of it is at most 1 MiB, else chunked. An `Err` in the channel cuts the request, so that the server never
    /// takes the part for the whole; so the sender must end with an `Err` rather than be dropped halfway.
    ///
    /// # Errors
    /// `network`, also where the channel brought an `Err` or no chunk at all; `server`, `auth`, `permission` or
    /// `config`, as the status says.
    pub async fn push(&self, head: Bytes, pack: Receiver<io::Result<Bytes>>) -> Result<Reader> {
        let url = redirect::endpoint(&self.base(), Service::ReceivePack);
        let question = self.question(Method::POST, &url, Service::ReceivePack, "result");
        let gathered = body::gather(head, pack)
            .await
            .map_err(|error| failure::broken_pack(&url, &error))?;
        let request = self.post_request(&question, false)?;
        let activity = Activity::new(self.limits.idle_timeout);
        match gathered {
            Gathered::Whole(body) => self.send_whole(request, &question, activity, body).await,
            Gathered::Start(start, rest) => {
                let traffic = Arc::clone(&self.traffic);
                let body = PackBody::new(start, rest, Arc::clone(&activity), traffic);
                let request = request.body(Body::wrap_stream(body));
                let response = self.send(request, &question, &activity).await?;
                self.accept(response, &question, activity).await
            }
        }
    }

    fn base(&self) -> Url {
        self.base
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn question(&self, method: Method, url: &Url, service: Service, part: &str) -> Question {
        Question {
            method,
            url: url.clone(),
            service,
            expected: format!("application/x-{}-{part}", service.name()),
            user: self.credentials.as_ref().map(|c| c.user.clone()),
            at_home: url.origin() == self.origin,
        }
    }

    fn request(&self, question: &Question, v2: bool) -> Result<RequestBuilder> {
        let mut request = self
            .clients
            .for_url(&question.url)?
            .request(question.method.clone(), question.url.clone());
        if v2 {
            request = request.header("Git-Protocol", "version=2");
        }
        if let Some(credentials) = self.credentials.as_ref().filter(|_| question.at_home) {
            request = credentials.sign(request);
        }
        Ok(request)
    }

    fn post_request(&self, question: &Question, v2: bool) -> Result<RequestBuilder> {
        let content = format!("application/x-{}-request", question.service.name());
        Ok(self
            .request(question, v2)?
            .header(CONTENT_TYPE, content)
            .header(ACCEPT, &question.expected))
    }

    async fn send_whole(
        &self,
        request: RequestBuilder,
        question: &Question,
        activity: Arc<Activity>,
        body: Bytes,
    ) -> Result<Reader> {
        self.traffic.add_sent(body.len());
        let request = request.header(CONTENT_LENGTH, body.len()).body(body);
        let response = self.send(request, question, &activity).await?;
        self.accept(response, question, activity).await
    }

    /// Sends a request and waits for the head of its answer, or for a silence that is too long.
    async fn send(
        &self,
        request: RequestBuilder,
        question: &Question,
        activity: &Activity,
    ) -> Result<Response> {
        let (method, url) = (&question.method, redirect::shown(&question.url));
        let response = tokio::select! {
            sent = request.send() => sent.map_err(|error| failure::sending(&question.url, error))?,
            () = activity.silence() => {
                let limit = humantime::format_duration(self.limits.idle_timeout);
                return Err(Error::new(Kind::Network, format!("{method} {url}: no answer within {limit}"))
                    .advise("The server or a proxy stalls; `network.idle_timeout` is the longest silence that is borne."));
            }
        };
        tracing::debug!(
            "{method} {url} ({}): {}",
            question.service.name(),
            response.status()
        );
        Ok(response)
    }

    /// Makes a reader of an answer that says yes in git's own words, and an error of every other.
    async fn accept(
        &self,
        response: Response,
        question: &Question,
        activity: Arc<Activity>,
    ) -> Result<Reader> {
        let refusal = answer::judge(&response, question);
        let idle = idle::reader(response, activity);
        let mut reader: Reader = Box::new(Counted::new(idle, Arc::clone(&self.traffic)));
        match refusal {
            None => Ok(reader),
            Some(refusal) => Err(refusal.explain(&mut reader, self.limits.idle_timeout).await),
        }
    }
}
