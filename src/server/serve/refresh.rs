//! Keeps the copy of the index fresh: now and then, and when somebody says that it moved.

use tokio::time::sleep;
use tracing::{info, warn};

use super::state::State;
use crate::error::{Error, Result};

/// Looks at the index, waits, and looks again; a failure is told once, and tried again like anything else.
pub(super) async fn forever(state: &'static State) {
    loop {
        let looked = look(state).await;
        // Also what came to be known just before a failure.
        state.show();
        match looked {
            Ok(()) => {
                if state.looks().failure.is_some() {
                    info!("the index can be read again");
                }
                state.looked();
            }
            Err(error) => {
                let text = state.config.scrub(&describe(&error));
                if state.looks().failure.as_ref() != Some(&text) {
                    warn!("the index stays as it is: {text}");
                }
                state.look_failed(text);
            }
        }
        if let Err(error) = state.copy.tidy().await {
            warn!(
                "the copy's packs could not be made one: {}",
                describe(&error)
            );
        }
        tokio::select! {
            () = state.refresh_now.notified() => {}
            () = sleep(state.config.serve.refresh) => {}
        }
    }
}

async fn look(state: &State) -> Result<()> {
    let remote = state.config.index_remote()?;
    let branch = &state.config.index.branch;
    let tip = || state.copy.snapshot().map(|snapshot| snapshot.commit());
    let before = tip();
    let limit = state.config.network.timeout;
    state.copy.refresh(&remote, branch, limit).await?;
    if let Some(after) = tip()
        && before != Some(after)
    {
        info!("the index is at {}", after.short());
    }
    Ok(())
}

fn describe(error: &Error) -> String {
    let mut text = format!("[{}] {error}", error.kind());
    for cause in error.causes() {
        text.push_str(": ");
        text.push_str(&cause);
    }
    if let Some(advice) = error.advice() {
        text.push_str(&format!(" ({advice})"));
    }
    text
}
