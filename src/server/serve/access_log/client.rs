//! Which client a request comes from, where a proxy passes it on.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::HeaderName;

use crate::config::Addresses;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the address of the client: the peer's, unless that is a trusted proxy.
///
/// Each proxy appends the address that it was asked from, so that the list is to be believed from its end to the first
/// address that is no proxy of ours. What stands before was written by that client.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Addresses]) -> IpAddr {
    // A socket of both families shows IPv4 addresses as IPv6 ones.
    let peer = peer.to_canonical();
    let is_proxy = |address: IpAddr| trusted.iter().any(|proxies| proxies.contain(address));
    if !is_proxy(peer) {
        return peer;
    }
    let lines = headers.get_all(&FORWARDED_FOR).iter();
    let lines: Vec<&str> = lines
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    let mut client = peer;
    for text in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        // Nothing before what is no address can be believed.
        let Some(address) = address(text.trim()) else {
            break;
        };
        client = address;
        if !is_proxy(address) {
            break;
        }
    }
    client
}

/// Reads an address, with or without a port, which some proxies append.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address: Option<IpAddr> = text.trim_matches(['[', ']']).parse().ok();
    address
        .or_else(with_port)
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Environment, Flags, ServeConfig};

    fn of(peer: &str, lines: &[&'static str]) -> String {
        let proxies = [(
            "FERRY_SERVE_TRUSTED_PROXIES",
            "127.0.0.1, 10.0.0.0/8, fd00::/8",
        )];
        let environment = Environment::from_pairs(proxies);
        let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
        let lines = lines
            .iter()
            .map(|line| (FORWARDED_FOR, line.parse().unwrap()));
        let headers: HeaderMap = lines.collect();
        client(
            peer.parse().unwrap(),
            &headers,
            &config.serve.trusted_proxies,
        )
        .to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(of("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(of("127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(of("::ffff:127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(of("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn what_the_client_itself_wrote_is_not_believed() {
        for (lines, client) in [
            (&["203.0.113.9, 198.51.100.7, 10.1.2.3"][..], "198.51.100.7"),
            (&["203.0.113.9", "198.51.100.7", "10.1.2.3"], "198.51.100.7"),
            (&["203.0.113.9, nobody, 10.1.2.3"], "10.1.2.3"),
            (&["10.1.2.3, fd00::1"], "10.1.2.3"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["198.51.100.7:1234"], "198.51.100.7"),
            (&[""], "127.0.0.1"),
        ] {
            assert_eq!(of("127.0.0.1", lines), client, "{lines:?}");
        }
    }
}
