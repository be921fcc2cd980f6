//! Asks a GitLab server for pipelines: fires one, reads how one goes.

mod api_error;

use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::config::TriggerConfig;
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Clients, sending};

pub use api_error::{Refusal, Remedy};

/// More than any answer about one pipeline; the rest of a longer one is not read.
const ANSWER: usize = 64 << 10;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("crates-ferry-trigger/", env!("CARGO_PKG_VERSION")));

/// What a project's path keeps when it stands in place of its number: everything else is escaped, the slash above all.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A pipeline, as GitLab describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pipeline {
    /// Its number within the server.
    pub id: u64,
    /// GitLab's word for its state, for example `pending`, `running`, `success` or `failed`.
    pub status: String,
    /// Its page.
    #[serde(rename = "web_url")]
    pub url: Option<String>,
}

/// The project whose pipelines are fired.
pub struct Project<'a> {
    config: &'a TriggerConfig,
    clients: Clients,
    trigger: Url,
    pipelines: Url,
}

impl<'a> Project<'a> {
    /// Prepares the requests; nothing is opened yet.
    ///
    /// # Errors
    /// `config` without a token, or for unusable certificates.
    pub fn of(config: &'a TriggerConfig) -> Result<Self> {
        config.gitlab_token()?;
        let project = utf8_percent_encode(&config.trigger.project, PATH);
        let address = |end: &str| {
            let address = format!("{}api/v4/projects/{project}/{end}", config.trigger.gitlab);
            Url::parse(&address)
                .map_err(|e| Error::new(Kind::Config, "trigger.gitlab is no address").because(e))
        };
        Ok(Self {
            config,
            clients: Clients::new(&config.network.limits())?,
            trigger: address("trigger/pipeline")?,
            pipelines: address("pipelines/")?,
        })
    }

    /// Says whether there is a token that may read pipelines.
    pub fn can_read(&self) -> bool {
        self.config.secrets.gitlab_read_token.is_some()
    }

    /// Asks for one pipeline. The token goes in the request's body, never in its address.
    ///
    /// # Errors
    /// What GitLab said, and what is to be done about it.
    pub async fn fire(&self, now: SystemTime) -> Result<Pipeline, Refusal> {
        let request = self
            .request(Method::POST, &self.trigger)?
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form()?);
        self.ask("firing a pipeline", &self.trigger, request, now)
            .await
    }

    /// Reads how a pipeline goes.
    ///
    /// # Errors
    /// As [`Project::fire`]; `config` without a token that may read.
    pub async fn pipeline(&self, id: u64, now: SystemTime) -> Result<Pipeline, Refusal> {
        let token = self.config.secrets.gitlab_read_token.as_ref();
        let token = token.ok_or_else(no_read_token)?;
        let mut value = HeaderValue::from_str(token.expose_secret())
            .map_err(|_| Error::new(Kind::Config, "GITLAB_READ_TOKEN: it is no token"))?;
        value.set_sensitive(true);
        let url = self.pipelines.join(&id.to_string());
        let url =
            url.map_err(|e| Error::new(Kind::Config, "trigger.gitlab is no address").because(e))?;
        let request = self
            .request(Method::GET, &url)?
            .header("PRIVATE-TOKEN", value);
        self.ask("reading a pipeline", &url, request, now).await
    }

    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder> {
        let client = self.clients.for_url(url)?;
        let limit = self.config.network.idle_timeout;
        let request = client.request(method, url.clone()).timeout(limit);
        Ok(request.header(USER_AGENT, AGENT))
    }

    fn form(&self) -> Result<String> {
        let trigger = &self.config.trigger;
        let mut form = Serializer::new(String::new());
        form.append_pair("token", self.config.gitlab_token()?.expose_secret());
        form.append_pair("ref", &trigger.reference);
        for (name, value) in &trigger.variables {
            form.append_pair(&format!("variables[{name}]"), value);
        }
        for (name, value) in &trigger.inputs {
            form.append_pair(&format!("inputs[{name}]"), value);
        }
        Ok(form.finish())
    }

    async fn ask(
        &self,
        doing: &str,
        url: &Url,
        request: RequestBuilder,
        now: SystemTime,
    ) -> Result<Pipeline, Refusal> {
        let place = format!("GitLab {url}, {doing}");
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(unsent(url, error)),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(&mut response).await;
        let body = match (body, status) {
            (Ok(body), _) => body,
            (Err(error), StatusCode::CREATED | StatusCode::OK) => {
                return Err(Refusal::unanswered(sending(url, error), true));
            }
            // What a refusal says is worth less than that it is one.
            (Err(_), _) => Vec::new(),
        };
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| unreadable(&place, &headers, &error));
        }
        let words = self.config.scrub(&api_error::words(&body));
        Err(api_error::refusal(&place, status, &headers, &words, now))
    }
}

/// Makes the refusal of a request that got no answer.
fn unsent(url: &Url, error: reqwest::Error) -> Refusal {
    let may_be_created = !error.is_connect() && !error.is_builder();
    Refusal::unanswered(sending(url, error), may_be_created)
}

/// An answer that says "created" and cannot be read: a portal in between, or GitLab cut short.
fn unreadable(place: &str, headers: &HeaderMap, error: &serde_json::Error) -> Refusal {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let is_json = kind.is_some_and(|kind| kind.contains("json"));
    let found = kind.unwrap_or("no content type");
    let error = Error::new(
        Kind::Server,
        format!("{place}: the answer is no pipeline ({found})"),
    )
    .because(error.to_string())
    .advise("Check trigger.gitlab: a proxy or a login page may answer in GitLab's place.");
    Refusal::unanswered(error, is_json)
}

async fn read(response: &mut Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = ANSWER.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    Ok(body)
}

/// Makes the error of a look at a pipeline without a token for it.
pub fn no_read_token() -> Error {
    Error::new(
        Kind::Config,
        "GITLAB_READ_TOKEN is not set, and a trigger token cannot read pipelines",
    )
    .advise("Set it to a project access token with the scope read_api and the role Reporter.")
}
