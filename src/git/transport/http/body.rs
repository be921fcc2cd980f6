//! The body of a push: a small one is sent with its length, a large one chunked, as it arrives.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::sync::mpsc::Receiver;

use super::error::Broken;
use super::idle::Activity;
use crate::transport::Traffic;

/// The largest body that is sent with its length: the default of git's `http.postBuffer`.
const WHOLE: usize = 1024 * 1024;

/// How much of a body is there when its request starts.
pub(super) enum Gathered {
    /// All of it.
    Whole(Bytes),
    /// Its start, and where the rest comes from.
    Start(VecDeque<Bytes>, Receiver<io::Result<Bytes>>),
}

/// Collects a body until it is complete or too large to be sent with its length.
pub(super) async fn gather(
    head: Bytes,
    mut pack: Receiver<io::Result<Bytes>>,
) -> io::Result<Gathered> {
    let mut size = head.len();
    let mut start = VecDeque::from([head]);
    while let Some(chunk) = pack.recv().await {
        let chunk = chunk?;
        size += chunk.len();
        start.push_back(chunk);
        if size > WHOLE {
            return Ok(Gathered::Start(start, pack));
        }
    }
    // Only the head: the producer went away without a word, and a push without a pack must not be sent.
    if start.len() == 1 {
        let message = "it ended before its first byte";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    let mut whole = BytesMut::with_capacity(size);
    start
        .iter()
        .for_each(|chunk| whole.extend_from_slice(chunk));
    Ok(Gathered::Whole(whole.freeze()))
}

/// A body that is sent chunked, as it arrives.
pub(super) struct PackBody {
    start: VecDeque<Bytes>,
    rest: Receiver<io::Result<Bytes>>,
    activity: Arc<Activity>,
    traffic: Arc<Traffic>,
}

impl PackBody {
    pub(super) fn new(
        start: VecDeque<Bytes>,
        rest: Receiver<io::Result<Bytes>>,
        activity: Arc<Activity>,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            start,
            rest,
            activity,
            traffic,
        }
    }
}

impl Stream for PackBody {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match self.start.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(chunk))),
            None => self.rest.poll_recv(cx),
        };
        // While the body waits for upstream's pack, the mirror is silent for a good reason: its clock must not run.
        self.activity.set_our_turn(next.is_pending());
        if let Poll::Ready(Some(Ok(chunk))) = &next {
            self.traffic.add_sent(chunk.len());
        }
        next.map(|chunk| chunk.map(|chunk| chunk.map_err(Broken)))
    }
}

impl Drop for PackBody {
    /// From now on the server is the one to send, whether the body ended or its connection was lost.
    fn drop(&mut self) {
        self.activity.set_our_turn(false);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use futures_util::{FutureExt, StreamExt};
    use tokio::sync::mpsc::channel;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn is_silent(activity: &Activity) -> bool {
        timeout(LIMIT * 10, activity.timed_out()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_of_silence_stands_while_the_pack_is_slow() {
        let (sender, receiver) = channel(1);
        let (activity, traffic) = (Activity::new(LIMIT), Arc::new(Traffic::default()));
        let start = VecDeque::from([Bytes::from_static(b"head")]);
        let (clock, counted) = (Arc::clone(&activity), Arc::clone(&traffic));
        let mut body = PackBody::new(start, receiver, clock, counted);
        assert_eq!(body.next().await.unwrap().unwrap(), "head");
        assert!(is_silent(&activity).await, "the server has the head");
        assert!(body.next().now_or_never().is_none());
        assert!(!is_silent(&activity).await, "the pack is awaited");
        sender.try_send(Ok(Bytes::from_static(b"pack"))).unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), "pack");
        assert!(is_silent(&activity).await, "the server has the pack");
        assert!(body.next().now_or_never().is_none());
        drop(body);
        assert!(is_silent(&activity).await, "nothing more will come");
        assert_eq!(traffic.sent(), 8);
    }
}
