//! Runs the API server in this process, by a clock that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crates_ferry::config::{Environment, Flags, ServeConfig};
use crates_ferry::server::serve::{Handle, run_with};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::server::{Got, Site, ask};
use super::upstream::index_path;

/// What nothing here takes longer than.
const BOUND: Duration = Duration::from_secs(60);

/// A running server; dropping it ends it, but leaves its folder locked: another one in this process needs another.
pub struct ClockedServer {
    url: String,
    clock: Arc<AtomicI64>,
    handle: Arc<Handle>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ClockedServer {
    /// Starts a server of this site at a time, and waits until it is ready.
    pub fn start(site: &Site, pairs: &[(&str, &str)], now: Timestamp) -> Self {
        let mut variables = site.variables_and(pairs);
        variables.push(("FERRY_SERVE_ACCESS_LOG".to_owned(), "off".to_owned()));
        let environment = Environment::from_pairs(variables);
        let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
        let clock = Arc::new(AtomicI64::new(now.as_second()));
        let time = Arc::clone(&clock);
        let time = move || {
            let seconds = u64::try_from(time.load(Ordering::Relaxed)).unwrap();
            UNIX_EPOCH + Duration::from_secs(seconds)
        };
        let handle = Arc::new(Handle::default().with_clock(time));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let (asked, running) = (Arc::clone(&handle), Arc::clone(&handle));
        let (sender, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            runtime.spawn(async move {
                let address = asked.listening().await;
                asked.ready().await;
                sender.send(address).unwrap();
            });
            runtime
                .block_on(run_with(config, running, stopped))
                .unwrap();
        });
        Self {
            url: format!("http://{}", address.recv_timeout(BOUND).unwrap()),
            clock,
            handle,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Sets its clock.
    pub fn set_clock(&self, now: Timestamp) {
        self.clock.store(now.as_second(), Ordering::Relaxed);
    }

    /// Has it fetch the index.
    pub fn refresh(&self) {
        self.handle.refresh();
    }

    /// Returns the address of its sparse index.
    pub fn index(&self) -> String {
        format!("sparse+{}/index/", self.url)
    }

    /// Waits until something is true.
    pub fn wait_for(&self, what: &str, is_met: impl Fn() -> bool) {
        let deadline = Instant::now() + BOUND;
        while !is_met() {
            assert!(Instant::now() < deadline, "not {what}");
            std::thread::yield_now();
        }
    }

    /// Gets a path.
    pub fn get(&self, path: &str) -> Got {
        self.get_with(path, &[])
    }

    /// Gets a path with headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Got {
        let client = reqwest::Client::builder().no_proxy();
        ask(client, "GET", &format!("{}{path}", self.url), headers, b"").unwrap()
    }

    /// Gets a crate's file in the index.
    pub fn entry(&self, name: &str) -> Got {
        self.get(&format!("/index/{}", index_path(name)))
    }

    /// Downloads a crate file.
    pub fn download(&self, name: &str, version: &str) -> Got {
        self.get(&format!("/api/v1/crates/{name}/{version}/download"))
    }
}

impl Drop for ClockedServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}
