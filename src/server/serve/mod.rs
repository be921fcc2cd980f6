//! `serve`: the API server. It answers cargo from a copy of the index and from stored crate files.
//!
//! `routes` is the table of paths; `index`, `download`, `web_api`, `pages`, `policy`, `private`, `trusted` and `monitoring` have the handlers,
//! which share a `State`; `refresh`, `advisories`, `policy`, `catalog`, `dump`, `manifests`, `history`, `trusted`, `mails`,
//! `offline_listing` and `housekeeping` work in the background.

mod access_log;
mod advisories;
mod advisory_mails;
mod audit;
mod auth;
mod catalog;
mod comparison;
mod conditions;
mod crate_contents;
mod crate_reader;
mod deciding;
mod download;
mod dump;
mod handle;
mod history;
mod housekeeping;
mod index;
mod index_cache;
mod mail_memory;
mod mails;
mod manifests;
mod monitoring;
mod offline_listing;
mod pages;
mod policy;
mod private;
mod public_address;
mod refresh;
mod registry;
mod routes;
mod state;
mod traffic;
mod trusted;
mod view;
mod web_api;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::{Downloads, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::http::{self, Bounds, Certificates, Request};
use crate::server::address_file;
use crate::server::file_budget::FileShares;
use access_log::Record;
pub(crate) use deciding::{COMMANDED, MOST_WITHDRAWN, compared};
pub use handle::Handle;
use state::State;

/// How long requests in flight may take after a signal: a container is killed after 30 seconds.
const GRACE: Duration = Duration::from_secs(25);
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(15);
/// How long a client may read nothing of a response.
const WRITE: Duration = Duration::from_secs(60);

/// Serves until `stop`, then drains requests in flight, for at most 25 seconds.
///
/// # Errors
/// `config` if the configuration cannot be used, or the address cannot be listened on; `server` if signals cannot be
/// received.
pub async fn run(config: ServeConfig, stop: impl Future) -> Result<()> {
    run_with(config, Arc::default(), stop).await
}

/// Serves as [`run`] does, with a handle on what goes on.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    mut config: ServeConfig,
    handle: Arc<Handle>,
    stop: impl Future,
) -> Result<()> {
    let fetches = config.serve.upstream_connections;
    let shares = FileShares::of(http::raise_open_files(), fetches);
    let certificates = config.tls().map(Certificates::read).transpose()?;
    let certificates = certificates.map(Arc::new);
    // Before the store is listed, which may take long: a taken address fails at once, and early clients wait in the
    // backlog instead of being refused.
    let listener = listen(&mut config).await?;
    let hangup = signal(SignalKind::hangup())
        .map_err(|error| Error::new(Kind::Server, "cannot receive signals").because(error))?;
    let state = State::open(config, shares, handle).await?;
    state.crate_files.probe_store().await?;
    describe(&state.config);
    address_file::record(&state.config);
    state.handle.set_listening(state.config.serve.listen);
    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let bounds = bounds(shares);
    let serving = start(
        state,
        listener,
        bounds,
        certificates.clone(),
        server_stopped,
    );
    tokio::select! {
        () = refresh::forever(state) => {}
        () = advisories::forever(state) => {}
        () = offline_listing::forever(state) => {}
        () = policy::forever(state) => {}
        () = catalog::forever(state) => {}
        () = dump::forever(state) => {}
        () = manifests::forever(state) => {}
        () = history::forever(state) => {}
        () = mails::forever(state) => {}
        () = private::forever(state) => {}
        () = trusted::forever(state) => {}
        () = housekeeping::forever(state, certificates.as_deref(), hangup) => {}
        _ = stop => {}
    }
    info!("stopping: draining requests; a second signal ends it at once");
    drop(stop_server);
    let ending = async {
        // A task that panicked has nothing left to drain.
        let _ = serving.await;
        state.crate_files.drain().await;
    };
    if timeout(GRACE, ending).await.is_err() {
        warn!("stopped before all requests were drained");
    }
    // After the last request, whose use and log line count as well.
    housekeeping::flush(state).await;
    audit::flush(state).await;
    if let Err(error) = history::write(state).await {
        warn!("{}", error.chain());
    }
    state.access_log.finish();
    Ok(())
}

/// Starts to answer requests, until something is sent or the sender is dropped.
// Without type parameters, hyper is compiled with the library, and not again with each program that calls `run`.
fn start(
    state: &'static State,
    listener: TcpListener,
    bounds: Bounds,
    certificates: Option<Arc<Certificates>>,
    stop: oneshot::Receiver<()>,
) -> JoinHandle<()> {
    let answer = move |request: Request, peer| {
        let record = Record::begin(&state.access_log, &state.traffic, &request, peer);
        routes::answer(state, request, peer, record).map(Ok)
    };
    tokio::spawn(http::serve(listener, answer, bounds, certificates, stop))
}

fn bounds(shares: FileShares) -> Bounds {
    Bounds {
        connections: shares.connections,
        threads: thread::available_parallelism().map_or(1, usize::from),
        head: HEAD,
        write: WRITE,
    }
}

/// Listens on the address. The configuration then has the port, if it was 0.
async fn listen(config: &mut ServeConfig) -> Result<TcpListener> {
    let address = config.serve.listen;
    let listener = http::listen(address).await;
    let opened = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = opened.map_err(|error| {
        Error::new(
            Kind::Config,
            format!("serve.listen: cannot listen on {address}"),
        )
        .because(error)
        .advise("Set serve.listen to an address of this machine and a free port.")
    })?;
    config.serve.listen = address;
    Ok(listener)
}

fn describe(config: &ServeConfig) {
    let serve = &config.serve;
    info!("listening on {} as {}", serve.listen, config.public_url());
    info!(
        "index: {}, branch {}",
        config.index.url, config.index.branch
    );
    match serve.downloads {
        Downloads::Cache => info!("crate files: fetched from upstream once, verified and stored"),
        Downloads::Redirect => info!("crate files: clients are redirected to upstream"),
        Downloads::Offline => info!("crate files: from the store only; nothing is fetched"),
    }
    policy::describe(&config.policy);
    let is_named = serve.public_url.is_some() || !serve.hosts.is_empty();
    if serve.listen.ip().is_unspecified() && !is_named {
        warn!(
            "cargo on other machines gets no config.json, since this server does not know by which name they reach it. Set \
             serve.public_url to the address by which they do, or serve.hosts to its names."
        );
    }
    if serve.stale_after <= serve.refresh {
        warn!(
            "/readyz fails between two refreshes of the index. Set serve.stale_after to more than serve.refresh."
        );
    }
    if !serve.listen.ip().is_loopback() && serve.auth.is_none() {
        warn!(
            "everybody who can reach {} may read what this server has. Set serve.auth to require tokens.",
            serve.listen
        );
    }
}
