//! A client of `upload-pack` that opens connections as the protocol's versions demand.
//!
//! In v2 one connection takes any number of commands, until one of them cuts off history (`deepen`): the server process
//! remembers that, so that the next fetch which depends on history gets a connection of its own. In v0 a connection is
//! good for one fetch. Over HTTP every request stands alone.

use std::ops::ControlFlow;

use tracing::debug;

use super::{Connection, HostWords, Remote, Service};
use crate::error::{Error, Result};
use crate::git::ObjectId;
use crate::git::wire::pack::{Object, Scanner};
use crate::git::wire::upload_pack::{Answer, Fetch};
use crate::git::wire::{
    self, Advertisement, Protocol, Refs, Sideband, ls_refs_request, read_ls_refs,
};

/// Fetches from one remote.
pub struct UploadPack<'r> {
    remote: &'r Remote,
    connection: Connection,
    state: State,
}

/// What the connection is still good for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    /// The server process works on a history that was cut off.
    Deepened,
    /// Used up, or left in the middle of an answer.
    Spent,
}

/// The objects of a fetch that is made for planning.
pub struct Scan {
    /// What came before the pack.
    pub answer: Answer,
    /// The objects; none where no pack came.
    pub objects: Scanner,
}

/// Why a fetch brought nothing of use.
///
/// The one place that tells an object which is not there from a server that fails to answer: the first is a fact about the
/// repository that callers may build on, the second says nothing at all about it. Each variant holds the error to report
/// where the difference does not matter; `?` takes it out.
#[derive(Debug)]
pub enum FetchError {
    /// The server does not have, or does not show, an object that was wanted (git's `not our ref`).
    Missing(Error),
    /// The answer is larger than planning ever needs; another try would bring the same.
    TooLarge(Error),
    /// The connection, the server or the answer failed, for a while or for good.
    Failed(Error),
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Missing(error)
            | FetchError::TooLarge(error)
            | FetchError::Failed(error) => error,
        }
    }
}

impl<'r> UploadPack<'r> {
    /// Opens the service.
    ///
    /// # Errors
    /// As [`Remote::open`].
    pub async fn open(remote: &'r Remote) -> Result<Self> {
        Ok(Self {
            connection: remote.open(Service::UploadPack).await?,
            remote,
            state: State::Fresh,
        })
    }

    /// Returns the remote.
    pub fn remote(&self) -> &'r Remote {
        self.remote
    }

    /// Says whether trees and blobs can be left out of a pack.
    pub fn can_filter(&self) -> bool {
        let Advertisement {
            protocol,
            capabilities,
            ..
        } = &self.connection.advertisement;
        match protocol {
            Protocol::V2 => capabilities.value_has("fetch", "filter"),
            Protocol::V0 => capabilities.has("filter"),
        }
    }

    /// Says whether objects may be wanted that no ref points at.
    pub fn can_want_any(&self) -> bool {
        let Advertisement {
            protocol,
            capabilities,
            ..
        } = &self.connection.advertisement;
        let words = ["allow-tip-sha1-in-want", "allow-reachable-sha1-in-want"];
        *protocol == Protocol::V2 || words.iter().all(|word| capabilities.has(word))
    }

    /// Says whether the refs are told when they are asked for, not before.
    pub fn tells_refs_when_asked(&self) -> bool {
        !self.is_v0()
    }

    /// Lists HEAD and the branch `reference` (and what begins like it).
    ///
    /// # Errors
    /// As the conversation goes.
    pub async fn refs(&mut self, reference: &str) -> Result<Refs> {
        debug!("{}: > ls-refs {reference}", self.remote);
        if self.state == State::Spent
            || (self.is_v0() && self.connection.advertisement.refs.is_none())
        {
            self.reopen().await?;
        }
        if let Some(refs) = self.connection.advertisement.refs.take() {
            return Ok(refs);
        }
        let request = ls_refs_request(&self.connection.advertisement.capabilities, reference);
        self.connection.request(request).await?;
        let read = read_ls_refs(self.connection.packets()).await;
        read.map_err(|error| self.error("listing its refs", error))
    }

    /// Sends a fetch and reads its answer up to the pack, which can then be read from [`UploadPack::pack`].
    ///
    /// # Errors
    /// `Missing` when the server does not (or no longer) show what is wanted, otherwise as the conversation goes.
    pub async fn fetch(&mut self, fetch: &Fetch) -> Result<Answer, FetchError> {
        self.ask(fetch).await.map(|(answer, _)| answer)
    }

    /// Sends a fetch and reads its answer up to the pack; returns also what the connection is good for after the pack.
    async fn ask(&mut self, fetch: &Fetch) -> Result<(Answer, State), FetchError> {
        let depends_on_history = !fetch.haves.is_empty() || fetch.deepen.is_some();
        if self.state == State::Spent || (self.state == State::Deepened && depends_on_history) {
            self.reopen().await?;
        }
        let Advertisement {
            protocol,
            capabilities,
            ..
        } = &self.connection.advertisement;
        let protocol = *protocol;
        let request = fetch.request(protocol, capabilities);
        debug!("{}: > {}", self.remote, outline(fetch));
        self.connection.request(request).await?;
        let after = match protocol {
            _ if self.connection.is_stateless() => State::Fresh,
            Protocol::V0 => State::Spent,
            Protocol::V2 if fetch.deepen.is_some() || !fetch.shallow.is_empty() => State::Deepened,
            Protocol::V2 => self.state,
        };
        // Until the answer is read to its end, nothing else can be asked on this byte stream.
        if !self.connection.is_stateless() {
            self.state = State::Spent;
        }
        let answer = Answer::read(self.connection.packets(), protocol, fetch).await;
        let answer = answer.map_err(|error| self.fetch_error("asking it for objects", error))?;
        if !answer.pack_follows {
            self.state = after;
        }
        Ok((answer, after))
    }

    /// Reads the pack that follows the answer to the last fetch.
    pub fn pack(&mut self) -> Sideband<'_, super::Reader> {
        Sideband::new(self.connection.packets())
    }

    /// Fetches objects for planning, each of which is shown to `look`; reading stops where that breaks off.
    ///
    /// A server that cannot filter sends trees and blobs as well: they come after the commits, so that whoever has seen
    /// enough hangs up before most of them.
    ///
    /// # Errors
    /// As [`UploadPack::fetch`]; `TooLarge` for a pack that is larger than planning needs, `server` for a damaged one.
    pub async fn scan(
        &mut self,
        fetch: &Fetch,
        mut look: impl FnMut(&Object) -> ControlFlow<()>,
    ) -> Result<Scan, FetchError> {
        let (answer, after) = self.ask(fetch).await?;
        let mut objects = Scanner::new();
        if answer.pack_follows {
            let read = read_objects(self.pack(), &mut objects, &mut look).await;
            match read {
                Ok(ControlFlow::Continue(())) => self.state = after,
                Ok(ControlFlow::Break(())) => {}
                Err(error) => return Err(self.fetch_error("reading its objects", error)),
            }
        }
        debug!("{}: < {} objects", self.remote, objects.len());
        Ok(Scan { answer, objects })
    }

    /// Says in one error what failed on this connection.
    pub fn error(&self, doing: &str, error: wire::Error) -> Error {
        self.remote.error(doing, error, &self.connection.stderr())
    }

    /// Tells a missing object by the server's words: in an `ERR` packet, or, of an old server, on its error output.
    fn fetch_error(&self, doing: &str, error: wire::Error) -> FetchError {
        let is_missing = match &error {
            wire::Error::Remote(words) => HostWords::new(words).tell_missing(),
            wire::Error::Cut => HostWords::new(&self.connection.stderr()).tell_missing(),
            _ => false,
        };
        let is_too_large = matches!(error, wire::Error::Limit { .. });
        let error = self.error(doing, error);
        match (is_missing, is_too_large) {
            (true, _) => FetchError::Missing(error),
            (_, true) => FetchError::TooLarge(error),
            _ => FetchError::Failed(error),
        }
    }

    fn is_v0(&self) -> bool {
        self.connection.advertisement.protocol == Protocol::V0
    }

    async fn reopen(&mut self) -> Result<()> {
        self.connection = self.remote.open(Service::UploadPack).await?;
        self.state = State::Fresh;
        Ok(())
    }
}

async fn read_objects(
    mut pack: Sideband<'_, super::Reader>,
    objects: &mut Scanner,
    look: &mut impl FnMut(&Object) -> ControlFlow<()>,
) -> wire::Result<ControlFlow<()>> {
    while let Some(chunk) = pack.data().await? {
        objects.push(&chunk)?;
        while let Some(object) = objects.next_object()? {
            if look(&object).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    if objects.is_complete() {
        Ok(ControlFlow::Continue(()))
    } else {
        Err(wire::Error::Cut)
    }
}

fn outline(fetch: &Fetch) -> String {
    let ids = |ids: &[ObjectId]| {
        ids.iter()
            .take(3)
            .map(ObjectId::short)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut text = format!("fetch, want {} [{}]", fetch.wants.len(), ids(&fetch.wants));
    if !fetch.haves.is_empty() {
        text += &format!(", have {} [{}]", fetch.haves.len(), ids(&fetch.haves));
    }
    if !fetch.shallow.is_empty() {
        text += &format!(", shallow {}", fetch.shallow.len());
    }
    if let Some(depth) = fetch.deepen {
        text += &format!(", deepen {depth}");
    }
    text
}
