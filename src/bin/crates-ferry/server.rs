//! Runs the API server, and the commands around it.

use std::future::ready;
use std::sync::Arc;

use crates_ferry::check::Findings;
use crates_ferry::config::{Environment, Flags, ServeConfig, caller};
use crates_ferry::error::Result;
use crates_ferry::policy::Verb;
use crates_ferry::program::{self, Failure, InterruptNote, Output};
use crates_ferry::progress::Progress;
use crates_ferry::server::address_file;
use crates_ferry::server::audit;
use crates_ferry::server::cache::{self, Eviction};
use crates_ferry::server::cargo_config;
use crates_ferry::server::catalog::files::Limits;
use crates_ferry::server::check::{self, Found, Probed};
use crates_ferry::server::dump::commands as catalog;
use crates_ferry::server::policy;
use crates_ferry::server::prefetch::{self, Versions};
use crates_ferry::server::private::{import, verify};
use crates_ferry::server::probe;
use crates_ferry::server::serve::{self as server, Handle};
use crates_ferry::server::tokens::{self, NewToken};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::cli::cargo::CargoConfig;
use crate::cli::server::{Cache, Catalog, Policy, Private, RuleArgs, ServerCommand, Token};

/// Crate files are renamed into the store when they are complete and verified.
pub(crate) const AFTER_A_PREFETCH: InterruptNote = InterruptNote {
    message: "nothing is half done: every stored crate file is complete and verified",
    advice: "Run the command again: it goes on with what is missing.",
};

/// Configuration files are replaced in one step, and the switch is a file that is there or not.
pub(crate) const AFTER_A_CONFIGURATION: InterruptNote = InterruptNote {
    message: "nothing is half done: cargo's configuration is as it was, or finished",
    advice: "Run the command again: it begins anew.",
};

/// Each file is changed by itself.
pub(crate) const AFTER_A_CACHE_COMMAND: InterruptNote = InterruptNote {
    message: "nothing is half done: each crate file is as it was, or finished",
    advice: "Run the command again: it goes on with the others.",
};

/// The catalog is changed in one transaction, or replaced as a whole.
pub(crate) const AFTER_A_CATALOG_COMMAND: InterruptNote = InterruptNote {
    message: "nothing is half done: the catalog is as it was, or finished",
    advice: "Run the command again: it starts anew.",
};

/// Nothing is changed but the copy of the index, whose branch moves last.
pub(crate) const AFTER_A_QUESTION: InterruptNote = InterruptNote {
    message: "nothing is half done: a rule is made as a whole or not at all, and the copy of the index is as it was or newer",
    advice: "Run the command again.",
};

/// The file of tokens is replaced in one step.
pub(crate) const AFTER_A_TOKEN_COMMAND: InterruptNote = InterruptNote {
    message: "nothing is half done: the file of tokens is as it was, or finished",
    advice: "`crates-ferry token ls` says which tokens there are.",
};

/// Loads the configuration.
pub(crate) fn config(flags: &Flags, environment: &Environment) -> Result<ServeConfig, Failure> {
    ServeConfig::load(flags, environment).map_err(Failure::Error)
}

/// The probes of `check` that are about the server.
pub(crate) struct ServerProbes {
    /// Whether there is no mirror beside it, and so nothing else to probe.
    pub(crate) are_all: bool,
    /// Makes them.
    pub(crate) findings: BoxFuture<'static, Findings>,
}

/// Returns the probes of what the server keeps elsewhere.
pub(crate) fn probes(flags: &Flags, environment: &Environment) -> ServerProbes {
    match ServeConfig::load(flags, environment) {
        Ok(config) => ServerProbes {
            are_all: config.mirror.is_none()
                && (config.private.index.is_some() || config.policy.advisories.is_some()),
            findings: async move {
                let mut findings = Findings::default();
                for Probed { name, found } in check::probe(config).await {
                    match found {
                        Ok(Found::Right(said)) => findings.pass(name, said),
                        Ok(Found::Unknown(why)) => findings.skip(name, why),
                        Err(error) => findings.fail(name, &error),
                    }
                }
                findings
            }
            .boxed(),
        },
        Err(error) => {
            let mut findings = Findings::default();
            findings.fail("server", &error);
            ServerProbes {
                are_all: false,
                findings: ready(findings).boxed(),
            }
        }
    }
}

/// Runs the server until a signal.
pub(crate) fn serve(flags: &Flags, environment: &Environment) -> Result<Option<Output>, Failure> {
    let config = config(flags, environment)?;
    // Requests have workers of their own (`http`); this runtime accepts connections, fetches crate files and refreshes
    // the index, none of which may wait for another.
    program::block_on_all_cores(async {
        let stop = program::graceful_stop().map_err(Failure::Error)?;
        // The server takes the configuration; its errors still name the file and line of a key.
        let origins = config.origins.clone();
        let source = source(flags, environment).map_err(Failure::Error)?;
        let handle = Handle::default().with_source(source);
        let end = server::run_with(config, Arc::new(handle), stop).await;
        end.map(|()| None)
            .map_err(|error| Failure::Error(origins.locate(error)))
    })
}

/// Returns what reads the configuration again, with the same flags and variables.
///
/// # Errors
/// As [`Flags::again`].
pub(crate) fn source(
    flags: &Flags,
    environment: &Environment,
) -> Result<impl Fn() -> Result<ServeConfig> + Send + Sync + use<>> {
    let (flags, environment) = (flags.again(environment)?, environment.clone());
    Ok(move || ServeConfig::load(&flags, &environment))
}

/// Runs a command and returns its report.
pub(crate) async fn run(
    command: ServerCommand,
    config: ServeConfig,
    environment: &Environment,
    progress: Arc<Progress>,
) -> Result<Output> {
    let origins = config.origins.clone();
    let end = run_command(command, config, environment, progress).await;
    end.map_err(|error| origins.locate(error))
}

async fn run_command(
    command: ServerCommand,
    config: ServeConfig,
    environment: &Environment,
    progress: Arc<Progress>,
) -> Result<Output> {
    match command {
        ServerCommand::CargoConfig(asked) => run_cargo_config(asked, config, environment).await,
        ServerCommand::Probe(asked) => {
            let config = address_file::completed(config);
            let options = probe::Options {
                place: asked.place(environment)?,
                has_token: cargo_config::has_token(environment, &asked.name),
                name: asked.name,
                fallback: asked.fallback,
                now: asked.now,
                dry_run: asked.dry_run,
            };
            Output::new(&probe::run(&config, &options).await?, 0)
        }
        ServerCommand::Prefetch(asked) => {
            let options = prefetch::Options {
                lockfiles: asked.lockfiles,
                crates: asked.crates,
                versions: match (asked.all, asked.latest) {
                    (true, _) => Some(Versions::All),
                    (false, true) => Some(Versions::Latest),
                    (false, false) => None,
                },
                pin: asked.pin,
                verify: asked.verify,
            };
            let report = prefetch::run(config, &options, &progress).await?;
            Output::new(&report, u8::from(!report.is_complete()))
        }
        ServerCommand::Cache(asked) => run_cache(asked.command, &config, &progress).await,
        ServerCommand::Private(asked) => run_private(asked.command, &config, &progress).await,
        ServerCommand::Catalog(asked) => run_catalog(asked.command, &config, &progress).await,
        ServerCommand::Policy(asked) => run_policy(asked.command, &config, environment).await,
        ServerCommand::Audit(asked) => {
            let output = Output::new(&audit::run(&config, &asked.spec)?, 0)?;
            Ok(output.or_say(match config.serve.audit {
                Some(_) => "nobody fetched it",
                None => "nobody fetched it as long as that was recorded: serve.audit is off",
            }))
        }
        ServerCommand::Token(asked) => run_token(asked.command, &config),
    }
}

async fn run_policy(
    command: Policy,
    config: &ServeConfig,
    environment: &Environment,
) -> Result<Output> {
    let by = || caller(environment);
    match command {
        Policy::Allow(asked) => run_rule(Verb::Allow, asked, config, by()).await,
        Policy::Deny(asked) => run_rule(Verb::Deny, asked, config, by()).await,
        Policy::Reset { rule, dry_run } => {
            let asked = RuleArgs {
                rule,
                dry_run,
                why: None,
                until: None,
            };
            run_rule(Verb::Reset, asked, config, by()).await
        }
        Policy::Explain { spec } => {
            let explanation = policy::explain(config, &spec).await?;
            let is_missing = explanation.versions.is_empty() && explanation.hidden_by.is_none();
            Output::new(&explanation, u8::from(is_missing))
        }
        Policy::List => {
            let output = Output::new(&policy::list(config).await?, 0)?;
            Ok(output.or_say("no version is on hold or denied"))
        }
        Policy::Test {
            lockfiles,
            code_quality,
            sarif,
        } => {
            let report = policy::test(config, &lockfiles).await?;
            let output = Output::new(&report, u8::from(!report.has_passed()))?;
            let output = output.and_write(code_quality.map(|file| (file, report.code_quality())));
            Ok(output.and_write(sarif.map(|file| (file, report.sarif()))))
        }
    }
}

fn run_token(command: Token, config: &ServeConfig) -> Result<Output> {
    let now = Timestamp::now();
    match command {
        Token::Add {
            name,
            scopes,
            expires,
            dry_run,
        } => {
            let new = NewToken {
                name,
                scopes,
                expires,
                dry_run,
            };
            Output::new(&tokens::add(config, &new, now)?, 0)
        }
        Token::Ls => Ok(Output::new(&tokens::ls(config, now)?, 0)?.or_say("there are no tokens")),
        Token::Revoke { name, dry_run } => Output::new(&tokens::revoke(config, &name, dry_run)?, 0),
    }
}

async fn run_rule(verb: Verb, asked: RuleArgs, config: &ServeConfig, by: String) -> Result<Output> {
    let asked = policy::Asked {
        verb,
        crates: asked.rule,
        until: asked.until,
        why: asked.why,
        by,
        dry_run: asked.dry_run,
    };
    Output::new(&policy::command(config, asked).await?, 0)
}

async fn run_private(
    command: Private,
    config: &ServeConfig,
    progress: &Progress,
) -> Result<Output> {
    match command {
        Private::Verify => {
            let verification = verify::verify(config, progress).await?;
            Output::new(&verification, u8::from(!verification.is_clean()))
        }
        Private::Import {
            folder,
            owners,
            dry_run,
        } => {
            let options = import::Options {
                folder,
                owners,
                dry_run,
            };
            let import = import::import(config, &options, progress).await?;
            Output::new(&import, u8::from(!import.is_whole()))
        }
    }
}

async fn run_catalog(
    command: Catalog,
    config: &ServeConfig,
    progress: &Arc<Progress>,
) -> Result<Output> {
    match command {
        Catalog::Import { dump, dry_run } => {
            let imported = catalog::import_by_hand(config, dump, dry_run, progress).await?;
            Output::new(&imported, 0)
        }
        Catalog::Rebuild { dry_run } => {
            Output::new(&catalog::rebuild(config, dry_run, progress).await?, 0)
        }
        Catalog::Stat => Output::new(&catalog::stat(config).await?, 0),
    }
}

async fn run_cargo_config(
    asked: CargoConfig,
    config: ServeConfig,
    environment: &Environment,
) -> Result<Output> {
    let config = address_file::completed(config);
    let place = asked.place(environment)?;
    let options = cargo_config::Options {
        index: asked.index,
        without_policy: asked.without_policy,
        name: asked.name,
        write: place.map(|place| cargo_config::Write {
            place,
            dry_run: asked.dry_run,
        }),
    };
    match asked.fallback {
        None => Output::new(&cargo_config::run(&config, &options)?, 0),
        Some(fallback) => {
            let cargo = environment.for_cargo();
            let report = cargo_config::set_up(&config, &options, fallback, &cargo).await?;
            Output::new(&report, 0)
        }
    }
}

async fn run_cache(command: Cache, config: &ServeConfig, progress: &Progress) -> Result<Output> {
    match command {
        Cache::Ls { crates } => {
            let listed = Output::new(&cache::ls(config, &crates).await?, 0)?;
            Ok(listed.or_say(match crates.is_empty() {
                true => "no crate files are stored",
                false => "no crate files of these crates are stored",
            }))
        }
        Cache::Stat => Output::new(&cache::stat(config).await?, 0),
        Cache::Evict {
            crates,
            max_size,
            max_idle,
            dry_run,
        } => {
            let limits = Limits {
                size: max_size,
                idle: max_idle,
            };
            let eviction = Eviction {
                crates,
                limits,
                dry_run,
            };
            let removal = cache::evict(config, &eviction).await?;
            Output::new(&removal, u8::from(!removal.is_whole()))
        }
        Cache::Pin {
            crates,
            remove,
            dry_run,
        } => Output::new(&cache::pin(config, &crates, !remove, dry_run).await?, 0),
        Cache::Verify { dry_run } => {
            let verification = cache::verify(config, dry_run, progress).await?;
            Output::new(&verification, u8::from(!verification.is_clean()))
        }
    }
}
