//! Runs `up`: tells where it is and how far, while it gets ready.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use crates_ferry::config::{Environment, Flags, Mask, UpConfig};
use crates_ferry::error::Result;
use crates_ferry::program::{self, Failure, Format, Output, say};
use crates_ferry::server::serve::Handle;
use crates_ferry::up::{self, Announcement};
use indicatif::MultiProgress;
use tracing::{info, warn};

use crate::progress;
use crate::server::source;

/// Runs until a signal.
pub(crate) fn run(
    flags: &Flags,
    environment: &Environment,
    opens: bool,
    format: Format,
    bars: Option<&MultiProgress>,
) -> Result<Option<Output>, Failure> {
    let config = UpConfig::load(flags, environment).map_err(Failure::Error)?;
    let source = source(flags, environment).map_err(Failure::Error)?;
    let handle = up::handle(&config, source);
    let told = Told {
        began: Instant::now(),
        mask: Mask::of_process(flags, environment),
        browser: opens.then_some(environment),
        format,
        bars,
    };
    program::block_on_all_cores(async {
        let stop = program::graceful_stop().map_err(Failure::Error)?;
        let origins = config.serve.origins.clone();
        let telling = told.tell(config.clone(), Arc::clone(&handle));
        let end = tokio::select! {
            end = up::run(config, handle, stop) => end,
            Err(error) = telling => Err(error),
        };
        end.map(|()| None)
            .map_err(|error| Failure::Error(origins.locate(error)))
    })
}

/// How a person or a program is told.
struct Told<'a> {
    began: Instant,
    mask: Mask,
    /// What a browser is started with, if one is.
    browser: Option<&'a Environment>,
    format: Format,
    bars: Option<&'a MultiProgress>,
}

impl Told<'_> {
    /// Tells where the server is, and when it is ready; after that there is nothing to tell but the log.
    async fn tell(&self, config: UpConfig, handle: Arc<Handle>) -> Result<()> {
        let listening = handle.listening().await;
        let announcement = Announcement::of(&config, listening)?;
        self.say(&announcement.to_string());
        progress::beside(self.bars, &handle.progress, handle.ready()).await;
        self.say(&format!(
            "\nready after {:.1} s",
            self.began.elapsed().as_secs_f64()
        ));
        if let Some(environment) = self.browser {
            open(&announcement.url, environment);
        }
        pending().await
    }

    /// Says something on stdout; for a program, in the log, as stdout is for the one object of an error.
    fn say(&self, text: &str) {
        let print = || say(&self.mask, text);
        match (self.format, self.bars) {
            // A message of a log is one line.
            (Format::Json, _) => {
                for line in text.lines().filter(|line| !line.is_empty()) {
                    info!("{line}");
                }
            }
            (Format::Text, Some(bars)) => bars.suspend(print),
            (Format::Text, None) => print(),
        }
    }
}

/// Opens a page in the browser, which gets none of our secrets.
fn open(url: &str, environment: &Environment) {
    for mut command in open::commands(url) {
        command.env_clear().envs(environment.for_a_browser());
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        if let Ok(mut browser) = command.spawn() {
            // It may run for as long as the window is open.
            std::thread::spawn(move || browser.wait());
            return;
        }
    }
    warn!("no browser could be started: open {url}");
}
