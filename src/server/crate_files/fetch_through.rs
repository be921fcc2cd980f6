//! The way of a flight: the store, a place upstream, the bytes, the store again.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::receive::Received;
use super::single_flight::{Stage, Waiter};
use super::upstream::Upstream;
use super::{CrateFiles, Unavailable};
use crate::index::{Checksum, CrateFile};

impl CrateFiles {
    /// Joins the flight of a file, or starts one.
    pub(super) fn flight(self: &Arc<Self>, file: &CrateFile) -> Waiter {
        let (waiter, stage) = self.flights.join(file.checksum);
        if let Some(stage) = stage {
            let (files, file) = (Arc::clone(self), file.clone());
            // Goes on when whoever asked has gone, once upstream was asked: the next one finds the file kept. Not on the
            // thread that asked, where all who wait for the file would be in its way.
            self.runtime.spawn(async move {
                let landing = Landing(&files, file.checksum, &stage);
                files.fly(&file, &stage).await;
                drop(landing);
                drop(stage);
                files.evict_if_full().await;
            });
        }
        waiter
    }

    /// Looks into the store, then asks upstream.
    async fn fly(&self, file: &CrateFile, stage: &watch::Sender<Stage>) {
        let unreadable = match self.find_kept(file).await {
            Ok(Some(held)) => {
                self.remember(file, &held);
                stage.send_replace(Stage::Held(held, false));
                self.touch(file.path());
                return;
            }
            Ok(None) => None,
            // What is held cannot be read: upstream may still help.
            Err(unreadable) => Some(unreadable),
        };
        stage.send_replace(Stage::Asking);
        if let Err(why) = self.fetch_and_keep(file, stage).await {
            let why = match (why, unreadable) {
                // That it is not held is more than we know.
                (Unavailable::NotHeld, Some(unreadable)) => unreadable,
                (why, _) => why,
            };
            self.counts.unavailable(&why);
            why.log(file);
            // Whoever asks once it is told starts anew.
            self.flights.land(file.checksum, stage);
            stage.send_replace(Stage::Failed(why));
        }
    }

    /// Fetches a file, serves it to all who wait, and keeps it.
    async fn fetch_and_keep(
        &self,
        file: &CrateFile,
        stage: &watch::Sender<Stage>,
    ) -> Result<(), Unavailable> {
        let upstream = self.upstream.as_ref().ok_or(Unavailable::NotHeld)?;
        self.mishaps.check(file.checksum, Instant::now())?;
        let received = match self.fetch(upstream, file, stage).await {
            Ok(received) => received,
            Err(why) => {
                self.mishaps.failed(file.checksum, &why, Instant::now());
                return Err(why);
            }
        };
        upstream.succeeded();
        self.mishaps.succeeded(file.checksum);
        self.counts.fetched(received.held.size());
        self.remember(file, &received.held);
        stage.send_replace(Stage::Held(received.held.clone(), true));
        self.keep_received(file, received).await;
        Ok(())
    }

    /// Fetches a file; its place upstream is free again once the bytes are here.
    async fn fetch(
        &self,
        upstream: &Upstream,
        file: &CrateFile,
        stage: &watch::Sender<Stage>,
    ) -> Result<Received, Unavailable> {
        upstream.check_pause()?;
        let url = upstream.url(file).await?;
        let _place = self.place(upstream, file, stage).await?;
        let incoming = upstream.fetch(url).await?;
        self.receive(file, incoming, stage).await
    }

    /// Waits for a place upstream as long as somebody waits for the file.
    async fn place(
        &self,
        upstream: &Upstream,
        file: &CrateFile,
        stage: &watch::Sender<Stage>,
    ) -> Result<OwnedSemaphorePermit, Unavailable> {
        let place = upstream.place();
        tokio::pin!(place);
        loop {
            tokio::select! {
                biased;
                () = stage.closed() => {
                    if self.flights.abandon(file.checksum, stage) {
                        return Err(Unavailable::Abandoned);
                    }
                }
                place = &mut place => return place,
            }
        }
    }
}

/// Ends a flight, however it ends.
struct Landing<'a>(&'a CrateFiles, Checksum, &'a watch::Sender<Stage>);

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.0.flights.land(self.1, self.2);
    }
}
