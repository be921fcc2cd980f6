//! Makes the push: upstream's pack streams into the mirror while it is still being made, with our objects at its end.

use std::io;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::Session;
use super::draft::Draft;
use super::verdict::{judge, leave_out};
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Connection, Remote, Service, UploadPack};
use crate::git::wire::pack::Rewriter;
use crate::git::wire::receive_pack::{Report, Update};
use crate::git::wire::{self, Refs};
use crate::progress::Progress;

/// Asks GitLab not to start a pipeline for the push; other hosts disregard it.
const PUSH_OPTIONS: [&str; 1] = ["ci.skip"];

/// How many pieces of the pack may be under way between the two servers.
const PIECES: usize = 8;

/// Opens the mirror for a push.
///
/// # Errors
/// As the conversation goes: `permission`, `auth`, `network` …
pub async fn open(mirror: &Remote) -> Result<Connection> {
    mirror.open(Service::ReceivePack).await
}

/// Pushes a draft through an opened mirror and sees that it arrived.
///
/// # Errors
/// `race` when the mirror moved since it was observed, `permission` when it refuses, otherwise as the conversations go. The
/// mirror is as it was, unless the connection was cut between its doing and its saying so.
pub async fn apply(
    session: &mut Session<'_>,
    receiver: Connection,
    draft: &Draft,
    progress: &Progress,
) -> Result<()> {
    refuse_moved(&session.mirror, receiver.advertisement.refs.as_ref(), draft)?;
    let mut draft = draft.clone();
    let mut thin = draft.fetch.thin && !receiver.advertisement.capabilities.has("no-thin");
    let mut receiver = Some(receiver);
    let mirror = session.mirror.remote();
    loop {
        let connection = match receiver.take() {
            Some(connection) => connection,
            None => open(mirror).await?,
        };
        let (report, observer) = push(session, connection, &draft, thin, progress).await?;
        debug!("{mirror}: < {report:?}");
        match judge(mirror, &report) {
            Err(error) if leave_out(&mut draft.objects, &report) => {
                info!("{error}; once more, without the object that upstream sends as well");
            }
            Err(error) if thin && report.unpack_error.is_some() => {
                info!("{error}; once more, with a pack that refers to nothing outside itself");
                thin = false;
            }
            judged => {
                judged?;
                return confirm(observer, mirror, &draft.update).await;
            }
        }
    }
}

/// The ref must be where it was observed to be; the server checks it again when it moves the ref.
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
        format!("{remote}: somebody else moved {reference} meanwhile"),
    )
    .advise("run it again: it starts from what is there then")
}

/// Pushes; returns the server's report, and a fresh conversation with the mirror in which to look whether it is so.
async fn push<'r>(
    session: &mut Session<'r>,
    mut receiver: Connection,
    draft: &Draft,
    thin: bool,
    progress: &Progress,
) -> Result<(Report, Option<UploadPack<'r>>)> {
    let capabilities = receiver.advertisement.capabilities.clone();
    let mirror = session.mirror.remote();
    if !capabilities.has("report-status") {
        return Err(Error::new(
            Kind::Config,
            format!("{mirror}: the server does not report on pushes"),
        )
        .advise("use a git host that speaks `report-status`; all current ones do"));
    }
    let head = draft.update.request(&capabilities, &PUSH_OPTIONS);
    let (pieces, pack) = mpsc::channel(PIECES);
    progress.phase("waiting for upstream's pack");
    let (pumped, pushed, observer) = tokio::join!(
        pump(&mut session.upstream, draft, thin, pieces, progress),
        receiver.push(head, pack),
        open_observer(&session.mirror)
    );
    pumped?;
    pushed?;
    progress.phase("waiting for the mirror to take it in");
    let reference = &draft.update.reference;
    let report = Report::read(receiver.packets(), &capabilities, reference).await;
    let report =
        report.map_err(|error| mirror.error("pushing to it", error, &receiver.stderr()))?;
    Ok((report, observer))
}

/// Opens the mirror for a last look, which takes a while over ssh, where that can be done before the push has ended: in v2,
/// which tells refs only when asked.
async fn open_observer<'r>(mirror: &UploadPack<'r>) -> Option<UploadPack<'r>> {
    if !mirror.tells_refs_when_asked() {
        return None;
    }
    UploadPack::open(mirror.remote()).await.ok()
}

/// Passes upstream's pack on, piece by piece. An error is passed on as well, so that the push is cut off.
///
/// Where the mirror stops reading, pumping ends without an error: the mirror's answer says why.
async fn pump(
    upstream: &mut UploadPack<'_>,
    draft: &Draft,
    thin: bool,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    progress: &Progress,
) -> Result<()> {
    let pumped = pump_pack(upstream, draft, thin, &pieces, progress).await;
    if let Err(error) = &pumped {
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
            progress.phase("carrying the pack");
            progress.pack_objects(count);
            counted = true;
        }
        if !out.is_empty() && pieces.send(Ok(out)).await.is_err() {
            return Ok(());
        }
    };
    let end = match failed {
        None => rewriter.finish(),
        Some(error) => Err(error),
    };
    let end = end.map_err(|error| broken(upstream, error))?;
    pieces.send(Ok(end)).await.ok();
    Ok(())
}

/// Looks once more: only what the mirror shows is done. A tip that is neither the old nor the new one is somebody's who came
/// after us, since the server has said that it moved the branch to ours.
///
/// `observer` was opened while the mirror took the push in, and has not looked at the refs before: a server process that has
/// may go on showing what it saw then. So may a host whose reads lag behind its writes, which is asked again.
async fn confirm(observer: Option<UploadPack<'_>>, mirror: &Remote, update: &Update) -> Result<()> {
    if let Some(mut observer) = observer
        // A long push may outlast the patience of a server that waits for a question.
        && let Ok(refs) = observer.refs(&update.reference).await
        && has_moved(&refs, update)
    {
        return Ok(());
    }
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
                format!("{mirror}: it said that the push was done, and does not show it"),
            )
            .advise("run it again: it starts from what is there then"));
        };
        tokio::time::sleep(pause).await;
    }
}

fn has_moved(refs: &Refs, update: &Update) -> bool {
    let shown = refs.branches.get(&update.reference).copied();
    shown.is_some_and(|tip| tip != update.old)
}
