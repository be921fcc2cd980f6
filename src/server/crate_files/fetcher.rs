//! Fetches crate files from upstream and verifies them.

use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::counts::Counter;
use super::negative_cache::NegativeCache;
use super::receive::{Received, receive};
use super::single_flight::Flight;
use super::unavailable::Unavailable;
use super::upstream::Upstream;
use crate::config::ServeConfig;
use crate::error::Result;
use crate::index::CrateFile;
use crate::server::store::Scratch;

/// Fetches crate files, from one upstream.
pub(super) struct Fetcher {
    upstream: Upstream,
    negative_cache: NegativeCache,
    scratch: Scratch,
    pub(super) fetched_bytes: Counter,
    pub(super) upstream_errors: Counter,
    pub(super) checksum_failures: Counter,
}

impl Fetcher {
    /// # Errors
    /// `config` if the certificates or `serve.dl` cannot be used.
    pub(super) fn new(config: &ServeConfig, scratch: &Scratch) -> Result<Self> {
        Ok(Self {
            upstream: Upstream::new(config, scratch)?,
            negative_cache: NegativeCache::default(),
            scratch: scratch.clone(),
            fetched_bytes: Counter::default(),
            upstream_errors: Counter::default(),
            checksum_failures: Counter::default(),
        })
    }

    /// Returns the URL of a file at upstream.
    pub(super) async fn url(&self, file: &CrateFile) -> Result<Url, Unavailable> {
        self.upstream.url(file).await
    }

    /// Fetches a file and verifies it; the requests that wait for the flight can read a large one while it arrives.
    pub(super) async fn fetch(
        &self,
        file: &CrateFile,
        flight: &Flight,
    ) -> Result<Received, Unavailable> {
        let fetched = self.fetch_verified(file, flight).await;
        match &fetched {
            Ok(received) => {
                self.upstream.succeeded();
                self.negative_cache.succeeded(file.checksum);
                self.fetched_bytes.add(received.file.size());
            }
            Err(why) => {
                let now = Instant::now();
                self.negative_cache.failed(file.checksum, why, now);
                self.count(why);
            }
        }
        fetched
    }

    async fn fetch_verified(
        &self,
        file: &CrateFile,
        flight: &Flight,
    ) -> Result<Received, Unavailable> {
        // Both refuse at once; asked after the wait for a connection they would be of little use. `fetch` looks again
        // at the pause, which may have begun during that wait.
        self.negative_cache.check(file.checksum, Instant::now())?;
        self.upstream.check_pause()?;
        let url = self.upstream.url(file).await?;
        // Free again as soon as all bytes are here: storing them needs no connection.
        let _connection = self.connection(flight).await?;
        let incoming = self.upstream.fetch(url).await?;
        receive(incoming, file.checksum, &self.scratch, Some(flight)).await
    }

    /// Waits for a connection as long as somebody waits for the file.
    async fn connection(&self, flight: &Flight) -> Result<OwnedSemaphorePermit, Unavailable> {
        tokio::select! {
            // First: upstream is not asked for a file that nobody waits for.
            biased;
            () = flight.abandoned() => Err(Unavailable::Abandoned),
            connection = self.upstream.connection() => connection,
        }
    }

    fn count(&self, why: &Unavailable) {
        match why {
            // None of these says that upstream failed.
            Unavailable::NotStored
            | Unavailable::Busy
            | Unavailable::Abandoned
            | Unavailable::Store(_)
            | Unavailable::Disk(_) => {}
            Unavailable::Mismatch { .. } => self.checksum_failures.add(1),
            _ => self.upstream_errors.add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use aws_lc_rs::digest::{Context, SHA256};
    use tempfile::TempDir;
    use tokio::net::TcpListener;

    use super::super::receive::finish;
    use super::super::single_flight::SingleFlight;
    use super::*;
    use crate::config::{Environment, Flags};
    use crate::index::{Checksum, CrateName, CrateVersion};

    const RIGHT: &[u8] = b"the bytes of foo";

    fn checksum(bytes: &[u8]) -> Checksum {
        let mut hash = Context::new(&SHA256);
        hash.update(bytes);
        finish(hash)
    }

    fn foo(version: &str) -> CrateFile {
        CrateFile {
            name: CrateName::new("foo").unwrap(),
            version: CrateVersion::new(version).unwrap(),
            checksum: checksum(RIGHT),
        }
    }

    /// Serves the right bytes as 1.0.0, others as 2.0.0, and nothing else; returns what fetches from there.
    async fn fetcher() -> (Fetcher, TempDir) {
        let upstream = axum::Router::new()
            .route("/foo/1.0.0", axum::routing::get(|| async { RIGHT }))
            .route("/foo/2.0.0", axum::routing::get(|| async { "a portal" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dl = format!(
            "http://{}/{{crate}}/{{version}}",
            listener.local_addr().unwrap()
        );
        tokio::spawn(async { axum::serve(listener, upstream).await });
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_str().unwrap();
        let pairs = [
            ("FERRY_SERVE_DL", dl.as_str()),
            ("FERRY_SERVE_DATA_DIR", data_dir),
        ];
        let environment = Environment::from_pairs(pairs);
        let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
        let scratch = Scratch::open(folder.path().join("tmp")).unwrap();
        (Fetcher::new(&config, &scratch).unwrap(), folder)
    }

    async fn fetch(fetcher: &Fetcher, version: &str) -> Result<Received, Unavailable> {
        let flights = SingleFlight::default();
        let (_waiter, flight) = flights.join(checksum(RIGHT));
        fetcher.fetch(&foo(version), &flight.unwrap()).await
    }

    #[tokio::test]
    async fn a_file_is_fetched_and_counted() {
        let (fetcher, _folder) = fetcher().await;
        let received = fetch(&fetcher, "1.0.0").await.unwrap();
        assert_eq!(received.file.size(), RIGHT.len() as u64);
        assert_eq!(fetcher.fetched_bytes.get(), RIGHT.len() as u64);
        assert_eq!(fetcher.upstream_errors.get(), 0);
    }

    #[tokio::test]
    async fn a_failure_is_counted_by_its_kind_and_the_second_in_a_row_is_remembered() {
        let (fetcher, _folder) = fetcher().await;
        for _ in 0..2 {
            let got = fetch(&fetcher, "2.0.0").await;
            assert!(matches!(got, Err(Unavailable::Mismatch { .. })));
        }
        assert_eq!(fetcher.checksum_failures.get(), 2);
        let got = fetch(&fetcher, "2.0.0").await;
        assert!(matches!(got, Err(Unavailable::FailedRecently(..))));
        assert_eq!(fetcher.checksum_failures.get(), 2);
        assert_eq!(fetcher.upstream_errors.get(), 1);
    }

    #[tokio::test]
    async fn a_file_that_upstream_lacks_is_missing() {
        let (fetcher, _folder) = fetcher().await;
        let got = fetch(&fetcher, "3.0.0").await;
        let Err(Unavailable::Missing(why)) = got else {
            panic!("{got:?}");
        };
        assert!(
            why.starts_with("http://127.0.0.1:") && why.ends_with(" responds with 404 Not Found"),
            "{why}"
        );
        assert_eq!(fetcher.upstream_errors.get(), 1);
    }
}
