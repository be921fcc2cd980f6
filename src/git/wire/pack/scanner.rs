//! Reads the objects of a small pack as it arrives: commits and single trees, for planning.
//!
//! The pack is stored compressed, and an object is inflated on demand. Bounded: a pack or an object beyond a limit in size or
//! in work is an error, so that no server can exhaust the memory or the processor; between two objects other tasks can run
//! ([`Scanner::next`]).

mod later;
mod recent;
mod work;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{EntryHeader, EntryKind, Inflate};
use super::{HEADER, ObjectKind, delta, entry_count};
use crate::ObjectId;
use crate::wire::{Error, Result};
use later::Later;
use recent::Recent;
use work::Work;

/// An object of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub id: ObjectId,
    /// Its content, without a header.
    pub content: Arc<Vec<u8>>,
}

/// A pack of which some bytes have arrived.
#[derive(Default)]
pub struct Scanner {
    pack: Vec<u8>,
    /// Where the next entry begins.
    at: usize,
    entries_left: Option<u32>,
    /// The entry at `at`, of which some bytes have arrived.
    begun: Option<Begun>,
    offsets: HashMap<ObjectId, u32>,
    /// Objects that are not in the pack, and that a thin one builds on.
    supplied: HashMap<ObjectId, Content>,
    later: Later,
    recent: RefCell<Recent>,
    work: Work,
    /// The work that had been done at the last pause.
    paused_at: usize,
}

impl Scanner {
    /// The largest pack, in bytes: some hundred thousand commits.
    const PACK_LIMIT: usize = 18 * 1024 * 1024;
    /// The largest object, in bytes. Root trees have some 40 KB, the largest files of the index some MB.
    const OBJECT_LIMIT: usize = 8 * 1024 * 1024;
    /// The largest commit or tag, in bytes: planning has many of them in memory at once.
    const COMMIT_LIMIT: usize = 1024 * 1024;
    /// The longest chain of deltas. Hosts make chains of 50 to 250 (`pack.depth`).
    const CHAIN_LIMIT: usize = 1000;

    /// Begins an empty pack.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the pack.
    ///
    /// # Errors
    /// `Limit` when the pack is larger than planning ever needs.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        if self.pack.len() + chunk.len() > Self::PACK_LIMIT {
            return Err(Error::Limit {
                what: "a pack that is read for planning, in bytes,",
                limit: Self::PACK_LIMIT,
            });
        }
        self.pack.extend_from_slice(chunk);
        Ok(())
    }

    /// Supplies an object on which a thin pack may build, as the receiver of such a pack has it.
    pub fn supply(&mut self, id: ObjectId, kind: ObjectKind, content: Vec<u8>) {
        self.supplied.insert(id, (kind, Arc::new(content)));
    }

    /// Returns what has arrived of the pack, byte for byte.
    pub fn into_pack(self) -> Vec<u8> {
        self.pack
    }

    /// Returns how many bytes of the pack have arrived.
    pub fn size(&self) -> usize {
        self.pack.len()
    }

    /// Returns the next object, in the pack's order but for deltas that come before their base; `None` where more bytes are
    /// needed or all have been read.
    ///
    /// # Errors
    /// `Garbage` for bytes that are not a pack, `Limit` for one that is more work than planning ever needs.
    pub fn next_object(&mut self) -> Result<Option<Object>> {
        self.work.begin_object();
        loop {
            if let Some(offset) = self.later.ready.pop() {
                return self.finish(offset, self.part(offset)?).map(Some);
            }
            let Some(left) = self.read_header()? else {
                return Ok(None);
            };
            if left == 0 {
                return self.later.refuse_waiting().map(|()| None);
            }
            let Some(part) = self.next_part()? else {
                return Ok(None);
            };
            let offset = self.at;
            self.at += part.length;
            self.entries_left = Some(left - 1);
            match self.later.awaited(&part.base) {
                Some(base) => self.later.wait(base, offset)?,
                None => return self.finish(offset, part).map(Some),
            }
        }
    }

    /// Makes the object of an entry whose base has been read.
    fn finish(&mut self, offset: usize, part: Part) -> Result<Object> {
        let (kind, content) = self.resolve(part)?;
        // The id is computed, never believed: a server cannot pass off one object as another.
        let id = kind.id_of(&content);
        // `PACK_LIMIT` keeps every offset far below 32 bits.
        let short = u32::try_from(offset).unwrap_or(u32::MAX);
        // The first of its kind: a delta that makes its own base again would lead to itself.
        self.offsets.entry(id).or_insert(short);
        self.recent
            .borrow_mut()
            .insert(offset, (kind, Arc::clone(&content)));
        self.later.wake(id, offset);
        Ok(Object { kind, id, content })
    }

    /// Says whether every object of the pack has been read.
    pub fn is_complete(&self) -> bool {
        // The pack's own checksum is not looked at: each object is asked for by its id, which was computed from its
        // content.
        self.entries_left == Some(0) && self.later.is_empty()
    }

    /// Returns the number of objects that are still to be read, once the pack's header has been.
    pub fn left(&self) -> Option<u32> {
        self.entries_left
    }

    /// Returns the number of objects read so far.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Says whether no object has been read so far.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Says whether an object has been read.
    pub fn has(&self, id: &ObjectId) -> bool {
        self.offsets.contains_key(id)
    }

    /// Returns the ids of the objects read so far, in no order.
    pub fn ids(&self) -> impl Iterator<Item = &ObjectId> {
        self.offsets.keys()
    }

    /// Returns an object that has been read.
    ///
    /// # Errors
    /// `Limit` when reading objects of this pack has become more work than planning ever needs.
    pub fn get(&self, id: &ObjectId) -> Result<Option<Object>> {
        let Some(offset) = self.offsets.get(id) else {
            return Ok(None);
        };
        self.work.begin_object();
        let (kind, content) = self.resolve(self.part(*offset as usize)?)?;
        Ok(Some(Object {
            kind,
            id: *id,
            content,
        }))
    }

    /// As [`Scanner::next_object`], and lets other tasks run first where much work was done since they last could: a small pack
    /// can be much work, during which nothing is waited for, so that timeouts, signals and other requests would have to wait.
    ///
    /// # Errors
    /// As [`Scanner::next_object`].
    pub async fn next(&mut self) -> Result<Option<Object>> {
        /// How much work is done without a pause, in bytes: some milliseconds.
        const WITHOUT_PAUSE: usize = 1024 * 1024;
        let work = self.work();
        if work - self.paused_at > WITHOUT_PAUSE {
            tokio::task::yield_now().await;
            self.paused_at = work;
        }
        self.next_object()
    }

    /// Returns how much work reading the objects has been so far, in bytes that went through it.
    pub fn work(&self) -> usize {
        self.work.whole.get()
    }

    fn read_header(&mut self) -> Result<Option<u32>> {
        if self.entries_left.is_none() && self.pack.len() >= HEADER {
            self.entries_left = Some(entry_count(&self.pack[..HEADER])?);
            self.at = HEADER;
        }
        Ok(self.entries_left)
    }

    /// Goes on with the entry at `at`; `None` where more bytes are needed.
    fn next_part(&mut self) -> Result<Option<Part>> {
        let mut begun = match self.begun.take() {
            Some(begun) => begun,
            None => match self.header(self.at)? {
                Some((header, base)) => Begun {
                    // `header` has refused sizes beyond the limits, so the cast loses nothing.
                    data: Inflate::new(header.size as usize),
                    header: header.length,
                    base,
                },
                None => return Ok(None),
            },
        };
        let deflated = &self.pack[self.at + begun.header..];
        if !begun.data.go_on(deflated)? {
            self.begun = Some(begun);
            return Ok(None);
        }
        begun.end(&self.work).map(Some)
    }

    /// Makes the object of an entry's data and what that builds on.
    fn resolve(&self, part: Part) -> Result<Content> {
        match part.base {
            Base::None(kind) => Ok((kind, Arc::new(part.data))),
            Base::At(base) => self.apply(&self.base(base)?, &part.data),
            Base::Supplied(id) => self.apply(self.supplied(&id)?, &part.data),
            Base::Later(_) => Err(breaks_off()),
        }
    }

    fn supplied(&self, id: &ObjectId) -> Result<&Content> {
        self.supplied.get(id).ok_or_else(breaks_off)
    }

    /// Returns the object at `offset`, as the base of a delta.
    ///
    /// Follows the chain by its headers and inflates it from its end, so that only one delta at a time is in memory.
    fn base(&self, offset: usize) -> Result<Content> {
        let mut chain = Vec::new();
        let mut next = Some(offset);
        let mut content = None;
        while let Some(at) = next {
            content = self.recent.borrow().get(at);
            if content.is_some() {
                break;
            }
            if chain.len() >= Self::CHAIN_LIMIT {
                return Err(Error::garbage("a chain of deltas without end"));
            }
            chain.push(at);
            next = match self.header(at)?.ok_or_else(breaks_off)?.1 {
                Base::At(base) => Some(base),
                Base::None(_) | Base::Supplied(_) => None,
                Base::Later(_) => return Err(breaks_off()),
            };
        }
        for at in chain.into_iter().rev() {
            let part = self.part(at)?;
            let object = match (part.base, &content) {
                (Base::None(kind), _) => (kind, Arc::new(part.data)),
                (Base::At(_), Some(base)) => self.apply(base, &part.data)?,
                (Base::Supplied(id), _) => self.apply(self.supplied(&id)?, &part.data)?,
                _ => return Err(breaks_off()),
            };
            self.recent.borrow_mut().insert(at, object.clone());
            content = Some(object);
        }
        content.ok_or_else(breaks_off)
    }

    /// Inflates the data of an entry that has been read before, be it an object or a delta.
    fn part(&self, offset: usize) -> Result<Part> {
        let (header, base) = self.header(offset)?.ok_or_else(breaks_off)?;
        let mut data = Inflate::new(header.size as usize);
        if !data.go_on(&self.pack[offset + header.length..])? {
            return Err(breaks_off());
        }
        let begun = Begun {
            header: header.length,
            base,
            data,
        };
        begun.end(&self.work)
    }

    fn apply(&self, (kind, base): &Content, delta: &[u8]) -> Result<Content> {
        let object = delta::apply(base, delta, Self::OBJECT_LIMIT)?;
        within_limit(Some(*kind), object.len() as u64)?;
        self.work.add(object.len())?;
        Ok((*kind, Arc::new(object)))
    }

    /// Reads the header of the entry at `offset`; `None` where more bytes are needed.
    fn header(&self, offset: usize) -> Result<Option<(EntryHeader, Base)>> {
        let bytes = self.pack.get(offset..).unwrap_or_default();
        let Some(header) = EntryHeader::parse(bytes)? else {
            return Ok(None);
        };
        let base = match header.kind {
            EntryKind::Whole(kind) => {
                within_limit(Some(kind), header.size)?;
                return Ok(Some((header, Base::None(kind))));
            }
            EntryKind::OffsetDelta(distance) => usize::try_from(distance)
                .ok()
                .filter(|distance| *distance > 0)
                .and_then(|distance| offset.checked_sub(distance))
                .filter(|base| *base >= HEADER),
            // A base that was not supplied is in the pack, mostly before the delta.
            EntryKind::RefDelta(id) => {
                within_limit(None, header.size)?;
                let base = match self.offsets.get(&id) {
                    Some(at) => Base::At(*at as usize),
                    None if self.supplied.contains_key(&id) => Base::Supplied(id),
                    None => Base::Later(id),
                };
                return Ok(Some((header, base)));
            }
        };
        within_limit(None, header.size)?;
        let base =
            base.ok_or_else(|| Error::garbage("a delta whose base is not in the pack before it"))?;
        Ok(Some((header, Base::At(base))))
    }
}

/// An entry whose data is being inflated.
struct Begun {
    /// The length of its header, in bytes.
    header: usize,
    base: Base,
    data: Inflate,
}

impl Begun {
    /// Ends an entry whose data is complete.
    fn end(self, work: &Work) -> Result<Part> {
        let deflated = self.data.consumed();
        let data = self.data.into_data();
        // Both: a stream of empty blocks is work, too.
        work.add(deflated.max(data.len()))?;
        Ok(Part {
            length: self.header + deflated,
            base: self.base,
            data,
        })
    }
}

/// An entry's inflated data.
struct Part {
    /// The length of the entry, in bytes.
    length: usize,
    base: Base,
    data: Vec<u8>,
}

/// What an entry builds on.
enum Base {
    /// Nothing: it holds a whole object of this kind.
    None(ObjectKind),
    /// The entry that begins there.
    At(usize),
    /// An object that is not in the pack.
    Supplied(ObjectId),
    /// An object that has not been read yet.
    Later(ObjectId),
}

/// Refuses what is larger than planning ever needs; a delta has no kind of its own.
fn within_limit(kind: Option<ObjectKind>, size: u64) -> Result<()> {
    let (what, limit) = match kind {
        Some(ObjectKind::Commit) => ("a commit, in bytes,", Scanner::COMMIT_LIMIT),
        Some(ObjectKind::Tag) => ("a tag, in bytes,", Scanner::COMMIT_LIMIT),
        _ => ("an object, in bytes,", Scanner::OBJECT_LIMIT),
    };
    if size > limit as u64 {
        return Err(Error::Limit { what, limit });
    }
    Ok(())
}

fn breaks_off() -> Error {
    Error::garbage("a delta whose base ends early")
}

type Content = (ObjectKind, Arc<Vec<u8>>);
