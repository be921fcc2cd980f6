//! The objects that are kept inflated.

use std::collections::{HashMap, VecDeque};

use super::Content;

/// The objects that were read last, to which most deltas refer.
#[derive(Default)]
pub(super) struct Recent {
    order: VecDeque<usize>,
    objects: HashMap<usize, Content>,
    bytes: usize,
}

impl Recent {
    /// How many bytes of objects are kept inflated: some thousand commits, or two dozen root trees.
    const LIMIT: usize = 1024 * 1024;

    pub(super) fn get(&self, offset: usize) -> Option<Content> {
        self.objects.get(&offset).cloned()
    }

    pub(super) fn insert(&mut self, offset: usize, content: Content) {
        self.bytes += content.1.len();
        if let Some(before) = self.objects.insert(offset, content) {
            self.bytes -= before.1.len();
        } else {
            self.order.push_back(offset);
        }
        // The newest object stays even where it alone exceeds the limit: the next delta most likely builds on it.
        while self.bytes > Self::LIMIT
            && self.order.len() > 1
            && let Some(oldest) = self.order.pop_front()
            && let Some(dropped) = self.objects.remove(&oldest)
        {
            self.bytes -= dropped.1.len();
        }
    }
}
