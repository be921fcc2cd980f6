//! The proxies that HTTP goes through: which one for a URL, and what failed at it.

mod fault;

use std::fmt;
use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;
use reqwest::ClientBuilder;
use url::Url;

use crate::error::{Error, Kind};
use fault::{Fault, Said};

/// The schemes of proxies, each with its usual port.
const SCHEMES: [(&str, u16); 6] = [
    ("http", 80),
    ("https", 443),
    ("socks5", 1080),
    ("socks5h", 1080),
    ("socks4", 1080),
    ("socks4a", 1080),
];

/// A proxy. Displayed without user and password, with the variable that names it; as `Debug`, too.
#[derive(Clone)]
pub struct Proxy {
    url: Url,
    variable: String,
}

impl Proxy {
    /// Reads the value of a variable such as `HTTPS_PROXY`, as curl does: without a scheme it means `http://`.
    ///
    /// # Errors
    /// What is wrong with it; never the value, which may hold a password.
    pub fn new(variable: &str, value: &str) -> Result<Self, String> {
        const ENCODE: &str =
            "in its user and password, write `#` as %23, `/` as %2F, `?` as %3F and `%` as %25";
        let with_scheme = match value.contains("://") {
            true => value.to_owned(),
            false => format!("http://{value}"),
        };
        let mut url = Url::parse(&with_scheme)
            .map_err(|e| format!("not the URL of a proxy ({e}); {ENCODE}"))?;
        let Some((_, port)) = SCHEMES.iter().find(|(scheme, _)| *scheme == url.scheme()) else {
            let schemes = SCHEMES.map(|(scheme, _)| format!("{scheme}://")).join(", ");
            return Err(format!(
                "the scheme of the proxy's URL must be one of {schemes}"
            ));
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err("the proxy's URL names no host".to_owned());
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "the proxy's URL goes on after its host and port; {ENCODE}"
            ));
        }
        if url.port_or_known_default().is_none() {
            // Never fails: there is a host.
            let _ = url.set_port(Some(*port));
        }
        let variable = variable.to_owned();
        Ok(Self { url, variable })
    }

    /// Returns the password as it is sent, and as it is written in the URL.
    pub fn passwords(&self) -> Option<[String; 2]> {
        let written = self.url.password()?;
        let sent = percent_decode_str(written).decode_utf8_lossy();
        Some([sent.into_owned(), written.to_owned()])
    }

    /// Explains a request to `host` that failed at the proxy; `None` if the proxy did its part.
    pub fn explain(&self, host: &str, error: &reqwest::Error) -> Option<Error> {
        let said = Said::by(error);
        let fault = said.fault()?;
        let variable = &self.variable;
        let what = match fault {
            Fault::Login => return Some(self.wants_login()),
            Fault::Target => {
                let message = format!("{host}: its name cannot be resolved");
                let advice = format!("With socks5h:// in {variable} the proxy resolves names.");
                let error = Error::new(Kind::Network, message).because(said.cause);
                return Some(error.advise(advice));
            }
            Fault::Name => "its name cannot be resolved".to_owned(),
            Fault::Silence => {
                format!("no connection to {host} within `network.connect_timeout`")
            }
            Fault::Connection => "cannot connect".to_owned(),
            Fault::Refusal => format!("it refuses to connect to {host}, or cannot reach it"),
            Fault::Protocol => "it does not answer as a proxy".to_owned(),
        };
        let advice = match fault {
            Fault::Refusal => format!(
                "Ask the administrator of the proxy to allow {host} and to check that the proxy can reach it."
            ),
            _ => format!("Check the host and port in {variable}, and that the proxy is running."),
        };
        let error = Error::new(Kind::Network, format!("the proxy {self}: {what}")).advise(format!(
            "{advice} A host that needs no proxy goes into NO_PROXY."
        ));
        // The library's words for a tunnel say less than ours.
        Some(match said.cause.starts_with("tunnel error") {
            true => error,
            false => error.because(said.cause),
        })
    }

    /// Makes the error of a proxy that lets nobody through without a password, or not with this one.
    pub fn wants_login(&self) -> Error {
        let variable = &self.variable;
        let (what, advice) = match self.url.username() {
            "" => (
                "requires authentication",
                format!(
                    "Put the proxy's user and password into {variable}: http://USER:PASSWORD@HOST:PORT."
                ),
            ),
            _ => (
                "does not accept the user and password",
                format!("Check the user and password in {variable}."),
            ),
        };
        Error::new(Kind::Config, format!("the proxy {self} {what}")).advise(advice)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
        let port = url.port_or_known_default().unwrap_or_default();
        write!(f, "{scheme}://{host}:{port} ({})", self.variable)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Which proxy HTTP goes through.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// An element of `NO_PROXY`.
#[derive(Debug)]
struct Exception {
    /// The only port that it is for, if it names one.
    port: Option<u16>,
    /// Intercepts all hosts but those that it is for; `None` for `*`, which the library takes for names alone.
    others: Option<Matcher>,
}

impl Proxies {
    /// Takes the proxies for `http://` and `https://`, and the value of `NO_PROXY`.
    pub fn new(http: Option<Proxy>, https: Option<Proxy>, no_proxy: &str) -> Self {
        let elements = no_proxy.split(|letter: char| letter == ',' || letter.is_whitespace());
        let exceptions = elements.filter(|element| !element.is_empty());
        Self(Arc::new(Inner {
            http,
            https,
            exceptions: exceptions.map(Exception::new).collect(),
        }))
    }

    /// Returns the proxy that a URL is requested through.
    pub fn proxy_of(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "http" => self.0.http.as_ref(),
            _ => self.0.https.as_ref(),
        };
        let is_excepted = |exception: &Exception| exception.is_for(url);
        proxy.filter(|_| !self.0.exceptions.iter().any(is_excepted))
    }

    /// Returns the names of the proxies' hosts.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        let proxies = [&self.0.http, &self.0.https].into_iter().flatten();
        proxies.filter_map(|proxy| proxy.url.host_str().map(str::to_ascii_lowercase))
    }

    /// Sends the requests of a client through the proxies. Without this reqwest would read the environment itself, and take a
    /// proxy that it does not understand for none.
    pub fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let proxies = self.clone();
        builder.proxy(reqwest::Proxy::custom(move |url| {
            proxies.proxy_of(url).map(|proxy| proxy.url.clone())
        }))
    }
}

impl Exception {
    fn new(element: &str) -> Self {
        let (host, port) = match element.rsplit_once(':') {
            // The colons of an IPv6 address are none of a port.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => port
                .parse()
                .map_or((element, None), |port| (host, Some(port))),
            _ => (element, None),
        };
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let matcher = || {
            Matcher::builder()
                .all("http://proxy.invalid")
                .no(host)
                .build()
        };
        Self {
            port,
            others: (host != "*").then(matcher),
        }
    }

    fn is_for(&self, url: &Url) -> bool {
        let is_port = self.port.is_none() || self.port == url.port_or_known_default();
        let is_other = |matcher: &Matcher| {
            let uri = url.as_str().parse::<Uri>();
            uri.is_ok_and(|uri| matcher.intercept(&uri).is_some())
        };
        is_port && !self.others.as_ref().is_some_and(is_other)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        for (value, shown) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("proxy.example:3128/", "http://proxy.example:3128"),
            ("http://me:hunter2@proxy.example", "http://proxy.example:80"),
            ("me:hunter2@proxy.example:81", "http://proxy.example:81"),
            ("socks5h://me:hunter%232@[::1]", "socks5h://[::1]:1080"),
        ] {
            let proxy = Proxy::new("HTTPS_PROXY", value).unwrap();
            assert_eq!(proxy.to_string(), format!("{shown} (HTTPS_PROXY)"));
            assert!(!format!("{proxy:?}").contains("hunter"), "{proxy:?}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_the_value() {
        for (value, reason) in [
            ("http://me:hun#ter2@proxy.example:1", "%23"),
            ("http://me:1#hunter2@proxy.example:1", "%23"),
            ("http://me:1?hunter2@proxy.example:1", "%3F"),
            ("http://me:1/hunter2@proxy.example:1", "%2F"),
            ("ftp://hunter2.example", "socks5h://"),
            ("http://", "not the URL"),
            ("socks5://", "no host"),
        ] {
            let told = Proxy::new("HTTPS_PROXY", value).expect_err(value);
            assert!(told.contains(reason) && !told.contains("hunter"), "{told}");
        }
    }

    #[test]
    fn no_proxy_is_read_as_curl_reads_it() {
        let is_direct = |no_proxy: &str, url: &str| {
            let proxy = Proxy::new("HTTP_PROXY", "proxy.example:1").unwrap();
            let proxies = Proxies::new(Some(proxy.clone()), Some(proxy), no_proxy);
            proxies.proxy_of(&Url::parse(url).unwrap()).is_none()
        };
        for (no_proxy, direct, proxied) in [
            (
                "*",
                &["http://a.example", "https://192.0.2.1", "http://[::1]:8080"][..],
                &[][..],
            ),
            ("", &[], &["http://a.example"]),
            (
                "a.example , b.example",
                &[
                    "http://a.example",
                    "http://x.a.example",
                    "https://B.example",
                ],
                &["http://xa.example", "http://example"],
            ),
            (
                ".a.example",
                &["http://a.example", "http://x.a.example"],
                &["http://xa.example"],
            ),
            (
                "a.example. c.example",
                &["http://a.example", "http://c.example"],
                &["http://b.example"],
            ),
            (
                "a.example:8080",
                &["http://a.example:8080", "https://x.a.example:8080"],
                &["http://a.example", "https://a.example:8443"],
            ),
            (
                "a.example:443",
                &["https://a.example"],
                &["http://a.example"],
            ),
            (
                "192.0.2.0/24",
                &["http://192.0.2.7"],
                &["http://192.0.3.7", "http://a.example"],
            ),
            (
                "2001:db8::/32,[::1]",
                &["http://[2001:db8::7]", "http://[::1]:90"],
                &["http://[::2]"],
            ),
            ("[::1]:90", &["http://[::1]:90"], &["http://[::1]:91"]),
        ] {
            for url in direct {
                assert!(is_direct(no_proxy, url), "{no_proxy:?} {url}");
            }
            for url in proxied {
                assert!(!is_direct(no_proxy, url), "{no_proxy:?} {url}");
            }
        }
    }
}
