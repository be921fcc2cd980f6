//! Addresses: of repositories, of web pages, and what to listen on.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use secrecy::ExposeSecret as _;
use url::{Host, Url};

use crate::config::secrets;
use crate::git::{RemoteUrl, url_fault};
use crate::index::download::{MARKERS, has_marker};

/// An address, or all addresses of a network. Uses ipnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses(IpNet);

impl Addresses {
    /// Says whether an address is one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

/// The longest address for cargo, in bytes.
pub(super) const LONGEST: usize = 2048;

/// Reads the address of a git repository.
pub(in super::super) fn remote_url(text: &str) -> Result<RemoteUrl, String> {
    let url = text
        .parse()
        .map_err(|e| format!("expected the address of a repository: {e}"))?;
    match &url {
        RemoteUrl::Http {
            password: Some(password),
            ..
        } if !secrets::is_long_enough(password.expose_secret()) => Err(format!(
            "the password in the address has fewer than {} characters, too few to be masked where a server repeats it",
            secrets::SHORTEST
        )),
        _ => Ok(url),
    }
}

/// Reads where crate files are: an address for cargo that may carry its markers. A slash at its end is dropped where cargo
/// appends a path, which begins with one.
///
/// # Errors
/// What was expected.
pub fn dl(text: &str) -> Result<String, String> {
    let filled = MARKERS.iter().fold(text.to_owned(), |filled, marker| {
        filled.replace(marker, "x")
    });
    web_address(&filled)?;
    if filled.contains(['{', '}']) {
        // What is left of the markers once those that cargo knows are filled in.
        let at = filled.find(['{', '}']).unwrap_or_default();
        let end = filled[at..]
            .find('}')
            .map_or(filled.len(), |end| at + end + 1);
        let known = MARKERS.join(", ");
        return Err(format!(
            "expected no other markers than cargo's own ({known}), found `{}`",
            filled[at..end].escape_debug()
        ));
    }
    Ok(match has_marker(text) {
        true => text.to_owned(),
        false => text.trim_end_matches('/').to_owned(),
    })
}

/// Reads an address for cargo, which is passed on as it is.
///
/// # Errors
/// What was expected.
pub(in super::super) fn web_address(text: &str) -> Result<String, String> {
    let expected = || "expected an address that begins with https:// or http://".to_owned();
    if text.len() > LONGEST {
        return Err(format!("{} of at most {LONGEST} bytes", expected()));
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(format!("{} without white space", expected()));
    }
    let url = Url::parse(text).map_err(|e| format!("{}: {}", expected(), url_fault(e)))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(expected());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address is published in the mirror's config.json and must not carry a user or a password".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads the name or the address of a host, as a URL has it.
pub(in super::super) fn host(text: &str) -> Result<String, String> {
    let text = text.trim_matches(['[', ']']);
    let host = match text.parse::<std::net::Ipv6Addr>() {
        Ok(address) => Ok(Host::Ipv6(address)),
        Err(_) => Host::parse(text),
    };
    match host {
        Ok(host) => Ok(host.to_string().trim_matches(['[', ']']).to_owned()),
        Err(_) => Err(format!(
            "expected the name or the address of a host, without a port, found `{}`",
            text.escape_debug()
        )),
    }
}

/// Reads an address, or a network in CIDR notation.
pub(in super::super) fn addresses(text: &str) -> Result<Addresses, String> {
    let alone = text.parse::<IpAddr>().map(IpNet::from);
    alone.or_else(|_| text.parse()).map(Addresses).map_err(|_| {
        format!(
            "expected an IP address or a network, such as 10.0.0.7 or 10.0.0.0/8, found `{}`",
            text.escape_debug()
        )
    })
}

/// Says whether it is the address of an HTTP server, without a password or parameters. Nobody can connect to port 0.
fn is_server(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.port() != Some(0)
}

/// Reads the address by which clients reach the API server.
pub(in super::super) fn public_url(text: &str) -> Result<Url, String> {
    const EXPECTED: &str =
        "expected the address that clients use, such as https://crates.example.com";
    // Where it was copied from cargo's configuration.
    let text = text.strip_prefix("sparse+").unwrap_or(text);
    let url = Url::parse(text).map_err(|e| format!("{EXPECTED} ({})", url_fault(e)))?;
    // What cargo's configuration has, and what the server appends by itself.
    let path = url.path().trim_end_matches('/');
    if let Some(server) = path.strip_suffix("/index") {
        let mut server_url = url.clone();
        server_url.set_path(server);
        let server_url = server_url.as_str().trim_end_matches('/');
        return Err(format!(
            "expected the address of the server, without the path of its index: {server_url}"
        ));
    }
    match is_server(&url) {
        true => Ok(url),
        false => Err(EXPECTED.to_owned()),
    }
}

/// Reads the address of a sparse index, with or without cargo's `sparse+`; it ends in a slash.
pub(in super::super) fn sparse_index(text: &str) -> Result<Url, String> {
    const EXPECTED: &str =
        "expected the address of a sparse index, such as sparse+https://index.example.com/";
    let address = text.strip_prefix("sparse+").unwrap_or(text);
    let mut url = Url::parse(address).map_err(|e| format!("{EXPECTED} ({})", url_fault(e)))?;
    if !is_server(&url) {
        return Err(EXPECTED.to_owned());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Reads the address of a GitLab server, which may lie below a path.
pub(in super::super) fn gitlab_server(text: &str) -> Result<Url, String> {
    const EXPECTED: &str =
        "expected the address of a GitLab server, such as https://gitlab.example.com";
    let mut url = Url::parse(text).map_err(|e| format!("{EXPECTED} ({})", url_fault(e)))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(EXPECTED.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "{EXPECTED}, without user and password: the token comes from GITLAB_TRIGGER_TOKEN"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{EXPECTED}, without a query or a fragment"));
    }
    if url.path().contains("/api/v") {
        return Err(format!("{EXPECTED}, without the path of its API"));
    }
    // `Url::join` replaces what comes after the last slash: without one at the end it would replace the path itself.
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Reads the address and port of a listener.
pub(in super::super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "expected an IP address and a port, such as 127.0.0.1:8095 or [::1]:8095, found `{}`",
            text.escape_debug()
        )
    })
}
