//! The address of an SMTP server, and mail addresses.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use email_address::EmailAddress;
use lettre::message::Mailboxes;
use url::{Host, Url};

use crate::git::url_fault;

/// How a connection to an SMTP server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// From its first byte (`smtps://`).
    Implicit,
    /// By STARTTLS, without which nothing is sent (`smtp://`).
    Required,
    /// By STARTTLS where the server offers it (`?tls=opportunistic`).
    Opportunistic,
    /// Not at all (`?tls=none`).
    None,
}

/// A server that accepts mails: `smtps://user@host:465` or `smtp://user@host:587?tls=required|opportunistic|none`.
///
/// Displayed as scheme, host and port, without the user. It never holds a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpServer {
    /// Its name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port: 465 or 587 where none is given.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// The user name of the login; `FERRY_SMTP_PASSWORD` is the password.
    pub user: Option<String>,
}

impl SmtpServer {
    /// Returns whether the server is this very machine, so that nothing crosses a network.
    pub fn is_loopback(&self) -> bool {
        let ip = self.host.parse::<IpAddr>();
        ip.map_or(self.host == "localhost", |ip| ip.is_loopback())
    }
}

impl fmt::Display for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.tls {
            SmtpTls::Implicit => "smtps",
            _ => "smtp",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// A mail address, with or without a name: `ops@example.com` or `Ops <ops@example.com>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The name; `None` where there is none.
    pub name: Option<String>,
    /// The part of the address before the `@`.
    pub local: String,
    /// The part of the address after the `@`.
    pub domain: String,
}

impl Mailbox {
    /// Returns the address alone, for example `ops@example.com`.
    pub fn address(&self) -> String {
        format!("{}@{}", self.local, self.domain)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address()),
            None => f.write_str(&self.address()),
        }
    }
}

/// Reads `smtps://user@host` or `smtp://user@host:587?tls=…`.
pub(in super::super) fn smtp_server(text: &str) -> Result<SmtpServer, String> {
    const EXPECTED: &str =
        "expected smtps://user@host or smtp://user@host:587?tls=required|opportunistic|none";
    let url = Url::parse(text).map_err(|e| format!("{EXPECTED} ({})", url_fault(e)))?;
    if url.password().is_some() {
        return Err("the address carries a password, and secrets come from the environment only: leave it out and set \
             FERRY_SMTP_PASSWORD"
            .to_owned());
    }
    let (implicit, usual_port) = match url.scheme() {
        "smtps" => (true, 465),
        "smtp" => (false, 587),
        other => return Err(format!("{EXPECTED}, and {other}:// is neither")),
    };
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(format!("{EXPECTED}, with nothing after the port but ?tls="));
    }
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| format!("{EXPECTED}, and no host is named"))?;
    Ok(SmtpServer {
        host: unbracketed(host),
        port: url.port().unwrap_or(usual_port),
        tls: tls(&url, implicit)?,
        user: user(&url)?,
    })
}

/// Removes the brackets of an IPv6 address: where the URL standard does not know the scheme, as here, the parser keeps
/// the host as text.
fn unbracketed(host: &str) -> String {
    match Host::parse(host) {
        Ok(Host::Ipv6(ip)) => ip.to_string(),
        _ => host.to_owned(),
    }
}

fn tls(url: &Url, implicit: bool) -> Result<SmtpTls, String> {
    let mut found = match implicit {
        true => SmtpTls::Implicit,
        // Whoever strips STARTTLS from the server's reply gets nothing; to send without TLS, a person has to say so.
        false => SmtpTls::Required,
    };
    for (number, (key, value)) in url.query_pairs().enumerate() {
        found = match (key.as_ref(), value.as_ref()) {
            ("tls", _) if number > 0 => return Err("`tls` is given twice".to_owned()),
            ("tls", "required") => found,
            ("tls", "opportunistic" | "none") if implicit => {
                return Err(format!(
                    "smtps:// is TLS from its first byte: leave out `?tls={value}`, or write smtp://"
                ));
            }
            ("tls", "opportunistic") => SmtpTls::Opportunistic,
            ("tls", "none") => SmtpTls::None,
            ("tls", _) => {
                return Err(format!(
                    "expected tls=required, tls=opportunistic or tls=none, found `tls={value}`"
                ));
            }
            // An error, since a misspelt `tls=` would mean another protection than its author believes.
            _ => {
                return Err(format!(
                    "expected nothing but tls= after the `?`, found `{key}`"
                ));
            }
        };
    }
    Ok(found)
}

fn user(url: &Url) -> Result<Option<String>, String> {
    // A login often is a mail address, whose `@` is written `%40` here.
    let user = percent_encoding::percent_decode_str(url.username()).decode_utf8();
    let user = user.map_err(|_| "the user's name is not UTF-8".to_owned())?;
    match user.contains(char::is_control) {
        true => Err("the user's name holds a control character".to_owned()),
        false => Ok((!user.is_empty()).then(|| user.into_owned())),
    }
}

/// Reads the name of EHLO: a domain, or an address with or without the brackets of a literal (RFC 5321, 4.1.3).
pub(in super::super) fn hello(text: &str) -> Result<Host, String> {
    let literal = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = literal.map_or(text, |t| t.strip_prefix("IPv6:").unwrap_or(t));
    if let Ok(address) = address.parse::<IpAddr>() {
        return Ok(match address {
            IpAddr::V4(address) => Host::Ipv4(address),
            IpAddr::V6(address) => Host::Ipv6(address),
        });
    }
    match Host::parse(text) {
        Ok(Host::Domain(domain)) => Ok(Host::Domain(domain)),
        _ => Err(format!(
            "expected a domain such as ci.example.com, or an address such as [192.0.2.1], found `{}`",
            text.escape_debug()
        )),
    }
}

/// Takes a list of mail addresses apart (RFC 5322): a comma in a quoted name does not end an address.
pub(in super::super) fn split(text: &str) -> Vec<String> {
    match Mailboxes::from_str(text) {
        Ok(mailboxes) => mailboxes.iter().map(ToString::to_string).collect(),
        // At commas, so that the error is told of the address that is none.
        Err(_) => {
            let elements = text.split(',').map(str::trim);
            elements
                .filter(|element| !element.is_empty())
                .map(str::to_owned)
                .collect()
        }
    }
}

/// Reads a mail address, with or without a name.
pub(in super::super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    let expected = || {
        let text = text.escape_debug();
        format!(
            "expected a mail address such as ops@example.com or `Ops <ops@example.com>`, found `{text}`"
        )
    };
    if text.contains(char::is_control) {
        return Err(expected());
    }
    let found = EmailAddress::from_str(text).map_err(|_| expected())?;
    let name = found.display_part().trim().trim_matches('"');
    Ok(Mailbox {
        name: (!name.is_empty()).then(|| name.to_owned()),
        local: found.local_part().to_owned(),
        domain: found.domain().to_owned(),
    })
}
