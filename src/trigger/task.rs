//! One thing of a kind that the helper does beside all others.

use std::pin::Pin;

/// Something under way; pending where there is nothing.
pub(super) struct Task<'a, T>(Option<Pin<Box<dyn Future<Output = T> + 'a>>>);

impl<'a, T> Task<'a, T> {
    /// Begins with nothing.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Says whether it is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Starts it.
    pub(super) fn start(&mut self, work: impl Future<Output = T> + 'a) {
        self.0 = Some(Box::pin(work));
    }

    /// Waits for its end.
    pub(super) async fn end(&mut self) -> T {
        match &mut self.0 {
            Some(work) => {
                let end = work.await;
                self.0 = None;
                end
            }
            None => std::future::pending().await,
        }
    }
}
