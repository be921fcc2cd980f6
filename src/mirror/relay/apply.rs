//! Pushes: streams upstream's pack into the mirror while upstream is still sending it, with our objects appended. The only
//! module that changes the mirror.

use std::io;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::Session;
use super::draft::Draft;
use super::push_result::{check, remove_duplicate, whole_objects_may_help};
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Connection, Remote, Service, UploadPack};
use crate::git::wire::pack::Rewriter;
use crate::git::wire::receive_pack::{ReportStatus, Update};
use crate::git::wire::{self, Refs};
use crate::progress::Progress;

/// Asks GitLab not to start a pipeline for the push; other hosts ignore it.
const PUSH_OPTIONS: [&str; 1] = ["ci.skip"];

/// How many pieces of the pack are in flight between the two servers: half a MiB at most, since a piece is one packet
/// of at most 64 KiB.
const PIECES: usize = 8;

/// Opens the mirror for a push.
///
/// # Errors
/// As [`Remote::open`].
pub async fn open(mirror: &Remote) -> Result<Connection> {
    mirror.open(Service::ReceivePack).await
}

/// Pushes a draft over an opened connection and confirms that the mirror has it.
///
/// # Errors
/// `race` when the mirror moved since it was observed, `permission` when it rejects the push, otherwise as [`Remote::open`] and
/// [`UploadPack::fetch`]. The mirror is unchanged, unless the connection was cut between its moving the ref and its report.
pub async fn apply(
    session: &mut Session<'_>,
    receiver: Connection,
    draft: &Draft,
    progress: &Progress,
) -> Result<()> {
    refuse_moved(&session.mirror, receiver.advertisement.refs.as_ref(), draft)?;
    let mut draft = draft.clone();
    // A server with `no-thin` does not complete thin packs, and a client must not send it any
    // (gitprotocol-capabilities).
    let mut thin = draft.fetch.thin && !receiver.advertisement.capabilities.has("no-thin");
    let mut receiver = Some(receiver);
    let mirror = session.mirror.remote();
    loop {
        let connection = match receiver.take() {
            Some(connection) => connection,
            None => open(mirror).await?,
        };
        let (report, observer) = push(session, connection, &draft, thin, progress).await?;
        // Without the host's messages, which may repeat a secret; the packet trace shows them masked.
        let (unpack, moved) = (&report.unpack_error, &report.reference_error);
        debug!("{mirror}: unpack error {unpack:?}, ref error {moved:?}");
        // The loop ends: the first arm leaves fewer objects, the second is taken once. The duplicate comes first, since
        // it is an unpack error, too, which whole objects would only repeat.
        match check(mirror, &report) {
            Err(error) if remove_duplicate(&mut draft.objects, &report) => {
                info!("{error}; retrying without the object that upstream sends as well");
            }
            Err(error) if thin && whole_objects_may_help(&report) => {
                info!("{error}; retrying without a thin pack");
                thin = false;
            }
            checked => {
                checked?;
                return confirm(observer, mirror, &draft.update).await;
            }
        }
    }
}

/// Refuses to push when the ref is not at the observed tip: the pack would be sent for nothing, since the server
/// compares the tip again when it moves the ref.
fn refuse_moved(mirror: &UploadPack<'_>, refs: Option<&Refs>, draft: &Draft) -> Result<()> {
    let update = &draft.update;
    let advertised = refs.and_then(|refs| refs.branches.get(&update.reference).copied());
    if advertised.unwrap_or(crate::git::ObjectId::ZERO) == update.old {
        return Ok(());
    }
    Err(moved(mirror.remote(), &update.reference))
}

fn moved(remote: &Remote, reference: &str) -> Error {
    Error::new(
        Kind::Race,
        format!("{remote}: another push moved {reference} meanwhile"),
    )
    .advise("Run it again: it starts from the mirror's current tip.")
}

/// Pushes; returns the server's report, and a second connection to the mirror on which to confirm it.
async fn push<'r>(
    session: &mut Session<'r>,
    mut receiver: Connection,
    draft: &Draft,
    thin: bool,
    progress: &Progress,
) -> Result<(ReportStatus, Option<UploadPack<'r>>)> {
    let capabilities = receiver.advertisement.capabilities.clone();
    let mirror = session.mirror.remote();
    if !capabilities.has("report-status") {
        return Err(Error::new(
            Kind::Config,
            format!("{mirror}: the server does not report the result of pushes"),
        )
        .advise("Use a git host that supports `report-status`; all current ones do."));
    }
    let head = draft.update.request(&capabilities, &PUSH_OPTIONS);
    let (pieces, pack) = mpsc::channel(PIECES);
    progress.phase("waiting for upstream's pack");
    // Not `try_join!`, which drops the push at the first error: it must take the error that `pump` sends it, and be cut
    // off.
    let (pumped, pushed, observer) = tokio::join!(
        pump(&mut session.upstream, draft, thin, pieces, progress),
        receiver.push(head, pack),
        open_observer(&session.mirror)
    );
    // In this order: if upstream fails, the push fails as well, but only because it was cut off.
    pumped?;
    pushed?;
    progress.phase("waiting for the mirror to process the push");
    let reference = &draft.update.reference;
    let report = ReportStatus::read(receiver.packets(), &capabilities, reference).await;
    let report =
        report.map_err(|error| mirror.error("pushing to it", error, &receiver.stderr()))?;
    Ok((report, observer))
}

/// Opens the connection on which the push is confirmed. This takes a while over ssh, so it is done during the push where
/// possible: in v2, which lists refs on request. In v0 the advertisement would show the refs of before the push.
async fn open_observer<'r>(mirror: &UploadPack<'r>) -> Option<UploadPack<'r>> {
    if !mirror.lists_refs_on_request() {
        return None;
    }
    UploadPack::open(mirror.remote()).await.ok()
}

/// Passes upstream's pack on, piece by piece. An error is passed on as well, so that the push is cut off.
///
/// If the mirror stops reading, this ends without an error: the mirror's report says why.
async fn pump(
    upstream: &mut UploadPack<'_>,
    draft: &Draft,
    thin: bool,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    progress: &Progress,
) -> Result<()> {
    let pumped = pump_pack(upstream, draft, thin, &pieces, progress).await;
    if let Err(error) = &pumped {
        // A channel that only closes is the end of the pack: over HTTP the request would be completed with a part of
        // it.
        pieces
            .send(Err(io::Error::other(error.to_string())))
            .await
            .ok();
    }
    pumped
}

async fn pump_pack(
    upstream: &mut UploadPack<'_>,
    draft: &Draft,
    thin: bool,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    progress: &Progress,
) -> Result<()> {
    let mut fetch = draft.fetch.clone();
    fetch.thin = thin;
    let answer = upstream.fetch(&fetch).await?;
    let broken = |upstream: &UploadPack<'_>, error| upstream.error("reading its pack", error);
    if !answer.pack_follows {
        return Err(broken(upstream, wire::Error::Garbage("no pack".to_owned())));
    }
    // Made before the pack is passed on, because its header, which goes first, counts them.
    let entries = draft.objects.iter().map(|object| object.entry(thin));
    let entries = entries
        .collect::<io::Result<Vec<Bytes>>>()
        .map_err(|error| broken(upstream, error.into()))?;
    let mut rewriter = Rewriter::new(entries);
    let mut pack = upstream.pack();
    let mut counted = false;
    let failed = loop {
        let chunk = match pack.data().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        progress.pack_bytes(chunk.len());
        let out = match rewriter.push(&chunk) {
            Ok(out) => out,
            Err(error) => break Some(error),
        };
        if let Some(count) = rewriter.entries().filter(|_| !counted) {
            progress.phase("transferring the pack");
            progress.pack_objects(count);
            counted = true;
        }
        if !out.is_empty() && pieces.send(Ok(out)).await.is_err() {
            return Ok(());
        }
    };
    // Verifies upstream's checksum before ours is sent: ours is right for whatever passed, so a damaged or cut pack
    // would look whole to the mirror.
    let end = match failed {
        None => rewriter.finish(),
        Some(error) => Err(error),
    };
    let end = end.map_err(|error| broken(upstream, error))?;
    pieces.send(Ok(end)).await.ok();
    Ok(())
}

/// Lists the mirror's refs once more, because only a ref that moved counts as done. A tip that is neither the old nor
/// the new one is that of a later push, since the server reported that it moved the branch to ours.
///
/// `observer` was opened during the push and has listed no refs before: a server process that has listed them may
/// repeat the old ones. So may a host whose reads lag behind its writes, which is asked again, with backoff.
async fn confirm(observer: Option<UploadPack<'_>>, mirror: &Remote, update: &Update) -> Result<()> {
    if let Some(mut observer) = observer
        // A long push may outlast the idle timeout of the server, which then has closed this connection.
        && let Ok(refs) = observer.refs(&update.reference).await
        && has_moved(&refs, update)
    {
        return Ok(());
    }
    // 0.2, 0.4, 0.8 and 1.6 seconds: a replica has three seconds to catch up.
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_times(4)
        .build();
    loop {
        let mut fresh = UploadPack::open(mirror).await?;
        if has_moved(&fresh.refs(&update.reference).await?, update) {
            return Ok(());
        }
        let Some(pause) = pauses.next() else {
            return Err(Error::new(
                Kind::Server,
                format!(
                    "{mirror}: the server reported the push as done, but its refs do not show it"
                ),
            )
            .advise("Run it again: it starts from the mirror's current tip."));
        };
        tokio::time::sleep(pause).await;
    }
}

fn has_moved(refs: &Refs, update: &Update) -> bool {
    let shown = refs.branches.get(&update.reference).copied();
    shown.is_some_and(|tip| tip != update.old)
}
