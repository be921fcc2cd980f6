//! `probe`: makes cargo take the mirror while crates.io is down, and crates.io again when it is back; or the other way round.
//!
//! It looks (`look`), decides by what it saw in a row (`decision`, `memory`), and makes or removes the file that cargo's
//! configuration includes. It never switches to what does not answer itself.

mod decision;
mod look;
mod memory;
mod report;

use url::Url;

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::server::cargo_config::{self, Fallback, Place, Switch};
use decision::{Decision, Needed, Side, decide};
use look::{Looker, Mirror};
use memory::{Memory, lock};
use report::Did;
pub use report::ProbeReport;

/// Where to switch, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration that is switched.
    pub place: Place,
    /// The name of the registry in it.
    pub name: String,
    /// What cargo takes while the other is down.
    pub fallback: Fallback,
    /// One probe decides.
    pub now: bool,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// Looks once, and switches if it is time to.
///
/// # Errors
/// `config` if the configuration does not include the file; `network` or `server` if the one that cargo takes is down, and the
/// other cannot replace it; `permission` if crates.io must not replace the mirror; `race` if another probe takes too long.
pub async fn run(config: &ServeConfig, options: &Options) -> Result<ProbeReport> {
    let crates_io = crates_io_index(config)?;
    cargo_config::check_switchable(config, &options.place, &options.name)?;
    let switch = Switch::new(options.place.folder()?, &options.name);
    let _lock = match options.dry_run {
        true => None,
        false => Some(lock(&switch, config.probe.timeout * 3).await?),
    };
    let mut probe = Probe {
        looker: Looker::new(config, Some(crates_io))?,
        memory: Memory::read(&switch),
        is_on: switch.is_on()?,
        config,
        options,
        crates_io,
        switch,
    };
    let end = probe.run().await;
    // Also after a failure: the next probe counts on.
    if !options.dry_run {
        probe.memory.write(&probe.switch)?;
    }
    end
}

/// Refuses crates.io as a fallback where the mirror closes what that would open.
///
/// # Errors
/// `permission` if it does; `network` or `server` if it does not say.
pub async fn check_open(config: &ServeConfig, name: &str) -> Result<()> {
    let looker = Looker::new(config, None)?;
    let closed = looker.closed_by().await.map_err(|error| {
        let message = format!("it is not known whether crates.io may replace the mirror `{name}`");
        Error::new(error.kind(), message)
            .because(error)
            .advise("Try again when the mirror answers.")
    })?;
    closed.map_or(Ok(()), |why| Err(must_not(config, why)))
}

fn must_not(config: &ServeConfig, why: &str) -> Error {
    let message = format!("the mirror {} {why}", config.public_url());
    Error::new(Kind::Permission, message).advise(
        "Run a second mirror beside it, behind one address: crates.io would open what this mirror closes. Nothing was changed.",
    )
}

fn crates_io_index(config: &ServeConfig) -> Result<&Url> {
    config.probe.index.as_ref().ok_or_else(|| {
        Error::new(Kind::Config, "probe.index is not set").advise(
            "Set it (`--crates-io`, FERRY_PROBE_INDEX) to the address of crates.io's sparse index, which cargo's book names; or let \
             cargo fetch something from crates.io first: its own directory then tells the address.",
        )
    })
}

/// One probe.
struct Probe<'a> {
    config: &'a ServeConfig,
    options: &'a Options,
    crates_io: &'a Url,
    looker: Looker<'a>,
    switch: Switch,
    memory: Memory,
    /// cargo takes the mirror.
    is_on: bool,
}

/// What a side that answers says.
#[derive(Default)]
struct Seen {
    needs_token: bool,
}

impl Probe<'_> {
    async fn run(&mut self) -> Result<ProbeReport> {
        let preferred = Side::preferred(self.options.fallback);
        let on = if self.is_on {
            Side::Mirror
        } else {
            Side::CratesIo
        };
        let seen = self.look(preferred).await;
        if preferred == Side::Mirror && on == Side::CratesIo && !self.memory.is_open {
            return self.close(seen);
        }
        let toward = on.other();
        let counts_on = self.memory.for_the_mirror == (toward == Side::Mirror);
        let before = if counts_on { self.memory.in_a_row } else { 0 };
        let decision = decide(on == preferred, seen.is_ok(), before, self.needed());
        self.memory.for_the_mirror = toward == Side::Mirror;
        self.memory.in_a_row = match decision {
            Decision::Stay => 0,
            Decision::Wait { so_far, .. } | Decision::Switch { after: so_far } => so_far,
        };
        match (decision, seen) {
            (Decision::Stay, Ok(_)) => Ok(self.report(on, Did::Nothing, None)),
            (Decision::Stay, Err(why)) => self.stay(on, why).await,
            (Decision::Wait { so_far, of }, Ok(seen)) => {
                self.wait_for_return(preferred, so_far, of, &seen).await
            }
            (Decision::Wait { so_far, of }, Err(why)) => {
                Ok(self.report(on, Did::WaitsToLeave { so_far, of }, Some(why)))
            }
            (Decision::Switch { .. }, Ok(seen)) => {
                self.turn(preferred, &seen)?;
                Ok(self.report(preferred, Did::Returned, None))
            }
            (Decision::Switch { after }, Err(why)) => self.leave(preferred, after, why).await,
        }
    }

    fn needed(&self) -> Needed {
        let probe = &self.config.probe;
        match self.options.now {
            true => Needed {
                failures: 1,
                successes: 1,
            },
            false => Needed {
                failures: probe.failures,
                successes: probe.successes,
            },
        }
    }

    async fn look(&mut self, side: Side) -> Result<Seen> {
        match side {
            Side::CratesIo => {
                let known = self.memory.entry.as_ref();
                let entry = self.looker.crates_io(self.crates_io, known).await?;
                self.memory.entry = Some(entry);
                Ok(Seen::default())
            }
            Side::Mirror => {
                let Mirror { needs_token } = self.looker.mirror().await?;
                if self.options.fallback == Fallback::CratesIo {
                    // As long as it answers: once it is down, it cannot be asked.
                    let closed = self.looker.closed_by().await?;
                    self.memory.is_open = closed.is_none();
                }
                Ok(Seen { needs_token })
            }
        }
    }

    /// Leaves the preferred side for the other one, if that answers.
    async fn leave(&mut self, preferred: Side, after: u32, why: Error) -> Result<ProbeReport> {
        if preferred == Side::Mirror && !self.memory.is_open {
            return Err(must_not(
                self.config,
                "is down, and did not say before that crates.io may replace it",
            ));
        }
        let other = preferred.other();
        let seen = self.look(other).await.map_err(|error| {
            let (down, other) = (self.shown(preferred), self.shown(other));
            let message = format!(
                "{down} is down ({}), and {other} cannot replace it",
                why.chain()
            );
            Error::new(error.kind(), message)
                .because(error)
                .advise("Try again later: nothing was changed.")
        })?;
        self.turn(other, &seen)?;
        Ok(self.report(other, Did::Left { after }, Some(why)))
    }

    /// Stays on the side that replaces the preferred one, which is still down.
    ///
    /// # Errors
    /// If it is down, too.
    async fn stay(&mut self, on: Side, why: Error) -> Result<ProbeReport> {
        let seen = self.look(on).await.map_err(|error| {
            let (down, other) = (self.shown(on.other()), self.shown(on));
            let message = format!(
                "{down} is still down ({}), and so is {other}, which cargo takes",
                why.chain()
            );
            Error::new(error.kind(), message)
                .because(error)
                .advise("Try again later: nothing was changed.")
        })?;
        // Its address or its tokens may have changed since.
        self.turn(on, &seen)?;
        Ok(self.report(on, Did::StillDown, Some(why)))
    }

    /// Waits for more successes of the preferred side, unless the other one, which cargo takes now, is down.
    async fn wait_for_return(
        &mut self,
        preferred: Side,
        so_far: u32,
        of: u32,
        seen: &Seen,
    ) -> Result<ProbeReport> {
        let other = preferred.other();
        match self.look(other).await {
            Ok(_) => Ok(self.report(other, Did::WaitsToReturn { so_far, of }, None)),
            Err(why) => {
                self.turn(preferred, seen)?;
                Ok(self.report(preferred, Did::Returned, Some(why)))
            }
        }
    }

    /// Makes cargo take the mirror where it is not known that crates.io may be taken.
    fn close(&mut self, seen: Result<Seen>) -> Result<ProbeReport> {
        self.turn(Side::Mirror, seen.as_ref().unwrap_or(&Seen::default()))?;
        Ok(self.report(Side::Mirror, Did::Closed, seen.err()))
    }

    /// Makes cargo take this side from now on.
    fn turn(&mut self, side: Side, seen: &Seen) -> Result<()> {
        self.memory.in_a_row = 0;
        if self.options.dry_run {
            return Ok(());
        }
        match side {
            Side::CratesIo => self.switch.turn_off(),
            Side::Mirror => {
                let name = &self.options.name;
                let lines = cargo_config::lines(self.config, name, seen.needs_token)?;
                self.switch.turn_on(&lines)
            }
        }
    }

    fn shown(&self, side: Side) -> String {
        match side {
            Side::CratesIo => "crates.io".to_owned(),
            Side::Mirror => format!("the mirror {}", self.config.public_url()),
        }
    }

    fn report(&self, takes: Side, did: Did, why: Option<Error>) -> ProbeReport {
        let preferred = Side::preferred(self.options.fallback);
        ProbeReport::new(
            did,
            takes == Side::Mirror,
            (self.shown(preferred), self.shown(preferred.other())),
            why.map(|why| why.chain()),
            self.switch.path(),
            self.options.dry_run,
        )
    }
}
