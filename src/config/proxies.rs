//! The proxies that the variables of curl name.

use super::environment::{Environment, unusable};
use crate::error::Result;
use crate::git::transport::{Proxies, Proxy};

/// The variables, in the order in which curl reads those of a kind.
const HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NONE: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Returns all variables that are read here.
pub(super) fn variables() -> impl Iterator<Item = &'static str> {
    HTTP.into_iter()
        .chain(HTTPS.into_iter().take(2))
        .chain(NONE)
}

/// Reads the variables; also those that a command turns out not to need are checked.
pub(super) fn read(environment: &Environment) -> Result<Proxies> {
    let no_proxy = first(environment, &NONE)?.map(|(_, value)| value);
    Ok(Proxies::new(
        proxy(environment, &HTTP)?,
        proxy(environment, &HTTPS)?,
        no_proxy.unwrap_or_default(),
    ))
}

/// Returns the passwords of the proxies, as they are sent and as they are written.
pub(super) fn secrets(environment: &Environment) -> Vec<String> {
    let mut found = Vec::new();
    for name in HTTP.into_iter().chain(HTTPS) {
        let Ok(Some(value)) = environment.text(name) else {
            continue;
        };
        if let Ok(proxy) = Proxy::new(name, value) {
            found.extend(proxy.passwords().into_iter().flatten());
        }
    }
    found
}

fn proxy(environment: &Environment, names: &[&'static str]) -> Result<Option<Proxy>> {
    let Some((name, value)) = first(environment, names)? else {
        return Ok(None);
    };
    Proxy::new(name, value)
        .map(Some)
        .map_err(|reason| unusable(name, reason))
}

/// Returns the first variable that is set, and its value.
fn first<'a>(
    environment: &'a Environment,
    names: &[&'static str],
) -> Result<Option<(&'static str, &'a str)>> {
    for name in names {
        if let Some(value) = environment.plain(name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}
