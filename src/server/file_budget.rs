//! A bound for the files that are open on their way to clients, from the limit of the process.
//!
//! ```text
//! limit of the process = connections + a file for each + further files + what else the server opens
//! ```
//!
//! A connection of HTTP/2 has many responses at a time, and a client may read none of them. So each connection has one file
//! for certain, whatever the others do. Its further ones come out of what all share, of which it gets a part at most.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The most connections that are served at once.
const CONNECTIONS: u64 = 12 << 10;
/// The fewest, however low the limit is.
const FEW: u64 = 64;
/// How many files are for the rest: the index, the catalog, the store's bucket, logs.
const OTHER_FILES: u64 = 192;
/// How many files a fetch from upstream takes: its connection, and the file that it writes and clients read.
const PER_FETCH: u64 = 4;
/// The most further files that are open on their way to clients.
const FURTHER: u64 = 64 << 10;
/// Which part of the further files a connection may have.
const PART: u64 = 8;

/// How long a request waits for a file of its connection or another one to be closed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many files may be open for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileShares {
    /// Connections that are served at once. Each has one file on its way to the client.
    pub connections: usize,
    /// Files beyond those, for all connections.
    pub further: usize,
}

impl FileShares {
    /// Divides the limit of the process, after what so many fetches at a time and the rest take.
    pub fn of(limit: u64, fetches: u32) -> Self {
        let others = OTHER_FILES + PER_FETCH * u64::from(fetches);
        let left = limit.saturating_sub(others);
        let connections = (left / 3).clamp(FEW, CONNECTIONS);
        let further = left.saturating_sub(2 * connections).clamp(PART, FURTHER);
        // Both are at most 65,536: the casts lose nothing.
        Self {
            connections: connections as usize,
            further: further as usize,
        }
    }
}

/// So many files, for all who hold a clone.
#[derive(Debug, Clone)]
pub struct FileBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    further: Arc<Semaphore>,
    /// How many of them a connection may have.
    part: usize,
    /// The connections that have a file, or wait for one.
    connections: Mutex<HashMap<SocketAddr, Arc<OfConnection>>>,
}

/// What a connection may open.
#[derive(Debug)]
struct OfConnection {
    first: Arc<Semaphore>,
    further: Arc<Semaphore>,
}

/// A file that may be open; dropping it gives it back.
#[derive(Debug)]
#[must_use]
pub struct MayOpen {
    _permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
    _connection: Known,
}

/// A connection that the budget knows, until the last of these is dropped.
#[derive(Debug)]
struct Known {
    budget: FileBudget,
    client: SocketAddr,
    connection: Arc<OfConnection>,
}

impl FileBudget {
    /// Makes a budget.
    pub fn new(shares: FileShares) -> Self {
        Self(Arc::new(Inner {
            further: Arc::new(Semaphore::new(shares.further)),
            part: shares.further / PART as usize,
            connections: Mutex::default(),
        }))
    }

    /// Waits until a connection may open a file; `None` if that takes long.
    pub async fn take(&self, client: SocketAddr) -> Option<MayOpen> {
        let known = self.know(client);
        let permits = timeout(PATIENCE, self.permits(&known.connection)).await;
        Some(MayOpen {
            _permits: permits.ok().flatten()?,
            _connection: known,
        })
    }

    /// `None` never comes: no semaphore is closed.
    async fn permits(
        &self,
        connection: &OfConnection,
    ) -> Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)> {
        let first = Arc::clone(&connection.first).acquire_owned();
        let further = async {
            let own = Arc::clone(&connection.further).acquire_owned().await;
            (own, Arc::clone(&self.0.further).acquire_owned().await)
        };
        tokio::select! {
            // In this order: who has none takes nothing from the others.
            biased;
            first = first => Some((first.ok()?, None)),
            (own, shared) = further => Some((own.ok()?, shared.ok())),
        }
    }

    fn know(&self, client: SocketAddr) -> Known {
        let mut connections = self.lock();
        let connection = connections.entry(client).or_insert_with(|| {
            Arc::new(OfConnection {
                first: Arc::new(Semaphore::new(1)),
                further: Arc::new(Semaphore::new(self.0.part)),
            })
        });
        Known {
            budget: self.clone(),
            client,
            connection: Arc::clone(connection),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<OfConnection>>> {
        let connections = self.0.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut connections = self.budget.lock();
        // This one and the map's: nobody makes another while the map is locked.
        if Arc::strong_count(&self.connection) == 2 {
            connections.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn client(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn all_shares_together_are_within_the_limit() {
        for limit in [1024, 4096, 65_536, 1 << 20, u64::MAX] {
            let shares = FileShares::of(limit, 16);
            let all = 2 * shares.connections + shares.further;
            assert!(all as u64 + 256 <= limit, "{limit}: {shares:?}");
        }
        assert_eq!(FileShares::of(1 << 20, 16).connections as u64, CONNECTIONS);
        assert_eq!(FileShares::of(0, 1024).connections as u64, FEW);
    }

    #[tokio::test(start_paused = true)]
    async fn a_greedy_connection_has_its_part_and_leaves_the_others_theirs() {
        let budget = FileBudget::new(FileShares {
            connections: 10,
            further: 16,
        });
        let mut held = Vec::new();
        for port in 1..=12 {
            let before = held.len();
            while let Some(file) = budget.take(client(port)).await {
                held.push(file);
            }
            let further = if port <= 8 { 2 } else { 0 };
            assert_eq!(held.len() - before, 1 + further, "{port}");
        }
        held.pop();
        let again = budget.take(client(12)).await;
        assert!(again.is_some() && budget.take(client(12)).await.is_none());
        drop((again, held));
        assert!(budget.lock().is_empty());
    }
}
