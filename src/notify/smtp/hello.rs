//! EHLO: the name that we say, and what the server offers in its reply.

use std::net::IpAddr;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::extension::{ClientId, ServerInfo};
use lettre::transport::smtp::response::Response;
use url::Host;

use crate::config::Route;

/// Returns the name to say: `mail.hello`, else the domain of `mail.from`, else the connection's own address.
///
/// Not the host's name, as is usual: that of a container is random, in no DNS, and refused by many servers.
pub(super) fn name(route: &Route<'_>, own: IpAddr) -> ClientId {
    let usual = || match Host::parse(&route.from.domain) {
        Ok(Host::Domain(domain)) if domain.contains('.') => Some(Host::Domain(domain)),
        // Of one label, such as `localhost`: no other machine knows it.
        _ => None,
    };
    match route.hello.cloned().or_else(usual) {
        Some(Host::Domain(domain)) => ClientId::Domain(domain),
        Some(Host::Ipv4(address)) => ClientId::Ipv4(address),
        Some(Host::Ipv6(address)) => ClientId::Ipv6(address),
        None => match own.to_canonical() {
            IpAddr::V4(address) => ClientId::Ipv4(address),
            IpAddr::V6(address) => ClientId::Ipv6(address),
        },
    }
}

/// Reads what the server offers, in small or capital letters (RFC 5321, 4.1.1.1) and with the `AUTH=` that servers said
/// before there was a standard.
pub(super) fn offers(reply: &Response) -> Result<ServerInfo, SmtpError> {
    let lines = reply.message().map(|line| {
        let line = line.to_ascii_uppercase();
        match line.strip_prefix("AUTH=") {
            Some(mechanisms) => format!("AUTH {mechanisms}"),
            None => line,
        }
    });
    ServerInfo::from_response(&Response::new(reply.code(), lines.collect()))
}
