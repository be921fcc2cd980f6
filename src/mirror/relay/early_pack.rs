//! Upstream's pack, asked for before the plan is made: upstream's trees are read from its beginning, which saves the round trip in
//! which they would be asked for.

use std::collections::HashMap;

use crate::error::Result;
use crate::git::ObjectId;
use crate::git::objects::{NewTree, parse_tree};
use crate::git::transport::{FetchError, PackStream, UploadPack};
use crate::git::tree::Tree;
use crate::git::wire::pack::{ObjectKind, Scanner};
use crate::git::wire::upload_pack::Fetch;

/// A pack of which the beginning has been read. It is sent to the mirror if the plan turns out to need it, else dropped.
pub struct EarlyPack<'r> {
    fetch: Fetch,
    stream: PackStream<'r>,
    arrived: Scanner,
    /// Whether more objects can be read from what arrives.
    is_readable: bool,
}

impl<'r> EarlyPack<'r> {
    /// The most that is read before the plan is made, in bytes.
    const LIMIT: usize = 1024 * 1024;
    /// The most new commits with which it is worth while: the trees follow them in the pack, and a thousand commits take a quarter
    /// of the limit.
    pub const COMMITS: usize = 4000;

    /// Asks upstream for the pack. It may be thin: `held` are the root trees on which it may build.
    ///
    /// # Errors
    /// As [`UploadPack::fetch_pack`].
    pub async fn ask(
        upstream: &mut UploadPack<'r>,
        fetch: Fetch,
        held: impl IntoIterator<Item = NewTree>,
    ) -> Result<Self, FetchError> {
        let stream = upstream.fetch_pack(&fetch).await?;
        let mut arrived = Scanner::new();
        for tree in held {
            arrived.supply(tree.id, ObjectKind::Tree, tree.content);
        }
        Ok(Self {
            fetch,
            stream,
            arrived,
            is_readable: true,
        })
    }

    /// Returns those of the trees that the beginning of the pack contains.
    ///
    /// # Errors
    /// As [`PackStream::data`]; `server` for a tree that cannot be parsed.
    pub async fn find(&mut self, ids: &[ObjectId]) -> Result<HashMap<ObjectId, Tree>> {
        loop {
            self.read_objects(ids).await;
            let is_found = ids.iter().all(|id| self.arrived.has(id));
            if is_found || !self.is_readable || self.arrived.size() >= Self::LIMIT {
                break;
            }
            let next = self.stream.data().await;
            let next = next.map_err(|error| self.stream.error(error))?;
            let Some(chunk) = next else { break };
            let taken = self.arrived.push(&chunk);
            taken.map_err(|error| self.stream.error(error))?;
        }
        let mut found = HashMap::new();
        for id in ids {
            // One that cannot be read here is asked for by itself, which tells what is wrong with it.
            if let Ok(Some(object)) = self.arrived.get(id) {
                found.insert(*id, parse_tree(&object.content)?);
            }
        }
        Ok(found)
    }

    /// Reads objects until the trees are among them, or more bytes are needed.
    async fn read_objects(&mut self, ids: &[ObjectId]) {
        while self.is_readable && !ids.iter().all(|id| self.arrived.has(id)) {
            match self.arrived.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return,
                // Too large for planning, perhaps, and still good for the mirror, which judges it by itself.
                Err(_) => self.is_readable = false,
            }
        }
    }

    /// Says whether this is the pack of a fetch.
    pub fn is_of(&self, fetch: &Fetch) -> bool {
        self.fetch == *fetch
    }

    /// Returns the whole pack, from its first byte.
    pub fn into_stream(mut self) -> PackStream<'r> {
        self.stream.put_back(self.arrived.into_pack());
        self.stream
    }
}
