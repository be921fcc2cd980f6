//! `probe`: makes cargo take the mirror while crates.io is down, and crates.io again when it is back; or the other way round.
//!
//! It looks (`look`), decides by what it saw in a row (`decision`, `memory`), and makes or removes the file that cargo's
//! configuration includes. It never switches to what does not answer itself.

mod decision;
mod look;
mod memory;
mod report;
mod requests;

use url::Url;

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::server::cargo_config::{self, Fallback, Place, Switch};
use decision::{Decision, Needed, Side, decide};
use look::{Looker, Mirror, Unseen};
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
    /// cargo finds a token for the registry, as far as that can be seen.
    pub has_token: bool,
}

/// Looks once, and switches if it is time to.
///
/// # Errors
/// `config` if the configuration does not include the file; `network` or `server` if the one that cargo takes is down, and the
/// other cannot replace it; `permission` if crates.io must not replace the mirror; `race` if another probe takes too long.
pub async fn run(config: &ServeConfig, options: &Options) -> Result<ProbeReport> {
    let crates_io = crates_io_index(config)?;
    check_apart(config)?;
    cargo_config::check_switchable(config, &options.place, &options.name)?;
    let switch = Switch::new(options.place.folder()?, &options.name);
    let _lock = match options.dry_run {
        true => None,
        false => Some(lock(&switch, config.probe.timeout * 3).await?),
    };
    let mut memory = Memory::read(&switch);
    check_prepared(&memory, options.fallback)?;
    memory.fallback = Some(options.fallback);
    let mut probe = Probe {
        looker: Looker::new(config, Some(crates_io))?,
        is_on: switch.is_on()?,
        needs_token: false,
        memory,
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
/// `permission` if it does; `network` or `server` if it does not say; `config` if it is no mirror.
pub async fn check_open(config: &ServeConfig, name: &str) -> Result<()> {
    let looker = Looker::new(config, None)?;
    let closed = looker.closed_by().await.map_err(|unseen| match unseen {
        Unseen::Misset(error) => error,
        Unseen::Down(error) => {
            let message =
                format!("it is not known whether crates.io may replace the mirror `{name}`");
            Error::new(error.kind(), message)
                .because(error)
                .advise("Try again when the mirror answers.")
        }
    })?;
    closed.map_or(Ok(()), |why| Err(must_not(config, why)))
}

/// Refuses a mirror that is crates.io, as far as their addresses tell: the two would be down together.
///
/// # Errors
/// `config` if it is.
pub fn check_apart(config: &ServeConfig) -> Result<()> {
    let mirror = config.public_url() + "/";
    let crates_io = config.probe.index.as_ref();
    let Some(index) = crates_io.filter(|index| index.as_str().starts_with(&mirror)) else {
        return Ok(());
    };
    let message = format!("probe.index: {index} is the mirror itself (serve.public_url)");
    Err(Error::new(Kind::Config, message).advise(
        "Set `probe.index` (`--crates-io`) to the address of crates.io's sparse index, which cargo's book names: one side can only \
         replace the other where they are two servers.",
    ))
}

/// Notes for what the configuration was prepared, so that no probe takes it for the other.
///
/// # Errors
/// `config` if it cannot be written; `race` if a probe takes too long.
pub(in crate::server) async fn note(
    config: &ServeConfig,
    switch: &Switch,
    fallback: Fallback,
) -> Result<()> {
    let _lock = lock(switch, config.probe.timeout * 3).await?;
    let memory = Memory {
        fallback: Some(fallback),
        ..Memory::read(switch)
    };
    memory.write(switch)
}

/// Refuses to probe for the other fallback than the configuration was prepared for: it would make cargo take what it was not to.
fn check_prepared(memory: &Memory, asked: Fallback) -> Result<()> {
    let (flag, first, cure) = match memory.fallback {
        Some(Fallback::CratesIo) if asked == Fallback::Mirror => (
            "--fallback crates-io",
            "the mirror",
            "Give `--fallback crates-io` to `probe`, too; or, to take crates.io first, prepare it anew with `cargo-config \
             --fallback mirror`. Nothing was changed.",
        ),
        Some(Fallback::Mirror) if asked == Fallback::CratesIo => (
            "--fallback mirror",
            "crates.io",
            "Leave out `--fallback crates-io`; or, to take the mirror first, prepare it anew with `cargo-config --fallback \
             crates-io`. Nothing was changed.",
        ),
        _ => return Ok(()),
    };
    let message =
        format!("cargo's configuration was prepared with `{flag}`, which takes {first} first");
    Err(Error::new(Kind::Config, message).advise(cure))
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
    /// The mirror said that it wants a token.
    needs_token: bool,
}

fn mirror_at(address: &str) -> String {
    format!("the mirror {address}")
}

/// Says why one side is down, why the other cannot replace it, and what to do.
fn both_down(message: String, other: Unseen) -> Error {
    let error = Error::from(other);
    let advice = error.advice().unwrap_or("Try again later.");
    let advice = format!("{advice} Nothing was changed.");
    Error::new(error.kind(), message)
        .because(error)
        .advise(advice)
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
            return self.close(seen.map_err(Error::from));
        }
        let seen = match seen {
            Err(Unseen::Misset(error)) => return Err(error),
            seen => seen.map_err(Error::from),
        };
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
            (Decision::Stay, Ok(())) => Ok(self.report(on, Did::Nothing, None)),
            (Decision::Stay, Err(why)) => self.stay(on, why).await,
            (Decision::Wait { so_far, of }, Ok(())) => {
                self.wait_for_return(preferred, so_far, of).await
            }
            (Decision::Wait { so_far, of }, Err(why)) => {
                Ok(self.report(on, Did::WaitsToLeave { so_far, of }, Some(why)))
            }
            (Decision::Switch { .. }, Ok(())) => {
                self.turn(preferred)?;
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

    async fn look(&mut self, side: Side) -> Result<(), Unseen> {
        match side {
            Side::CratesIo => {
                let known = self.memory.entry.as_ref();
                let entry = self.looker.crates_io(self.crates_io, known).await?;
                self.memory.entry = Some(entry);
            }
            Side::Mirror => {
                let Mirror { needs_token } = self.looker.mirror().await?;
                self.needs_token = needs_token;
                if self.options.fallback == Fallback::CratesIo {
                    // As long as it answers: once it is down, it cannot be asked.
                    let closed = self.looker.closed_by().await?;
                    self.memory.is_open = closed.is_none();
                }
            }
        }
        Ok(())
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
        self.look(other).await.map_err(|unseen| {
            let (down, other) = (self.shown(preferred), self.shown(other));
            let why = why.chain();
            both_down(
                format!("{down} is down ({why}), and {other} cannot replace it"),
                unseen,
            )
        })?;
        self.turn(other)?;
        Ok(self.report(other, Did::Left { after }, Some(why)))
    }

    /// Stays on the side that replaces the preferred one, which is still down.
    ///
    /// # Errors
    /// If it is down, too.
    async fn stay(&mut self, on: Side, why: Error) -> Result<ProbeReport> {
        self.look(on).await.map_err(|unseen| {
            let (down, other) = (self.shown(on.other()), self.shown(on));
            let why = why.chain();
            let message =
                format!("{down} is still down ({why}), and so is {other}, which cargo takes");
            both_down(message, unseen)
        })?;
        // Its address or its tokens may have changed since.
        self.turn(on)?;
        Ok(self.report(on, Did::StillDown, Some(why)))
    }

    /// Waits for more successes of the preferred side, unless the other one, which cargo takes now, is down.
    async fn wait_for_return(
        &mut self,
        preferred: Side,
        so_far: u32,
        of: u32,
    ) -> Result<ProbeReport> {
        let other = preferred.other();
        match self.look(other).await {
            Ok(()) => Ok(self.report(other, Did::WaitsToReturn { so_far, of }, None)),
            Err(why) => {
                self.turn(preferred)?;
                Ok(self.report(preferred, Did::Returned, Some(why.into())))
            }
        }
    }

    /// Makes cargo take the mirror where it is not known that crates.io may be taken.
    fn close(&mut self, seen: Result<()>) -> Result<ProbeReport> {
        self.turn(Side::Mirror)?;
        Ok(self.report(Side::Mirror, Did::Closed, seen.err()))
    }

    /// Makes cargo take this side from now on.
    fn turn(&mut self, side: Side) -> Result<()> {
        self.memory.in_a_row = 0;
        if self.options.dry_run {
            return Ok(());
        }
        match side {
            Side::CratesIo => self.switch.turn_off(),
            Side::Mirror => {
                let name = &self.options.name;
                let lines = cargo_config::lines(self.config, name, self.needs_token)?;
                self.switch.turn_on(&lines)
            }
        }
    }

    fn shown(&self, side: Side) -> String {
        match side {
            Side::CratesIo => "crates.io".to_owned(),
            Side::Mirror => mirror_at(&self.config.public_url()),
        }
    }

    fn report(&self, takes: Side, did: Did, why: Option<Error>) -> ProbeReport {
        let preferred = Side::preferred(self.options.fallback);
        let takes_mirror = takes == Side::Mirror;
        ProbeReport::new(
            did,
            takes_mirror,
            (self.shown(preferred), self.shown(preferred.other())),
            why.map(|why| why.chain()),
            self.switch.path(),
            self.options.dry_run,
        )
        .taking(takes_mirror.then(|| self.other_mirror()).flatten())
        .warn(takes_mirror.then(|| self.missing_token()).flatten())
    }

    /// Returns the mirror that cargo takes, where that is another one than was looked at: the file was made with another address.
    fn other_mirror(&self) -> Option<String> {
        let address = self.switch.mirror(&self.options.name)?;
        (address != self.config.public_url()).then(|| mirror_at(&address))
    }

    /// Says what to do where the mirror wants a token which cargo does not seem to have.
    fn missing_token(&self) -> Option<String> {
        if !self.needs_token || self.options.has_token {
            return None;
        }
        let name = &self.options.name;
        Some(format!(
            "the mirror wants a token, and cargo has none for it here: set {} where cargo runs, or run `cargo login --registry \
             {name}`",
            cargo_config::token_variable(name)
        ))
    }
}
