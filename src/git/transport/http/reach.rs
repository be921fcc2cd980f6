//! Which addresses a URL may lead to that somebody else chose: a stranger must not make this machine ask its own network.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use tokio::net::lookup_host;
use url::{Host, Url};

use super::origin::OriginLookup;

/// Which hosts a client may connect to; a clone shares what is known.
#[derive(Debug, Clone)]
pub struct Reach(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The host that chooses the URLs; `None` if it is this machine.
    origin: Option<String>,
    /// Whether all its addresses are private, once they are known.
    origin_is_private: OriginLookup,
    /// The hosts that are named by whoever runs this; among them the proxies, which are resolved in place of the URLs' own.
    named: BTreeSet<String>,
}

/// An address that is not connected to.
#[derive(Debug, thiserror::Error)]
pub struct Refused {
    host: String,
    address: IpAddr,
    what: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            address,
            what,
        } = self;
        match *host == address.to_string() {
            true => write!(f, "{address} is {what}"),
            false => write!(f, "{host} has the address {address}, which is {what}"),
        }
    }
}

impl Refused {
    /// Returns the host, an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Says whether the host would be connected to if whoever runs this named it.
    pub fn is_private(&self) -> bool {
        range(self.address) == Range::Private
    }
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Public,
    /// A network of one's own, or this very machine.
    Private,
    /// The link, where the metadata services of clouds give out credentials; and what is no host's address.
    Never,
}

impl Reach {
    /// Allows public addresses; those of the hosts in `named`; and private ones, if `origin` has none but those.
    pub fn new(origin: Option<&str>, named: impl IntoIterator<Item = String>) -> Self {
        let named = named.into_iter().map(|host| host.to_ascii_lowercase());
        Self(Arc::new(Inner {
            origin: origin.map(str::to_owned),
            origin_is_private: OriginLookup::default(),
            named: named.collect(),
        }))
    }

    /// Checks a URL whose host is an address; names are checked when they are resolved.
    pub async fn check(&self, url: &Url) -> Result<(), Refused> {
        // Before a redirect needs to know it, which cannot wait.
        self.origin_is_private().await;
        self.check_address_in(url)
    }

    /// Follows up to `most` redirects, to web pages whose host, if it is an address, may be connected to.
    pub(super) fn policy(self, most: usize) -> Policy {
        Policy::custom(move |attempt: Attempt<'_>| {
            let url = attempt.url();
            let is_plain = url.username().is_empty() && url.password().is_none();
            if attempt.previous().len() > most {
                return attempt.error(format!("it redirects more than {most} times"));
            }
            if !matches!(url.scheme(), "https" | "http") || !is_plain {
                return attempt.error(
                    "a redirect leads to a URL that is not http or https, or that carries a user",
                );
            }
            match self.check_address_in(url) {
                Ok(()) => attempt.follow(),
                Err(refused) => attempt.error(refused),
            }
        })
    }

    fn check_address_in(&self, url: &Url) -> Result<(), Refused> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let is_private = self.0.origin.is_none() || self.0.origin_is_private.known() == Some(true);
        self.check_address(&address.to_string(), address, is_private)
    }

    fn check_address(
        &self,
        host: &str,
        address: IpAddr,
        origin_is_private: bool,
    ) -> Result<(), Refused> {
        let what = match range(address) {
            Range::Public => return Ok(()),
            Range::Private if origin_is_private || self.0.named.contains(host) => return Ok(()),
            Range::Private => {
                "in a private network, from which nothing is fetched for a host that is not"
            }
            Range::Never => "link-local or reserved, and never connected to",
        };
        let host = host.to_owned();
        Err(Refused {
            host,
            address,
            what,
        })
    }

    /// Says whether the origin is this machine, or all its addresses are private.
    async fn origin_is_private(&self) -> bool {
        let Some(host) = &self.0.origin else {
            return true;
        };
        let looked_up = async {
            let mut found = lookup_host((host.as_str(), 0)).await?.peekable();
            let is_known = found.peek().is_some();
            let is_private = found.all(|address| range(address.ip()) == Range::Private);
            Ok::<_, io::Error>(is_known && is_private)
        };
        self.0.origin_is_private.get(looked_up).await
    }

    async fn addresses(self, host: String) -> Result<Addrs, Box<dyn StdError + Send + Sync>> {
        let mut refused = None;
        let mut allowed: Vec<SocketAddr> = Vec::new();
        for address in lookup_host((host.as_str(), 0)).await? {
            // A second name is looked up only where it matters.
            let is_private = match range(address.ip()) {
                Range::Private => self.origin_is_private().await,
                Range::Public | Range::Never => false,
            };
            match self.check_address(&host, address.ip(), is_private) {
                Ok(()) => allowed.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            Some(why) if allowed.is_empty() => Err(why.into()),
            _ => Ok(Box::new(allowed.into_iter())),
        }
    }
}

/// Connections are made to the very addresses that were checked: a name that is looked up twice may be two hosts.
impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        Box::pin(self.clone().addresses(host))
    }
}

/// Returns where a request would have led, if it failed because of that.
pub fn refused(error: &reqwest::Error) -> Option<&Refused> {
    let error: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref())
}

fn range(address: IpAddr) -> Range {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_never =
                v4.is_link_local() || v4.is_multicast() || v4.is_documentation() || a >= 240;
            let is_private = v4.is_private()
                || v4.is_loopback()
                // This network, which Linux takes for itself; carriers' NAT; protocol assignments; benchmarks.
                || a == 0
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b));
            match (is_never, is_private) {
                (true, _) => Range::Never,
                (false, true) => Range::Private,
                (false, false) => Range::Public,
            }
        }
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => range(v4),
            None if v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() => {
                Range::Private
            }
            // Of all others only 2000::/3 are given out, and some of those for documentation.
            None if v6.segments()[0] & 0xe000 == 0x2000
                && v6.segments()[..2] != [0x2001, 0xdb8] =>
            {
                Range::Public
            }
            None => Range::Never,
        },
    }
}

/// Returns the IPv4 address to which a mapped address, a translator's (NAT64, RFC 6052) or a 6to4 one leads.
fn embedded(v6: Ipv6Addr) -> Option<IpAddr> {
    let segments = v6.segments();
    let (high, low) = match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] => (high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let bits = u32::from(high) << 16 | u32::from(low);
    Some(IpAddr::V4(bits.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_address_has_its_range() {
        for (range_of, addresses) in [
            (
                Range::Public,
                &[
                    "1.1.1.1",
                    "172.32.0.1",
                    "100.128.0.1",
                    "2606:4700::1",
                    "::ffff:8.8.8.8",
                ][..],
            ),
            (
                Range::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "192.168.1.1",
                    "127.0.0.1",
                    "0.0.0.0",
                    "100.64.0.1",
                    "198.18.0.1",
                    "::1",
                    "::",
                    "fd00:ec2::254",
                    "::ffff:10.0.0.1",
                    "64:ff9b::a00:1",
                    "2002:7f00:1::",
                ],
            ),
            (
                Range::Never,
                &[
                    "169.254.169.254",
                    "fe80::1",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "192.0.2.1",
                    "255.255.255.255",
                    "224.0.0.1",
                    "2001:db8::1",
                    "ff02::1",
                    "fec0::1",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(range(address.parse().unwrap()), range_of, "{address}");
            }
        }
    }

    #[tokio::test]
    async fn private_addresses_are_for_private_indexes_and_named_hosts() {
        let allows = async |reach: &Reach, url: &str| {
            let url = Url::parse(url).unwrap();
            let host = url.host_str().unwrap().to_owned();
            let resolved = reach.clone().addresses(host).await;
            reach.check(&url).await.is_ok() && resolved.is_ok()
        };
        let named = ["localhost".to_owned()];
        for (reach, is_private) in [
            (Reach::new(Some("8.8.8.8"), named.clone()), false),
            (Reach::new(Some("127.0.0.1"), named.clone()), true),
            (Reach::new(Some("169.254.1.1"), named.clone()), false),
            (Reach::new(None, named), true),
        ] {
            assert!(allows(&reach, "http://1.1.1.1/").await);
            assert!(allows(&reach, "http://localhost:1/").await);
            assert_eq!(allows(&reach, "http://127.0.0.1/").await, is_private);
            assert!(!allows(&reach, "http://169.254.169.254/").await);
        }
        let stranger = Reach::new(Some("8.8.8.8"), []);
        assert!(!allows(&stranger, "http://localhost/").await);
    }
}
