//! Pushes: streams upstream's pack into the mirror while upstream is still sending it, with our objects appended. The only
//! module that changes the mirror.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::Session;
use super::draft::Draft;
use super::push_result::{
    check, force_refused, refuses_force, remove_duplicate, whole_objects_may_help,
};
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Connection, Remote, Service, UploadPack};
use crate::git::wire::Refs;
use crate::git::wire::pack::Rewriter;
use crate::git::wire::receive_pack::ReportStatus;
use crate::mirror::plan::Outcome;
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

/// Pushes a draft over an opened connection. The mirror's report is the truth: `ok` is what git itself takes for done.
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
        let report = push(session, connection, &draft, thin, progress).await?;
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
            Err(_) if draft.outcome == Outcome::ForcedUpdate && refuses_force(&report) => {
                return Err(force_refused(mirror, &draft.update.reference));
            }
            checked => return checked,
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

/// Pushes; returns the server's report.
async fn push(
    session: &mut Session<'_>,
    mut receiver: Connection,
    draft: &Draft,
    thin: bool,
    progress: &Progress,
) -> Result<ReportStatus> {
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
    let (pumped, pushed) = tokio::join!(
        pump(session, draft, thin, pieces, progress),
        receiver.push(head, pack)
    );
    // In this order: if upstream fails, the push fails as well, but only because it was cut off.
    pumped?;
    pushed?;
    progress.phase("waiting for the mirror to process the push");
    let _waiting = mirror.waiting_for("the report of the push");
    let reference = &draft.update.reference;
    let report = ReportStatus::read(receiver.packets(), &capabilities, reference).await;
    report.map_err(|error| mirror.error("pushing to it", error, &receiver.stderr()))
}

/// Passes upstream's pack on, piece by piece. An error is passed on as well, so that the push is cut off.
///
/// If the mirror stops reading, this ends without an error: the mirror's report says why.
async fn pump(
    session: &mut Session<'_>,
    draft: &Draft,
    thin: bool,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    progress: &Progress,
) -> Result<()> {
    let pumped = pump_pack(session, draft, thin, &pieces, progress).await;
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
    session: &mut Session<'_>,
    draft: &Draft,
    thin: bool,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    progress: &Progress,
) -> Result<()> {
    let mut fetch = draft.fetch.clone();
    fetch.thin = thin;
    let mut pack = match session.early_pack.take() {
        Some(early) if early.is_of(&fetch) => early.into_stream(),
        _ => session.upstream.fetch_pack(&fetch).await?,
    };
    // Made before the pack is passed on, because its header, which goes first, counts them.
    let entries = draft.objects.iter().map(|object| object.entry(thin));
    let entries = entries
        .collect::<io::Result<Vec<Bytes>>>()
        .map_err(|error| pack.error(error.into()))?;
    let mut rewriter = Rewriter::new(entries);
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
    let end = end.map_err(|error| pack.error(error))?;
    pieces.send(Ok(end)).await.ok();
    Ok(())
}
