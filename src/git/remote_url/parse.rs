//! Reads addresses as git does (`connect.c`, `parse_connect_url`), and refuses what could be taken for an option.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::lookalikes;
use super::{GIT_PORT, RemoteUrl, SSH_PORT, SshAddress};

const SUPPORTED: &str =
    "https://, http://, ssh://, user@host:path, git://, file:// and local paths are supported";

/// The text is not the address of a repository. Says why, and never repeats the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseRemoteUrlError(String);

/// Says in words of ours why a text is no URL, and never repeats it.
pub fn url_fault(error: url::ParseError) -> &'static str {
    use url::ParseError as Fault;
    match error {
        Fault::RelativeUrlWithoutBase => "it does not begin with a scheme, such as https://",
        Fault::EmptyHost => "it names no host",
        Fault::InvalidPort => "its port is not a number from 0 to 65535",
        Fault::InvalidIpv4Address => "its host is not an IPv4 address, though it looks like one",
        Fault::InvalidIpv6Address => "its host is not an IPv6 address",
        Fault::InvalidDomainCharacter | Fault::IdnaError => {
            "its host has a character that no host's name has"
        }
        Fault::Overflow => "it is too long",
        // What remains is about joining URLs, and what later versions may add.
        _ => "it is not a URL",
    }
}

type Result<T> = std::result::Result<T, ParseRemoteUrlError>;

fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(ParseRemoteUrlError(reason.into()))
}

impl FromStr for RemoteUrl {
    type Err = ParseRemoteUrlError;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return refuse(format!("the address is empty; {SUPPORTED}"));
        }
        // A line break or NUL would forge a line of the `git://` request, of a log, or of a known hosts entry to paste.
        if text.chars().any(char::is_control) {
            return refuse("the address contains a line break or another control character");
        }
        if text.trim() != text {
            return refuse("the address begins or ends with a space");
        }
        if let Some((scheme, rest)) = split_scheme(text) {
            return match scheme.to_ascii_lowercase().as_str() {
                "https" | "http" => http(text),
                "ssh" | "git+ssh" | "ssh+git" => ssh(rest),
                "git" => git(rest),
                "file" => file(text),
                other => refuse(format!("`{other}://` is not supported; {SUPPORTED}")),
            };
        }
        match text.find(':') {
            // As in git: a colon before the first slash makes it a host, anything else is a path.
            Some(colon) if !text[..colon].contains('/') => scp_like(text).map(Self::Ssh),
            _ => match lookalikes::named_host(text) {
                Some(reason) => refuse(reason),
                None => local(text),
            },
        }
    }
}

fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(plain);
    is_scheme.then_some((scheme, rest))
}

fn http(text: &str) -> Result<RemoteUrl> {
    // The error of `Url` names the fault and not the text, so that it cannot leak a password.
    let mut url = Url::parse(text).map_err(|e| ParseRemoteUrlError(url_fault(e).to_owned()))?;
    if let Some(reason) = lookalikes::page(&url) {
        return refuse(reason);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("the address of a repository has neither `?` nor `#`");
    }
    host_of(&url)?;
    let user = (!url.username().is_empty())
        .then(|| decoded(url.username()))
        .transpose()?;
    let password = url.password().map(decoded).transpose()?.map(Into::into);
    // Neither can fail: the address has a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok(RemoteUrl::Http {
        url,
        user,
        password,
    })
}

fn ssh(rest: &str) -> Result<RemoteUrl> {
    let (authority, path) = split_authority(rest)?;
    if authority.password().is_some() {
        return refuse("an ssh address carries no password; the key comes from SSH_PRIVATE_KEY");
    }
    let user = match authority.username() {
        "" => "git".to_owned(),
        user => decoded(user)?,
    };
    check_user(&user)?;
    Ok(RemoteUrl::Ssh(SshAddress {
        user,
        host: host_of(&authority)?,
        port: authority.port().unwrap_or(SSH_PORT),
        path,
    }))
}

fn git(rest: &str) -> Result<RemoteUrl> {
    let (authority, path) = split_authority(rest)?;
    if !authority.username().is_empty() || authority.password().is_some() {
        return refuse("a git:// address has neither user nor password");
    }
    Ok(RemoteUrl::Git {
        host: host_of(&authority)?,
        port: authority.port().unwrap_or(GIT_PORT),
        path,
    })
}

fn file(text: &str) -> Result<RemoteUrl> {
    let url = Url::parse(text).map_err(|e| ParseRemoteUrlError(url_fault(e).to_owned()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("`?` and `#` in a file:// address are written %3F and %23");
    }
    match url
        .to_file_path()
        .ok()
        .as_deref()
        .and_then(|path| path.to_str())
    {
        Some(path) if !path.chars().any(char::is_control) => local(path),
        _ => refuse("a file:// address names an absolute path on this machine: file:///path"),
    }
}

fn local(path: &str) -> Result<RemoteUrl> {
    if path.starts_with('-') {
        return refuse("a path that begins with `-` is written `./-…`");
    }
    Ok(RemoteUrl::Local(PathBuf::from(path)))
}

/// Reads `user@host:path`, `user@[::1]:path` and `[user@host:port]:path`.
fn scp_like(text: &str) -> Result<SshAddress> {
    let (host_part, path, bracketed) = split_scp(text)?;
    refuse_lookalikes(&host_part, path)?;
    // Unlike git, which takes the name of who runs it: hosts expect `git`, and a CI job's own name means nothing.
    let (user, host) = host_part.rsplit_once('@').unwrap_or(("git", &host_part));
    let (host, port) = match bracketed {
        true => split_port(host)?,
        false => (host, SSH_PORT),
    };
    check_user(user)?;
    check_host(host)?;
    if let Some(reason) = lookalikes::port_in_path(&host_part, path).filter(|_| !bracketed) {
        return refuse(reason);
    }
    Ok(SshAddress {
        user: user.to_owned(),
        host: host.to_ascii_lowercase(),
        port,
        path: checked_path(path.to_owned())?,
    })
}

/// Splits at the colon before the path; the last part says whether the host was in brackets.
fn split_scp(text: &str) -> Result<(String, &str, bool)> {
    let no_path =
        || ParseRemoteUrlError("the address names no path after the host's colon".to_owned());
    if let Some(inner) = text.strip_prefix('[') {
        let (inner, path) = inner.split_once("]:").ok_or_else(no_path)?;
        return Ok((inner.to_owned(), path, true));
    }
    if let Some((user, rest)) = text
        .split_once("@[")
        .filter(|(user, _)| !user.contains(':'))
    {
        let (inner, path) = rest.split_once("]:").ok_or_else(no_path)?;
        return Ok((format!("{user}@{inner}"), path, true));
    }
    let (host, path) = text.split_once(':').ok_or_else(no_path)?;
    Ok((host.to_owned(), path, false))
}

/// Refuses what only looks scp-like: remote helpers, a scheme with one slash, and `user:password@host:path`.
fn refuse_lookalikes(host_part: &str, path: &str) -> Result<()> {
    if path.starts_with(':') {
        return refuse(format!(
            "remote helpers (`name::…`) are not supported; {SUPPORTED}"
        ));
    }
    if path.starts_with('/') && ["https", "http", "ssh", "git", "file"].contains(&host_part) {
        return refuse(format!("`{host_part}:` is followed by `//` in an address"));
    }
    let password = |rest: &str| {
        rest.split_once('@')
            .is_some_and(|(_, host)| host.contains(':'))
    };
    // `user:password@host:path` is, read as git does, the path `password@host:path` on the host `user`: the password
    // would be sent to a stranger, and logged as part of a path.
    let is_userinfo = |rest: &str| {
        rest.split('/')
            .next()
            .is_some_and(|first| first.contains('@'))
    };
    let has_host = host_part.contains(['@', '.', '[']);
    if (!host_part.contains('@') && password(path)) || (!has_host && is_userinfo(path)) {
        return refuse("an ssh address carries no password; the key comes from SSH_PRIVATE_KEY");
    }
    Ok(())
}

fn split_port(host: &str) -> Result<(&str, u16)> {
    if host.parse::<Ipv6Addr>().is_ok() {
        return Ok((host, SSH_PORT));
    }
    match host.split_once(':') {
        None => Ok((host, SSH_PORT)),
        Some((host, port)) => match port.parse() {
            Ok(port) if port != 0 => Ok((host, port)),
            _ => refuse("the port in brackets is not a number from 1 to 65535"),
        },
    }
}

/// Splits what follows `ssh://` or `git://`. Only the authority is a URL's: git takes the path as it is, `?` included.
fn split_authority(rest: &str) -> Result<(Url, String)> {
    let Some(slash) = rest.find('/') else {
        return refuse("the address names no path after the host");
    };
    let (authority, path) = rest.split_at(slash);
    if let Some(reason) = lookalikes::path_in_port(authority, path) {
        return refuse(reason);
    }
    // `ssh`, for git:// as well: the URL standard knows no default port for it, which it would drop, and leaves the
    // host as it is, which `check_host` then judges.
    let url = Url::parse(&format!("ssh://{authority}"))
        .map_err(|e| ParseRemoteUrlError(url_fault(e).to_owned()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("the host of the address contains `?` or `#`");
    }
    Ok((url, checked_path(decoded(path)?)?))
}

fn host_of(authority: &Url) -> Result<String> {
    let host = authority.host_str().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    check_host(host)?;
    if authority.port() == Some(0) {
        return refuse("port 0 cannot be connected to");
    }
    Ok(host.to_ascii_lowercase())
}

fn decoded(text: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.into_owned()),
        _ => refuse("the address decodes to a control character or to something that is not UTF-8"),
    }
}

/// As git does, `/~user/…` is sent as `~user/…`.
fn checked_path(path: String) -> Result<String> {
    match path.as_str() {
        "" | "/" => refuse("the address names no path on the host"),
        text if text.starts_with('-') => {
            refuse("the path begins with `-`, which a server may take for an option")
        }
        text if text.starts_with("/~") => Ok(text[1..].to_owned()),
        _ => Ok(path),
    }
}

fn check_user(user: &str) -> Result<()> {
    let strange = |c: char| c.is_whitespace() || matches!(c, '@' | ':' | '/' | '[' | ']');
    if user.is_empty() || user.starts_with('-') || user.contains(strange) {
        return refuse(
            "the user is empty, begins with `-`, or contains a character that user names lack",
        );
    }
    Ok(())
}

pub(super) fn check_host(host: &str) -> Result<()> {
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    // Git refuses these since CVE-2017-1000117: `ssh://-oProxyCommand=…` reached ssh as an option.
    if bare.starts_with('-') {
        return refuse("the host begins with `-`, which could be taken for an option");
    }
    if bare.is_empty() || !(bare.chars().all(plain) || bare.parse::<Ipv6Addr>().is_ok()) {
        return refuse(
            "the host is neither a name nor an address (an IPv6 address needs brackets)",
        );
    }
    Ok(())
}
