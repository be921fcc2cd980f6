//! Runs `init` and `sync` of the library, in this process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crates_ferry::config::{Config, Environment, Flags};
use crates_ferry::error::Result;
use crates_ferry::mirror::Context;
use crates_ferry::mirror::report::Report;
use crates_ferry::mirror::{init, sync};
use crates_ferry::progress::Progress;

use super::ferry::Ferry;

impl Ferry {
    /// Runs `init`.
    pub fn init(&self) -> Result<Report> {
        self.init_with(&init::Options::default())
    }

    /// Runs `init --adopt`.
    pub fn adopt(&self) -> Result<Report> {
        self.init_with(&init::Options { adopt: true })
    }

    fn init_with(&self, options: &init::Options) -> Result<Report> {
        self.run(async |config, around| init::run(config, options, around).await)
    }

    /// Runs `sync`.
    pub fn sync(&self) -> Result<Report> {
        self.sync_with(&sync::Options::default())
    }

    /// Runs `sync` with options.
    pub fn sync_with(&self, options: &sync::Options) -> Result<Report> {
        self.run(async |config, around| sync::run(config, options, around).await)
    }

    /// Runs `sync` beside another task of the same thread; returns what `sync` does, and the longest time for which the other
    /// task had to wait for its turn.
    pub fn sync_beside_another_task(&self) -> (Result<Report>, Duration) {
        let mut longest = Duration::ZERO;
        let end = self.run(async |config, around| {
            let other = async {
                loop {
                    let before = Instant::now();
                    tokio::task::yield_now().await;
                    longest = longest.max(before.elapsed());
                }
            };
            let options = sync::Options::default();
            tokio::select! {
                end = sync::run(config, &options, around) => end,
                () = other => unreachable!("it never ends"),
            }
        });
        (end, longest)
    }

    /// Runs a command of the library at the time of all tests.
    fn run(
        &self,
        command: impl AsyncFnOnce(&Config, Context<'_>) -> Result<Report>,
    ) -> Result<Report> {
        self.run_at(clock, command)
    }

    /// Runs a command of the library by a clock of its own.
    pub fn run_at(
        &self,
        clock: fn() -> SystemTime,
        command: impl AsyncFnOnce(&Config, Context<'_>) -> Result<Report>,
    ) -> Result<Report> {
        let environment = Environment::from_pairs(self.variables().to_vec());
        let config = Config::load(&Flags::default(), &environment)?;
        let progress = Progress::default();
        let around = Context {
            clock,
            progress: &progress,
        };
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(command(&config, around))
    }
}

/// The time of all tests: a day in 2026, after every commit of a fixture.
pub fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_780_000_000)
}
