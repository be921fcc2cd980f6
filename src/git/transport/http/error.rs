//! Errors below HTTP: connections, names, certificates, responses that were cut.

use std::error::Error as StdError;
use std::io;

use url::Url;

use super::reach::refused;
use super::redirect::{out_of_reach, shown};
use crate::error::{Error, Kind};
use crate::transport::{Proxy, tls};

/// What to do about a proxy that wants a login.
pub const PROXY_ADVICE: &str = "Set HTTPS_PROXY (for http:// addresses HTTP_PROXY) to the proxy with its user and password: http://USER:PASSWORD@HOST:PORT.";

const BEHIND_PROXY: &str = "Ask the administrator of the proxy to allow this host. If the host needs no proxy, add it to NO_PROXY.";

/// The pack broke off while it was being sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) io::Error);

/// Returns the innermost cause, which says what happened; those above it only say where.
pub fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Makes the error of a request that got no response.
pub fn sending(url: &Url, proxy: Option<&Proxy>, error: reqwest::Error) -> Error {
    // First: reqwest wraps the error of our own body as a failed request, which would blame the mirror for what
    // upstream did.
    if let Some(Broken(cause)) = causes(&error).find_map(|e| e.downcast_ref::<Broken>()) {
        return broken_pack(url, cause);
    }
    if let Some(refused) = refused(&error) {
        return out_of_reach(url, refused);
    }
    // reqwest's own text shows the URL with its query, and a redirect's query may hold a token.
    let (error, shown) = (error.without_url(), shown(url));
    let host = url.host_str().unwrap_or_default();
    if let Some(error) = proxy.and_then(|proxy| proxy.explain(host, &error)) {
        return error;
    }
    let cause = innermost(&error);
    if let Some(refusal) = tls::refusal(&error) {
        let message = format!("{shown}: the server's certificate is not trusted");
        return Error::new(Kind::Config, message)
            .because(refusal.cause)
            .advise(certificate_advice(refusal.advice, proxy));
    }
    let (what, advice) = unreachable(&error);
    let failed = |what: String| match error.is_timeout() {
        true => Error::new(Kind::Network, what),
        false => Error::new(Kind::Network, what).because(cause),
    };
    match proxy {
        None => failed(format!("{shown}: {what}")).advise(advice),
        Some(proxy) => {
            failed(format!("{shown}, by way of the proxy {proxy}: {what}")).advise(BEHIND_PROXY)
        }
    }
}

/// Adds to the advice on a certificate that a proxy may have put it in place of the server's.
fn certificate_advice(advice: &str, proxy: Option<&Proxy>) -> String {
    match proxy {
        None => advice.to_owned(),
        Some(proxy) => format!(
            "{advice} The connection goes by way of the proxy {proxy}: if it reads what passes, the certificate is its own, and its \
             authority belongs into `network.ca_file`."
        ),
    }
}

/// Says why there was no response, and what to do.
pub fn unreachable(error: &reqwest::Error) -> (&'static str, &'static str) {
    match error {
        e if e.is_dns() => (
            "its name cannot be resolved",
            "Check the host in the URL, and this machine's DNS.",
        ),
        // Before the next arm, which holds for it, too.
        e if e.is_connect() && e.is_timeout() => (
            "no connection within `network.connect_timeout`",
            "Check host and port in the URL, and the firewalls on the way; or raise `network.connect_timeout`.",
        ),
        e if e.is_connect() => (
            "cannot connect",
            "Check host and port in the URL, whether the server runs, and the firewalls on the way.",
        ),
        e if e.is_redirect() => (
            "its redirects lead nowhere",
            "Set the address that they should lead to, or ask the administrator of that server why it redirects in a circle.",
        ),
        e if e.is_timeout() => (
            "no answer in time",
            "Try again, or raise `network.idle_timeout`.",
        ),
        _ => (
            "the connection was lost before a response came",
            "Try again. If it keeps being lost, check the proxies and firewalls on the way.",
        ),
    }
}

/// Says whether a connection was lost that had been made.
pub(super) fn is_lost(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// Makes the error of a response that could not be read to its end.
pub(super) fn reading(url: &Url, error: &io::Error) -> Error {
    let message = format!("{}: the response could not be read", shown(url));
    Error::new(Kind::Network, message).because(error.to_string())
}

/// Makes the error of a pack that its producer did not finish.
pub(super) fn broken_pack(url: &Url, error: &io::Error) -> Error {
    let message = format!("the push to {} was aborted: its pack broke off", shown(url));
    Error::new(Kind::Network, message).because(error.to_string())
}

/// Turns what cut a response's body short into an I/O error of the right kind.
pub(super) fn into_io(error: reqwest::Error) -> io::Error {
    let kind = if error.is_timeout() {
        io::ErrorKind::TimedOut
    } else {
        causes(&error)
            .filter_map(|e| e.downcast_ref::<io::Error>())
            .map(io::Error::kind)
            .last()
            .unwrap_or(io::ErrorKind::UnexpectedEof)
    };
    let cause = innermost(&error.without_url());
    io::Error::new(kind, format!("the response was cut short: {cause}"))
}
