//! Opens TCP connections: tries each address of a host in turn, within one deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::quick_ack::QuickAck;
use crate::error::{Error, Kind, Result};

/// Returns the deadline of a timeout that starts now; a timeout beyond the clock's range counts as a day.
pub fn deadline(limit: Duration) -> Instant {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(limit).unwrap_or_else(|| now + DAY)
}

/// Connects as [`connect_tcp`] does, and acknowledges what arrives at once.
pub(crate) async fn connect(host: &str, port: u16, deadline: Instant) -> Result<QuickAck> {
    Ok(QuickAck::new(connect_tcp(host, port, deadline).await?))
}

/// Connects to the first address of `host` that accepts before `deadline`, and sets `TCP_NODELAY`.
///
/// Each address gets an equal share of the time left, so that one that drops packets (a broken IPv6 route) does not use up
/// the time of those after it. `TcpStream::connect` on a name would wait for the first one alone.
pub async fn connect_tcp(host: &str, port: u16, deadline: Instant) -> Result<TcpStream> {
    let addresses = resolve(host, port, deadline).await?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (index, address) in addresses.iter().enumerate() {
        let share = share(deadline, addresses.len() - index);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return ready(stream, host, port),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "timed out"),
        }
        tracing::debug!(%address, error = %last, "cannot connect to this address");
    }
    Err(unreachable(host, port)
        .because(last)
        .advise("Check the host and port, the network, and `network.connect_timeout`."))
}

fn share(deadline: Instant, addresses_left: usize) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left / u32::try_from(addresses_left).unwrap_or(u32::MAX).max(1)
}

async fn resolve(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>> {
    let unresolved = || {
        Error::new(
            Kind::Network,
            format!("cannot resolve the host name {host}"),
        )
        .advise("Check the host in the URL, and this machine's DNS resolver.")
    };
    let found = timeout_at(deadline, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| unresolved().because("timed out"))?
        .map_err(|error| unresolved().because(error))?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(unresolved().because("the name has no address"));
    }
    Ok(addresses)
}

fn ready(stream: TcpStream, host: &str, port: u16) -> Result<TcpStream> {
    // Requests are small, and each waits for its response: Nagle's algorithm would hold back their last bytes.
    stream
        .set_nodelay(true)
        .map_err(|error| unreachable(host, port).because(error))?;
    Ok(stream)
}

fn unreachable(host: &str, port: u16) -> Error {
    let place = host_and_port(host, port);
    Error::new(Kind::Network, format!("cannot connect to {place}"))
}

/// Writes `host:port`, with brackets around an IPv6 address.
pub(crate) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
