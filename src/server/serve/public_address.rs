//! The address by which a client reaches the server, for what tells it to go on there: `config.json`, and snippets.
//!
//! Without `serve.public_url` it is the one that the request names. A page of the web may lead a name of its own to this
//! server (DNS rebinding), so only names that are known to be the server's are repeated.

use std::net::{IpAddr, SocketAddr};

use axum::http::StatusCode;
use axum::http::header::{HOST, HeaderMap};
use axum::http::uri::Authority;
use url::{Host, Url};

use crate::config::ServeConfig;
use crate::http::error_response::ErrorResponse;

/// What the server is called.
#[derive(Debug)]
pub(super) struct PublicAddress {
    /// The address for all requests, or else for those that name none.
    usual: String,
    /// Whether `serve.public_url` says so.
    is_fixed: bool,
    scheme: &'static str,
    listen: SocketAddr,
    hosts: Vec<String>,
}

impl PublicAddress {
    pub(super) fn of(config: &ServeConfig) -> Self {
        let serve = &config.serve;
        Self {
            usual: config.public_url(),
            is_fixed: serve.public_url.is_some(),
            scheme: match serve.tls_cert {
                Some(_) => "https",
                None => "http",
            },
            listen: serve.listen,
            hosts: serve.hosts.clone(),
        }
    }

    /// Says whether the answer depends on the host that the request names.
    pub(super) fn varies(&self) -> bool {
        !self.is_fixed
    }

    /// Returns the server's address for a request, without a slash at its end.
    ///
    /// # Errors
    /// 421 for a host that is not known to be the server; 400 for more than one.
    pub(super) fn for_request(
        &self,
        authority: Option<&Authority>,
        headers: &HeaderMap,
    ) -> Result<String, ErrorResponse> {
        if self.is_fixed {
            return Ok(self.usual.clone());
        }
        let mut hosts = headers.get_all(HOST).into_iter();
        let named = match (authority, hosts.next(), hosts.next()) {
            // Before the header (RFC 9112, section 3.2.2).
            (Some(authority), _, _) => authority.as_str().as_bytes(),
            (None, None, _) => return Ok(self.usual.clone()),
            (None, Some(host), None) if host.is_empty() => return Ok(self.usual.clone()),
            (None, Some(host), None) => host.as_bytes(),
            (None, Some(_), Some(_)) => {
                let detail = "the request has more than one Host";
                return Err(ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, detail));
            }
        };
        let url = self.url(named).ok_or_else(|| misdirected("this name"))?;
        match url.host() {
            Some(host) if self.is_ours(&host) => Ok(url.origin().ascii_serialization()),
            Some(host) => Err(misdirected(&format!("`{host}`"))),
            None => Err(misdirected("this name")),
        }
    }

    /// Reads a host and perhaps a port, and nothing else.
    fn url(&self, named: &[u8]) -> Option<Url> {
        let authority = Authority::try_from(named).ok()?;
        let url = Url::parse(&format!("{}://{authority}/", self.scheme)).ok()?;
        (url.username().is_empty() && url.password().is_none()).then_some(url)
    }

    fn is_ours(&self, host: &Host<&str>) -> bool {
        let address = match host {
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address).to_canonical()),
            Host::Domain(_) => None,
        };
        let is_local = match (address, host) {
            (Some(address), _) => address.is_loopback() || address == self.listen.ip(),
            // Never asked of a DNS server (RFC 6761, section 6.3).
            (None, Host::Domain(name)) => *name == "localhost" || name.ends_with(".localhost"),
            (None, _) => false,
        };
        is_local || self.is_listed(host)
    }

    fn is_listed(&self, host: &Host<&str>) -> bool {
        let host = host.to_string();
        let host = host.trim_matches(['[', ']']);
        self.hosts.iter().any(|listed| listed == host)
    }
}

fn misdirected(name: &str) -> ErrorResponse {
    let detail = format!(
        "this server does not know that {name} is its own: add it to serve.hosts (FERRY_SERVE_HOSTS), or set serve.public_url"
    );
    ErrorResponse::for_cargo(StatusCode::MISDIRECTED_REQUEST, detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::HeaderValue;
    use axum::response::IntoResponse as _;

    use super::*;
    use crate::config::{Environment, Flags};

    fn address(pairs: &[(&str, &str)]) -> PublicAddress {
        let environment = Environment::from_pairs(pairs.iter().copied());
        PublicAddress::of(&ServeConfig::load(&Flags::default(), &environment).unwrap())
    }

    /// Returns the address, or the status of the refusal.
    fn asked(address: &PublicAddress, hosts: &[&str]) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        let answer = address.for_request(None, &headers);
        answer.map_err(|error| error.into_response().status().as_u16())
    }

    #[test]
    fn a_host_is_repeated_only_where_it_is_known() {
        let known = address(&[
            ("FERRY_SERVE_LISTEN", "192.0.2.7:8090"),
            ("FERRY_SERVE_HOSTS", "Crates.example,2001:db8::1"),
        ]);
        for (host, url) in [
            ("localhost:8090", "http://localhost:8090"),
            ("LOCALHOST", "http://localhost"),
            ("mirror.localhost:1", "http://mirror.localhost:1"),
            ("127.0.0.1:80", "http://127.0.0.1"),
            ("127.9.9.9:9", "http://127.9.9.9:9"),
            ("[::1]:8090", "http://[::1]:8090"),
            ("192.0.2.7:18090", "http://192.0.2.7:18090"),
            ("crates.EXAMPLE:8090", "http://crates.example:8090"),
            ("[2001:db8::1]", "http://[2001:db8::1]"),
            ("", "http://192.0.2.7:8090"),
        ] {
            assert_eq!(asked(&known, &[host]), Ok(url.to_owned()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evillocalhost",
            "192.0.2.8",
            "crates.example.evil.example",
            "0.0.0.0:8090",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost/path",
            "localhost:port",
            "a b",
            "\\localhost",
            "xn--.example",
        ] {
            assert_eq!(asked(&known, &[host]), Err(421), "{host}");
        }
        assert_eq!(asked(&known, &["localhost", "localhost"]), Err(400));
        assert_eq!(asked(&known, &[]), Ok("http://192.0.2.7:8090".to_owned()));
    }

    #[test]
    fn the_uri_counts_before_the_header() {
        let known = address(&[("FERRY_SERVE_TLS_CERT", "a"), ("FERRY_SERVE_TLS_KEY", "b")]);
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
        let asked = |authority| {
            let authority = Authority::from_static(authority);
            known.for_request(Some(&authority), &headers)
        };
        assert_eq!(asked("127.0.0.1:443").unwrap(), "https://127.0.0.1");
        let refused = asked("evil.example").unwrap_err().into_response();
        assert_eq!(refused.status().as_u16(), 421);
    }

    #[test]
    fn a_public_url_is_the_answer_to_all() {
        let fixed = address(&[("FERRY_SERVE_PUBLIC_URL", "https://crates.example/base/")]);
        for host in ["evil.example", "localhost", "a b"] {
            let url = "https://crates.example/base".to_owned();
            assert_eq!(asked(&fixed, &[host]), Ok(url));
        }
        assert!(!fixed.varies());
    }
}
