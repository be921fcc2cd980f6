//! `/setup`: how cargo, CI jobs and image builds use this server.

use askama::Template;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use url::Url;

use super::frame::Frame;
use super::text::clean;
use super::{error, later, respond};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::server::cargo_config;
use crate::server::serve::state::State;

/// The registry's name in cargo's configuration, as `cargo-config` writes it.
const NAME: &str = "mirror";
/// The lines for a cargo that reads no sparse index. It knows no `[registries]` as the source of others either.
const OLD_CARGO: &str = "[source.crates-io]\nreplace-with = \"mirror\"\n\n[source.mirror]\nregistry = \"ADDRESS OF THE GIT REPOSITORY\"";

#[derive(Template)]
#[template(path = "server/serve/pages/setup.html")]
struct Setup {
    frame: Frame,
    address: String,
    reached: Reached,
    snippets: Snippets,
    /// The variable from which cargo takes the token, if one is needed.
    token: Option<String>,
    name: &'static str,
    /// Whether there is a policy, which the git repository of the index does not know.
    has_policy: bool,
    /// Whether there is a registry of private crates.
    has_private: bool,
    /// Whether `cargo search` is answered.
    has_search: bool,
}

/// The lines for each place.
struct Snippets {
    cargo: String,
    gitlab: String,
    docker: String,
}

/// Whether the browser reached the server under the address that cargo will use.
enum Reached {
    Same,
    Other(String),
    Unknown,
}

/// Shows the page.
pub(in crate::server::serve) fn show(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let address = state
        .address
        .for_request(request.authority, &request.headers);
    let address = address.map_err(|error| error.as_page(error::show))?;
    let asked = asked(request.authority, &request.headers);
    let headers = request.headers;
    let needs_token = state.config.serve.auth.is_some();
    let page = Setup {
        frame: Frame::new(state, "Set up cargo"),
        reached: Reached::of(asked.as_deref(), &address),
        snippets: Snippets::new(&address, needs_token),
        address,
        token: needs_token.then(|| cargo_config::token_variable(NAME)),
        name: NAME,
        has_policy: state.has_policy(),
        has_private: state.private.is_some(),
        has_search: state.config.serve.catalog,
    };
    later(respond(state, headers, StatusCode::OK, move || page))
}

/// Returns the host that the client asked, with its port.
fn asked(authority: Option<&Authority>, headers: &HeaderMap) -> Option<String> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = authority.map(Authority::as_str);
    authority.or(host).map(str::to_owned)
}

impl Reached {
    fn of(asked: Option<&str>, address: &str) -> Self {
        let Some((asked, url)) = asked.zip(Url::parse(address).ok()) else {
            return Self::Unknown;
        };
        // With the scheme of ours, so that a port that goes without saying is the same in both.
        let Ok(asked_url) = Url::parse(&format!("{}://{asked}", url.scheme())) else {
            return Self::Unknown;
        };
        let place = |url: &Url| {
            (
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
            )
        };
        match place(&asked_url) == place(&url) {
            true => Self::Same,
            false => Self::Other(clean(asked)),
        }
    }
}

impl Snippets {
    fn new(address: &str, needs_token: bool) -> Self {
        let cargo = cargo_config::lines_at(address, NAME, needs_token);
        let token = needs_token.then(|| cargo_config::token_variable(NAME));
        // Comments that speak to a person at a terminal.
        let lines: Vec<_> = cargo
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        Self {
            gitlab: for_gitlab(&lines, token.as_deref()),
            docker: for_docker(&lines, token.as_deref()),
            cargo: cargo.trim_end().to_owned(),
        }
    }
}

/// Makes a part of `.gitlab-ci.yml`.
fn for_gitlab(lines: &[&str], token: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(variable) = token {
        text.push_str(&format!(
            "# {variable}: a masked CI/CD variable of the project or group.\n"
        ));
    }
    text.push_str(
        "default:\n  before_script:\n    - mkdir -p \"${CARGO_HOME:=$HOME/.cargo}\"\n    - |\n      cat >> \"$CARGO_HOME/config.toml\" <<'EOF'\n",
    );
    for line in lines {
        let indent = if line.is_empty() { "" } else { "      " };
        text.push_str(&format!("{indent}{line}\n"));
    }
    text.push_str("      EOF");
    text
}

/// Makes a part of a Dockerfile on the official image of Rust.
fn for_docker(lines: &[&str], token: Option<&str>) -> String {
    let lines = lines.join("\n");
    let build = match token {
        Some(variable) => format!(
            "# docker build --secret id=token,env={variable} .\nRUN --mount=type=secret,id=token \\\n    {variable}=\"$(cat /run/secrets/token)\" cargo build --release --locked"
        ),
        None => "RUN cargo build --release --locked".to_owned(),
    };
    format!("COPY <<'EOF' /usr/local/cargo/config.toml\n{lines}\nEOF\n{build}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_same_with_and_without_its_usual_port() {
        let is_same = |asked, address| matches!(Reached::of(Some(asked), address), Reached::Same);
        assert!(is_same("crates.example", "https://crates.example"));
        assert!(is_same(
            "Crates.example:443",
            "https://crates.example/below"
        ));
        assert!(is_same("127.0.0.1:8090", "http://127.0.0.1:8090"));
        assert!(!is_same("localhost:8090", "http://127.0.0.1:8090"));
        assert!(!is_same("crates.example:80", "https://crates.example"));
        assert!(matches!(
            Reached::of(None, "http://a.example"),
            Reached::Unknown
        ));
        assert!(matches!(
            Reached::of(Some("a b"), "http://a.example"),
            Reached::Unknown
        ));
    }
}
