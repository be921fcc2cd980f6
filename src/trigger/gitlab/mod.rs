//! GitLab's API for pipelines: creates one, and reads the status of one.

mod api_error;

use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::config::TriggerConfig;
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Clients, Proxy, sending};
use crate::shown;

use self::api_error::Asked;
pub use api_error::{ApiError, Remedy};

/// The largest response that is read; those about one pipeline are far smaller.
const MAX_BODY: usize = 64 << 10;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("crates-ferry-trigger/", env!("CARGO_PKG_VERSION")));

/// What is not escaped in a project's path: GitLab takes the path in place of the id only with its slash as `%2F`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A pipeline, as GitLab describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pipeline {
    /// Its id within the server.
    pub id: u64,
    /// Its status as GitLab names it, for example `pending`, `running`, `success` or `failed`.
    pub status: String,
    /// Its page.
    #[serde(rename = "web_url")]
    pub url: Option<String>,
}

impl Pipeline {
    /// Replaces what GitLab must not make us show: anything but words and the address of a web page; `scrub` masks secrets.
    #[must_use]
    pub fn cleaned(self, scrub: impl Fn(&str) -> String) -> Self {
        let page = |text: String| {
            let url = Url::parse(&text).ok()?;
            let is_page = matches!(url.scheme(), "https" | "http")
                && url.username().is_empty()
                && url.password().is_none();
            is_page.then(|| scrub(url.as_str()))
        };
        Self {
            id: self.id,
            status: scrub(&shown::one_line(&self.status)),
            url: self.url.and_then(page),
        }
    }

    /// Says whether the pipeline has finished, with success or not.
    pub fn is_finished(&self) -> bool {
        matches!(
            self.status.as_str(),
            "success" | "failed" | "canceled" | "skipped"
        )
    }
}

/// The project whose pipelines are fired.
pub struct Project<'a> {
    config: &'a TriggerConfig,
    clients: Clients,
    trigger: Url,
    pipelines: Url,
}

impl<'a> Project<'a> {
    /// Prepares the requests; connects to nothing.
    ///
    /// # Errors
    /// `config` without a token, or for invalid certificates.
    pub fn of(config: &'a TriggerConfig) -> Result<Self> {
        // Checked now: a helper without a token would otherwise only fail at its first pipeline.
        config.gitlab_token()?;
        let project = utf8_percent_encode(&config.trigger.project, PATH);
        let address = |end: &str| {
            let address = format!("{}api/v4/projects/{project}/{end}", config.trigger.gitlab);
            Url::parse(&address)
                .map_err(|e| Error::new(Kind::Config, "trigger.gitlab is not a URL").because(e))
        };
        Ok(Self {
            config,
            clients: Clients::new(&config.network.limits())?,
            trigger: address("trigger/pipeline")?,
            pipelines: address("pipelines/")?,
        })
    }

    /// Says whether there is a token that can read pipelines.
    pub fn can_read(&self) -> bool {
        self.config.secrets.gitlab_read_token.is_some()
    }

    /// Creates a pipeline.
    ///
    /// The token goes into the request's body, never into its URL: proxies log URLs.
    ///
    /// # Errors
    /// What GitLab said, and what to do.
    pub async fn fire(&self, now: SystemTime) -> Result<Pipeline, ApiError> {
        let request = self
            .request(Method::POST, &self.trigger)?
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form()?);
        let asked = Asked {
            url: &self.trigger,
            reads: false,
        };
        self.send(asked, request, now).await
    }

    /// Reads the status of a pipeline.
    ///
    /// # Errors
    /// As [`Project::fire`]; `config` without a token that can read.
    pub async fn pipeline(&self, id: u64, now: SystemTime) -> Result<Pipeline, ApiError> {
        let token = self.config.secrets.gitlab_read_token.as_ref();
        let token = token.ok_or_else(no_read_token)?;
        let mut value = HeaderValue::from_str(token.expose_secret())
            .map_err(|_| Error::new(Kind::Config, "GITLAB_READ_TOKEN is not a valid token"))?;
        // Keeps it out of debug logs, and out of the table of HPACK.
        value.set_sensitive(true);
        let url = self.pipelines.join(&id.to_string());
        let url =
            url.map_err(|e| Error::new(Kind::Config, "trigger.gitlab is not a URL").because(e))?;
        let request = self
            .request(Method::GET, &url)?
            .header("PRIVATE-TOKEN", value);
        let asked = Asked {
            url: &url,
            reads: true,
        };
        self.send(asked, request, now).await
    }

    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder> {
        let client = self.clients.for_url(url)?;
        let limit = self.config.network.idle_timeout;
        // For the whole request: answers are small, so that a slow one is a silent one.
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

    async fn send(
        &self,
        asked: Asked<'_>,
        request: RequestBuilder,
        now: SystemTime,
    ) -> Result<Pipeline, ApiError> {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Err(unsent(asked.url, self.clients.proxy_of(asked.url), error));
            }
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(&mut response).await;
        let body = match (body, status) {
            (Ok(body), _) => body,
            // The status says that the pipeline exists; only which one is lost.
            (Err(error), StatusCode::CREATED | StatusCode::OK) => {
                return Err(ApiError::unanswered(sending(asked.url, None, error), true));
            }
            // The status alone says enough about an error whose text does not arrive.
            (Err(_), _) => Vec::new(),
        };
        if api_error::is_foreign(status, &headers, &body) {
            return Err(api_error::foreign(asked, status, &headers, now));
        }
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map(|pipeline: Pipeline| pipeline.cleaned(|text| self.config.scrub(text)))
                .map_err(|error| not_a_pipeline(asked.url, &error));
        }
        let message = self.config.scrub(&api_error::message(&body));
        Err(api_error::of_response(
            asked, status, &headers, &message, now,
        ))
    }
}

/// Makes the error of a request that got no response.
fn unsent(url: &Url, proxy: Option<&Proxy>, error: reqwest::Error) -> ApiError {
    // Without a connection nobody can have read the request.
    let may_be_created = !error.is_connect() && !error.is_builder();
    ApiError::unanswered(sending(url, proxy, error), may_be_created)
}

/// Makes the error of a successful response that is not a pipeline, or not a whole one.
fn not_a_pipeline(url: &Url, error: &serde_json::Error) -> ApiError {
    let error = Error::new(
        Kind::Server,
        format!("{url}: the response is not a pipeline"),
    )
    .because(error.to_string())
    .advise("Check `trigger.gitlab`: GitLab's pipeline triggers do not give this answer.");
    ApiError::unanswered(error, true)
}

async fn read(response: &mut Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        // What is cut here no longer parses as JSON, and is reported as no pipeline.
        let room = MAX_BODY.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    Ok(body)
}

/// Returns the error of a command that must read pipelines and has no token to do so.
pub fn no_read_token() -> Error {
    Error::new(
        Kind::Config,
        "GITLAB_READ_TOKEN is not set, and trigger tokens cannot read pipelines",
    )
    .advise("Set GITLAB_READ_TOKEN to a project access token with the scope read_api and the role Reporter.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_words_and_the_address_of_a_page_is_taken_from_gitlab() {
        let cleaned = |status: &str, url: &str| {
            let pipeline = Pipeline {
                id: 1,
                status: status.to_owned(),
                url: Some(url.to_owned()),
            };
            let cleaned = pipeline.cleaned(|text| text.replace("glptt-secret", "[masked]"));
            (cleaned.status, cleaned.url)
        };
        let (status, page) = cleaned("run\u{1b}[2J\nning", "https://gitlab.example/p/1\u{202e}\n");
        assert_eq!(status, "run\\u{1b}[2J / ning");
        assert_eq!(page.as_deref(), Some("https://gitlab.example/p/1%E2%80%AE"));
        let (_, page) = cleaned("created", "https://gitlab.example/glptt-secret");
        assert_eq!(page.as_deref(), Some("https://gitlab.example/[masked]"));
        for address in [
            "javascript:alert(1)",
            "https://me:password@gitlab.example/",
            "no address",
        ] {
            assert_eq!(cleaned("created", address).1, None, "{address}");
        }
    }
}
