//! Mails what a person has to know of the index: what upstream took back, and that an index is held back.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, warn};

use super::audit;
use super::state::State;
use crate::error::Error;
use crate::index::{CrateFile, CrateSpec};
use crate::notify;
use crate::notify::notice::{Advised, Event, Failure, Withdrawn};
use crate::policy::Withdrawal;
use crate::server::index_copy::Snapshot;

/// How often a mail is tried, and how long to wait in between: the mail server may be away for a while.
const TRIES: usize = 12;
const PAUSE: Duration = Duration::from_secs(300);

/// Returns what is to be mailed of versions that upstream took back: those that were fetched here.
pub(super) async fn about(
    state: &'static State,
    withdrawn: &[Withdrawal],
    index: &Snapshot,
) -> Vec<Withdrawn> {
    let mut told = Vec::new();
    if state.config.mail.route().is_none() {
        return told;
    }
    for withdrawal in withdrawn {
        let Withdrawal {
            at, name, version, ..
        } = withdrawal;
        let file = CrateFile {
            name: name.clone(),
            version: version.clone(),
            checksum: withdrawal.checksum,
        };
        let fetched = match state.auditor.is_on() {
            true => Some(fetched(state, &file).await),
            false => None,
        };
        let is_told = match &fetched {
            Some(fetched) => !fetched.is_empty(),
            None => {
                let stored = state.crate_files.inventory().is_stored(&file).await;
                stored.unwrap_or(true)
            }
        };
        if !is_told {
            continue;
        }
        let content = index.file(&name.index_path()).ok().flatten();
        let content = content.and_then(|blob| index.content(blob).ok());
        let listed = crate::index::entry::find(&content.unwrap_or_default(), version.as_str());
        told.push(Withdrawn {
            name: name.to_string(),
            version: version.to_string(),
            at: at.as_second(),
            is_replaced: listed.is_some(),
            fetched,
        });
    }
    told
}

/// Returns when these bytes were fetched, and by whom, the first time first.
async fn fetched(state: &'static State, file: &CrateFile) -> Vec<(i64, String)> {
    let spec = CrateSpec {
        name: file.name.clone(),
        version: Some(file.version.clone()),
    };
    let fetches = audit::fetched(state, spec).await.unwrap_or_else(|error| {
        warn!("the audit cannot be read: {}", error.chain());
        Vec::new()
    });
    let checksum = file.checksum.to_string();
    let of_file = fetches.iter().filter(|fetch| fetch.checksum == checksum);
    let mut fetched: Vec<_> = of_file
        .map(|fetch| (fetch.first.as_second(), fetch.who()))
        .collect();
    fetched.sort();
    fetched
}

/// Mails that upstream took back versions, if any is to be told.
pub(super) fn withdrawn(state: &'static State, versions: Vec<Withdrawn>) {
    if !versions.is_empty() {
        send(state, Event::Withdrawn(versions));
    }
}

/// Mails that advisories are about what was fetched here, if any is to be told.
pub(super) fn advised(state: &'static State, advisories: Vec<Advised>) {
    if !advisories.is_empty() {
        send(state, Event::Advised(advisories));
    }
}

/// Mails that an index is held back.
pub(super) fn held_back(state: &'static State, why: &Error) {
    send(state, Event::HeldBack(Failure::from(why)));
}

/// Sends a mail, beside all else: neither requests nor the index wait for it.
fn send(state: &'static State, event: Event) {
    if state.config.mail.route().is_none() {
        return;
    }
    tokio::spawn(async move {
        for left in (0..TRIES).rev() {
            let now = state.handle.now();
            match notify::of_server(&state.config, event.clone(), now).await {
                Ok(()) => return,
                Err(error) if left == 0 || !error.is_transient() => {
                    return error!(
                        "cannot send the mail: {}",
                        state.mask.apply(&notify::line(&error))
                    );
                }
                Err(error) => {
                    warn!(
                        "cannot send the mail, will retry: {}",
                        state.mask.apply(&notify::line(&error))
                    );
                    sleep(PAUSE).await;
                }
            }
        }
    });
}
