//! `serve`: the API server. Answers cargo from the copy of the index and from the kept crate files.
//!
//! `site` is what every request finds; `index`, `download` and `hooks` answer; `refresh` and `housekeeping` keep it all fresh.

mod access_log;
mod conditions;
mod download;
mod entries;
mod gate;
mod health;
mod held;
mod hooks;
mod housekeeping;
mod index;
mod metrics;
mod refresh;
mod reply;
mod routes;
mod site;
mod traffic;
mod view;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::http::Request;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::{Downloads, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::http::{self, Bounds, Certificates};
use access_log::Record;
use site::Site;

/// How long what is in hand may take after a signal.
const GRACE: Duration = Duration::from_secs(25);
/// How many connections are served at once, where the limit of open files lets us.
const CONNECTIONS: usize = 8192;
/// Open files that are no connections.
const OTHER_FILES: u64 = 256;
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(15);
/// The longest time in which a client takes nothing.
const WRITE: Duration = Duration::from_secs(60);

/// Serves until `stop`, then lets downloads finish, for at most 25 seconds.
///
/// # Errors
/// `config` where the configuration cannot be used, or the address cannot be listened on; `server` where there are no signals.
pub async fn run(mut config: ServeConfig, stop: impl Future) -> Result<()> {
    let certificates = config.tls().map(Certificates::read).transpose()?;
    let certificates = certificates.map(Arc::new);
    let listener = listen(&mut config).await?;
    let hangup = signal(SignalKind::hangup()).map_err(|error| {
        Error::new(Kind::Server, "this machine does not tell of signals").because(error)
    })?;
    let site = Site::open(config).await?;
    describe(&site.config);
    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let answer = move |request: Request<Incoming>, peer| {
        let record = Record::begin(site, &request, peer);
        routes::answer(site, request, record).map(Ok)
    };
    let serving = tokio::spawn(http::serve(
        listener,
        answer,
        bounds(),
        certificates.clone(),
        async {
            // A sender that is gone means the same.
            let _ = server_stopped.await;
        },
    ));
    tokio::select! {
        () = refresh::forever(site) => {}
        () = held::forever(site) => {}
        () = housekeeping::forever(site, certificates.as_deref(), hangup) => {}
        _ = stop => {}
    }
    info!("stopping: what is in hand is finished");
    drop(stop_server);
    let ending = async {
        // A server that broke down is past help.
        let _ = serving.await;
        site.crate_files.drain().await;
    };
    if timeout(GRACE, ending).await.is_err() {
        warn!("what was still in hand was given up");
    }
    housekeeping::finish(site).await;
    site.access_log.finish();
    Ok(())
}

fn bounds() -> Bounds {
    let files = http::raise_open_files().saturating_sub(OTHER_FILES);
    let files = usize::try_from(files).unwrap_or(CONNECTIONS);
    Bounds {
        // Each may be sent a file that is open, too.
        connections: (files / 2).clamp(64, CONNECTIONS),
        threads: thread::available_parallelism().map_or(1, usize::from),
        head: HEAD,
        write: WRITE,
    }
}

/// Opens the address; the configuration then says the port, where any was asked for.
async fn listen(config: &mut ServeConfig) -> Result<TcpListener> {
    let address = config.serve.listen;
    let listener = http::listen(address).await;
    let opened = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = opened.map_err(|error| {
        Error::new(Kind::Config, format!("cannot listen on {address}"))
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
        Downloads::Cache => info!("crate files: fetched once, verified, kept"),
        Downloads::Redirect => info!("crate files: clients are sent to upstream"),
        Downloads::Offline => info!("crate files: what is held, nothing is fetched"),
    }
    if serve.listen.ip().is_unspecified() && serve.public_url.is_none() {
        let url = config.public_url();
        warn!("clients are told that crate files are at {url}: set serve.public_url");
    }
    if serve.stale_after <= serve.refresh {
        warn!(
            "/readyz fails between two looks at the index: serve.stale_after is no longer than serve.refresh"
        );
    }
    if !serve.listen.ip().is_loopback() && serve.auth.is_none() {
        warn!(
            "everybody who reaches {} may use this server (serve.auth)",
            serve.listen
        );
    }
}
