//! What went wrong below HTTP: connections, names, certificates, cut answers.

use std::error::Error as StdError;
use std::io;

use url::Url;

use super::body::Broken;
use super::redirect::shown;
use crate::error::{Error, Kind};

const CERTIFICATE_ADVICE: &str = "The server's certificate is not trusted here. Name its authority's certificate (PEM) \
    in `network.ca_file`, or in SSL_CERT_FILE.";
const PROXY_ADVICE: &str =
    "Put the proxy's user and password into the proxy's URL (HTTPS_PROXY, HTTP_PROXY).";

/// Returns the text of the cause below all others, which says what happened; those above only say where.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Makes an error of a request that got no answer.
pub(crate) fn sending(url: &Url, error: reqwest::Error) -> Error {
    if let Some(Broken(cause)) = causes(&error).find_map(|e| e.downcast_ref::<Broken>()) {
        return broken_pack(url, cause);
    }
    let (error, shown) = (error.without_url(), shown(url));
    let cause = innermost(&error);
    if cause.contains("proxy authorization required") {
        let message = format!("the proxy on the way to {shown} wants to know who we are");
        return Error::new(Kind::Config, message)
            .because(cause)
            .advise(PROXY_ADVICE);
    }
    let what = match &error {
        e if e.is_dns() => "its name cannot be resolved",
        e if e.is_connect() && e.is_timeout() => "no connection within `network.connect_timeout`",
        e if e.is_connect() => "cannot connect",
        e if e.is_timeout() => "it timed out",
        _ => "the connection was lost before an answer came",
    };
    let failed = Error::new(Kind::Network, format!("{shown}: {what}"));
    if error.is_connect() && cause.contains("certificate") {
        return failed.because(cause).advise(CERTIFICATE_ADVICE);
    }
    failed.because(cause)
}

/// Makes an error of an answer that could not be read to its end.
pub(super) fn reading(url: &Url, error: &io::Error) -> Error {
    let message = format!("{}: the answer could not be read", shown(url));
    Error::new(Kind::Network, message).because(error.to_string())
}

/// Makes an error of a pack that its producer did not finish.
pub(super) fn broken_pack(url: &Url, error: &io::Error) -> Error {
    let message = format!(
        "the push to {} was given up, since its pack broke off",
        shown(url)
    );
    Error::new(Kind::Network, message).because(error.to_string())
}

/// Turns what ended an answer's body early into an I/O error of a kind that tells.
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
    io::Error::new(kind, format!("the answer was cut short: {cause}"))
}
