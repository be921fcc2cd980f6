//! A client of `upload-pack`, which opens new connections where the protocol's version requires it.
//!
//! In v2 one connection takes any number of commands, until a fetch with `deepen`: the server process then keeps the cut-off
//! history as its own, so that the next fetch that depends on history needs a new connection. In v0 a connection takes one
//! fetch. Over HTTP each request is independent. One that takes more may be kept from one use to the next ([`KeptUploadPack`]).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;
use tracing::debug;

use super::fetch_error::{FetchError, NoResponse};
use super::{Connection, HostMessage, Meaning, PackStream, Remote, Service};
use crate::ObjectId;
use crate::error::{Error, Kind, Result};
use crate::wire::pack::{Object, Scanner};
use crate::wire::upload_pack::{Fetch, FetchResponse, is_plain};
use crate::wire::{
    self, Advertisement, Capabilities, Head, PacketWriter, Protocol, Refs, Sideband,
    ls_refs_request, read_ls_refs,
};

/// Fetches from one remote.
pub struct UploadPack<'r> {
    remote: &'r Remote,
    connection: Connection,
    state: State,
    /// The state once the pack that is being read has ended.
    after_pack: State,
    /// The branch that was listed last, and where it was.
    listed: Option<(String, ObjectId)>,
    /// The commits whose parents the repository lacks, as far as the server has named any.
    shallow: BTreeSet<ObjectId>,
}

/// What the connection can still be used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    /// The server process works on a history that `deepen` cut off.
    Deepened,
    /// Nothing: used up, or left in the middle of a response.
    Spent,
}

/// The result of a fetch for planning.
pub struct Scan {
    /// The sections before the pack.
    pub answer: FetchResponse,
    /// The objects; none if the server sent no pack.
    pub objects: Scanner,
}

/// A connection to `upload-pack` between two uses.
pub struct KeptUploadPack {
    connection: Connection,
    state: State,
}

impl KeptUploadPack {
    /// Ends the conversation.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

impl<'r> UploadPack<'r> {
    /// Keeps the connection for a later use; `None` where that would save nothing, or the server takes no further command on it.
    pub fn keep(self) -> Option<KeptUploadPack> {
        let is_usable = self.state != State::Spent && !self.is_v0();
        (is_usable && self.remote.is_costly_to_open()).then_some(KeptUploadPack {
            connection: self.connection,
            state: self.state,
        })
    }

    /// Goes on with a connection that was kept. The host may have closed it meanwhile, which the next request shows.
    pub fn resume(remote: &'r Remote, kept: KeptUploadPack) -> Self {
        Self {
            state: kept.state,
            ..Self::on(remote, kept.connection)
        }
    }

    /// Says that the pack which followed the last response was read to its end.
    pub fn end_pack(&mut self) {
        self.state = self.after_pack;
    }

    /// Opens the service.
    ///
    /// # Errors
    /// As [`Remote::open`].
    pub async fn open(remote: &'r Remote) -> Result<Self> {
        Ok(Self::on(remote, remote.open(Service::UploadPack).await?))
    }

    /// Opens the service and lists HEAD and the branch `reference`, in one round trip where the transport and the server allow it.
    ///
    /// # Errors
    /// As [`UploadPack::open`] and [`UploadPack::refs`].
    pub async fn open_and_list(remote: &'r Remote, reference: &str) -> Result<(Self, Refs)> {
        // Names no capability, since none has been offered yet.
        let command = ls_refs_request(&Capabilities::default(), reference);
        let (connection, is_sent) = remote.open_with(&command).await?;
        let mut server = Self::on(remote, connection);
        if !is_sent {
            let refs = server.refs(reference).await?;
            return Ok((server, refs));
        }
        debug!("{remote}: > ls-refs {reference}");
        let refs = match server.connection.advertisement.refs.take() {
            Some(refs) => {
                server.state = State::Spent;
                server.connection.hang_up();
                refs
            }
            None => server.read_refs(reference).await?,
        };
        // Only whoever names the capability is told of a branch of HEAD that does not exist yet.
        let capabilities = &server.connection.advertisement.capabilities;
        if refs.head == Head::Unknown && capabilities.value_has("ls-refs", "unborn") {
            let refs = server.refs(reference).await?;
            return Ok((server, refs));
        }
        server.note(reference, &refs);
        Ok((server, refs))
    }

    fn on(remote: &'r Remote, connection: Connection) -> Self {
        Self {
            connection,
            remote,
            state: State::Fresh,
            after_pack: State::Spent,
            listed: None,
            shallow: BTreeSet::new(),
        }
    }

    /// Returns the remote.
    pub fn remote(&self) -> &'r Remote {
        self.remote
    }

    /// Says whether the server supports `filter`, which leaves trees and blobs out of a pack.
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

    /// Says whether the server accepts `want` for objects that no ref points at.
    pub fn can_want_any(&self) -> bool {
        let Advertisement {
            protocol,
            capabilities,
            ..
        } = &self.connection.advertisement;
        // `uploadpack.allowAnySHA1InWant` has no capability of its own: it is advertised as both of these.
        let words = ["allow-tip-sha1-in-want", "allow-reachable-sha1-in-want"];
        *protocol == Protocol::V2 || words.iter().all(|word| capabilities.has(word))
    }

    /// Says whether the server is one that does not name itself: its packs have no order, and it may talk to one client at a
    /// time. Packs of other servers begin with the commits, so that a reader of commits can stop after them.
    pub fn is_plain(&self) -> bool {
        let advertisement = &self.connection.advertisement;
        is_plain(advertisement.protocol, &advertisement.capabilities)
    }

    /// Lists HEAD and the branch `reference`; in v0 all branches.
    ///
    /// # Errors
    /// As [`Remote::open`], and `server` for a response that is not the protocol's.
    pub async fn refs(&mut self, reference: &str) -> Result<Refs> {
        let refs = self.list(reference).await?;
        self.note(reference, &refs);
        Ok(refs)
    }

    fn note(&mut self, reference: &str, refs: &Refs) {
        let tip = refs.branches.get(reference);
        self.shallow.extend(&refs.shallow);
        self.listed = tip.map(|tip| (reference.to_owned(), *tip));
    }

    /// Returns the commits whose parents the repository lacks, being a shallow clone: as far as the server has named any, with its
    /// refs (v0) or in response to a fetch (v2).
    pub fn shallow(&self) -> &BTreeSet<ObjectId> {
        &self.shallow
    }

    /// Says whether the repository is a shallow clone that lacks a part of the history of `tip`. In v2 this is a request.
    ///
    /// # Errors
    /// As [`UploadPack::fetch`].
    pub async fn is_cut_off(&mut self, tip: ObjectId) -> Result<bool> {
        if !self.is_v0() {
            // What the server sends is an empty pack, after naming the commits.
            let nothing = Fetch {
                wants: vec![tip],
                haves: vec![tip],
                done: true,
                ..Fetch::default()
            };
            self.scan(&nothing, |_| ControlFlow::Continue(())).await?;
        }
        Ok(!self.shallow.is_empty())
    }

    /// Lets go of a server that talks to one client at a time, as dulwich's own TCP server does, until the next request: another
    /// connection, for a push, would wait for ever.
    ///
    /// # Errors
    /// None in practice: a byte stream takes the last packet or is closed.
    pub async fn release(&mut self) -> Result<()> {
        if self.is_plain() && !self.connection.is_stateless() && self.state != State::Spent {
            let flush = PacketWriter::new().flush().finish();
            self.begin(flush).await?;
            self.connection.hang_up();
        }
        Ok(())
    }

    async fn list(&mut self, reference: &str) -> Result<Refs> {
        debug!("{}: > ls-refs {reference}", self.remote);
        if self.state == State::Spent
            || (self.is_v0() && self.connection.advertisement.refs.is_none())
        {
            self.reopen().await?;
        }
        // Taken, not copied: a second listing in v0 must be a fresh one, and so opens a new connection above.
        if let Some(refs) = self.connection.advertisement.refs.take() {
            self.release().await?;
            return Ok(refs);
        }
        let request = ls_refs_request(&self.connection.advertisement.capabilities, reference);
        let _waiting = self.remote.waiting_for("the refs");
        let after = self.state;
        self.begin(request).await?;
        let refs = self.read_refs(reference).await?;
        self.state = after;
        Ok(refs)
    }

    async fn read_refs(&mut self, reference: &str) -> Result<Refs> {
        let read = read_ls_refs(self.connection.packets(), reference).await;
        read.map_err(|error| self.error("listing its refs", error))
    }

    /// Sends a fetch and reads the response up to the pack, which can then be read from [`UploadPack::pack`].
    ///
    /// # Errors
    /// `Missing` when the server does not, or no longer, have what is wanted; otherwise `Failed`.
    pub async fn fetch(&mut self, fetch: &Fetch) -> Result<FetchResponse, FetchError> {
        self.ask(fetch).await.map(|(answer, _)| answer)
    }

    /// As [`UploadPack::fetch`]; also returns what the connection can be used for after the pack.
    async fn ask(&mut self, fetch: &Fetch) -> Result<(FetchResponse, State), FetchError> {
        let may_be_refused = self.wants_unadvertised(fetch);
        match self.ask_once(fetch).await {
            // JGit's daemon and dulwich close the connection at a `want` that they do not serve, without a word. Closed
            // once, it may have been the network; closed twice at the same place, it is the answer.
            Err(NoResponse::HungUp(_)) if may_be_refused => match self.ask_once(fetch).await {
                Err(NoResponse::HungUp(error)) if self.still_lists().await => {
                    Err(FetchError::Missing(error))
                }
                again => again.map_err(FetchError::from),
            },
            once => once.map_err(FetchError::from),
        }
    }

    /// Says whether a fetch wants what the server need not serve: an id that it has not listed.
    fn wants_unadvertised(&self, fetch: &Fetch) -> bool {
        let listed = self.listed.as_ref().map(|(_, tip)| tip);
        !self.can_want_any() && fetch.wants.iter().any(|id| Some(id) != listed)
    }

    /// Says whether the server is there and lists its refs.
    async fn still_lists(&mut self) -> bool {
        match self.listed.clone() {
            Some((reference, _)) => self.list(&reference).await.is_ok(),
            None => false,
        }
    }

    async fn ask_once(&mut self, fetch: &Fetch) -> Result<(FetchResponse, State), NoResponse> {
        let depends_on_history = fetch.depends_on_history();
        if self.state == State::Spent || (self.state == State::Deepened && depends_on_history) {
            self.reopen().await?;
        }
        let Advertisement {
            protocol,
            capabilities,
            ..
        } = &self.connection.advertisement;
        let protocol = *protocol;
        let suited = fetch.suited_to(protocol, capabilities);
        let fetch = &suited.map_err(|error| self.error("fetching from it", error))?;
        let request = fetch.request(protocol, capabilities);
        // Otherwise the server names also what is cut off for this client.
        let names_its_own =
            self.state != State::Deepened && fetch.deepen.is_none() && fetch.shallow.is_empty();
        debug!("{}: > {}", self.remote, outline(fetch));
        let after = match protocol {
            // Over HTTP the server remembers nothing of one request at the next.
            _ if self.connection.is_stateless() => State::Fresh,
            Protocol::V0 => State::Spent,
            Protocol::V2 if fetch.deepen.is_some() || !fetch.shallow.is_empty() => State::Deepened,
            Protocol::V2 => self.state,
        };
        let _waiting = self.remote.waiting_for(fetch.asks_for());
        if let Err(error) = self.begin(request).await {
            // Where other transports close the connection, HTTP says 500.
            return Err(match error.kind() {
                Kind::Server if self.is_plain() => NoResponse::HungUp(error),
                _ => error.into(),
            });
        }
        let answer = FetchResponse::read(self.connection.packets(), protocol, fetch).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(wire::Error::Cut) if self.connection.stderr().is_empty() => {
                let error = self.error("fetching from it", wire::Error::Cut);
                return Err(NoResponse::HungUp(error));
            }
            Err(error) => match self.fetch_error("fetching from it", error) {
                FetchError::Missing(error) => {
                    return Err(NoResponse::Failed(self.missing(error).await));
                }
                other => return Err(NoResponse::Failed(other)),
            },
        };
        if names_its_own {
            self.shallow.extend(&answer.shallow);
        }
        if !answer.pack_follows {
            self.state = after;
        }
        self.after_pack = after;
        Ok((answer, after))
    }

    /// Sends a request. Until its response has been read to the end, a byte stream takes no other: whoever gives up before, or
    /// is dropped, leaves the connection spent.
    async fn begin(&mut self, request: Bytes) -> Result<()> {
        if !self.connection.is_stateless() {
            self.state = State::Spent;
        }
        self.connection.request(request).await
    }

    /// Returns a reader of the pack that follows the response to the last fetch.
    pub fn pack(&mut self) -> Sideband<'_, super::Reader> {
        self.connection.pack()
    }

    /// Sends a fetch whose pack is passed on, and reads the response up to the pack. The connection goes with the pack: whoever
    /// asks for more meanwhile does so over a new one.
    ///
    /// # Errors
    /// As [`UploadPack::fetch`]; `Failed` for a response without a pack.
    pub async fn fetch_pack(&mut self, fetch: &Fetch) -> Result<PackStream<'r>, FetchError> {
        match self.try_fetch_pack(fetch).await? {
            Some(pack) => Ok(pack),
            None => {
                let error = wire::Error::Garbage("no pack".to_owned());
                Err(self.error("reading its pack", error).into())
            }
        }
    }

    /// As [`UploadPack::fetch_pack`], of a fetch without `done`: `None` where the server sends no pack.
    ///
    /// # Errors
    /// As [`UploadPack::fetch`].
    pub async fn try_fetch_pack(
        &mut self,
        fetch: &Fetch,
    ) -> Result<Option<PackStream<'r>>, FetchError> {
        let answer = self.fetch(fetch).await?;
        if !answer.pack_follows {
            return Ok(None);
        }
        let connection = self.connection.detach();
        self.state = if self.connection.is_stateless() {
            State::Fresh
        } else {
            State::Spent
        };
        Ok(Some(PackStream::new(self.remote, connection)))
    }

    /// Fetches objects for planning and passes each to `visit`, which may stop the fetch.
    ///
    /// A server without filters sends trees and blobs as well, after the commits: stopping then closes the connection before
    /// most of them arrive.
    ///
    /// # Errors
    /// As [`UploadPack::fetch`]; `TooLarge` for a pack that is larger than planning needs.
    pub async fn scan(
        &mut self,
        fetch: &Fetch,
        mut visit: impl FnMut(&Object) -> ControlFlow<()>,
    ) -> Result<Scan, FetchError> {
        let (answer, after) = self.ask(fetch).await?;
        let mut objects = Scanner::new();
        if answer.pack_follows {
            let read = read_objects(self.pack(), &mut objects, &mut visit).await;
            match read {
                Ok(ControlFlow::Continue(())) => self.state = after,
                // The rest of the pack is still on its way: the state stays `Spent`, and the next request opens a new
                // connection.
                Ok(ControlFlow::Break(())) => {}
                Err(error) => return Err(self.fetch_error("reading its pack", error)),
            }
        }
        // At once: the server stops sending, and one that talks to one client at a time is free for the next.
        if self.state == State::Spent {
            self.connection.hang_up();
        }
        debug!("{}: < {} objects", self.remote, objects.len());
        Ok(Scan { answer, objects })
    }

    /// Makes the error of a failure on this connection.
    pub fn error(&self, doing: &str, error: wire::Error) -> Error {
        self.remote.error(doing, error, &self.connection.stderr())
    }

    /// Recognizes a missing object by the server's message: in an `ERR` packet or, from an old server, on its error output.
    fn fetch_error(&self, doing: &str, error: wire::Error) -> FetchError {
        let is_missing = match &error {
            wire::Error::Remote(words) => HostMessage::new(words).is_missing_object(),
            wire::Error::Cut => HostMessage::new(&self.connection.stderr()).is_missing_object(),
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

    /// Tells a branch that moved from a repository that is damaged: a branch that still is where it was listed leads to all that
    /// is wanted of it, and no other try finds it.
    async fn missing(&mut self, error: Error) -> FetchError {
        if let Some((reference, tip)) = self.listed.clone()
            && let Ok(refs) = self.list(&reference).await
            && refs.branches.get(&reference) == Some(&tip)
        {
            let message = format!("{error}; its {reference} still is at {tip}");
            return FetchError::Missing(Meaning::DAMAGED.error(message));
        }
        FetchError::Missing(error)
    }

    /// Says whether the server speaks protocol v2.
    pub fn is_v2(&self) -> bool {
        !self.is_v0()
    }

    fn is_v0(&self) -> bool {
        self.connection.advertisement.protocol == Protocol::V0
    }

    async fn reopen(&mut self) -> Result<()> {
        self.connection.hang_up();
        self.connection = self.remote.open(Service::UploadPack).await?;
        self.state = State::Fresh;
        Ok(())
    }
}

async fn read_objects(
    mut pack: Sideband<'_, super::Reader>,
    objects: &mut Scanner,
    visit: &mut impl FnMut(&Object) -> ControlFlow<()>,
) -> wire::Result<ControlFlow<()>> {
    while let Some(chunk) = pack.data().await? {
        objects.push(&chunk)?;
        while let Some(object) = objects.next().await? {
            if visit(&object).is_break() {
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
            // Enough to recognize a fetch in the log: a request may name thousands.
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
