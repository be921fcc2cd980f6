//! Which private crates need a private crate: read of the lines of all, and kept until the index changes.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex as AsyncMutex;

use super::{registry, unread};
use crate::error::Result;
use crate::git::ObjectId;
use crate::http::error_response::ErrorResponse;
use crate::index::release::{CrateSummary, DependencyKind};
use crate::index::{CrateName, folded};
use crate::server::index_copy::Snapshot;
use crate::server::serve::crate_reader::ask;
use crate::server::serve::state::State;

/// What is known of the index as it was last read.
#[derive(Default)]
pub(in crate::server::serve) struct Dependents {
    known: ArcSwapOption<Known>,
    /// Held by whoever reads it anew; the others wait for what comes.
    reading: AsyncMutex<()>,
}

struct Known {
    commit: ObjectId,
    /// What each file of the index says: most are the same in the next state.
    files: HashMap<ObjectId, Arc<Needs>>,
    /// The crates that need one, by its folded name, in the order of their names.
    by_needed: HashMap<String, Vec<CrateName>>,
}

/// The private crates that the version to take of a crate needs to build, by their folded names.
type Needs = Vec<String>;

/// Returns the crates that need this one to build, in the version to take.
pub(in crate::server::serve) async fn dependents(
    state: &'static State,
    name: &str,
) -> Result<Vec<CrateName>, ErrorResponse> {
    let snapshot = registry(state)?.index.snapshot();
    let Some(snapshot) = snapshot.map_err(|error| unread(state, error))? else {
        return Ok(Vec::new());
    };
    let kept = &state.private_dependents;
    let of = |known: &Known| {
        let found = known.by_needed.get(&folded(name));
        found.cloned().unwrap_or_default()
    };
    let commit = snapshot.commit();
    let is_current = move |known: &&Arc<Known>| known.commit == commit;
    if let Some(known) = kept.known.load().as_ref().filter(is_current) {
        return Ok(of(known));
    }
    let _turn = kept.reading.lock().await;
    let before = kept.known.load_full();
    if let Some(known) = before.as_ref().filter(is_current) {
        return Ok(of(known));
    }
    let known = ask(state, move || Known::read(&snapshot, before.as_deref())).await?;
    let found = of(&known);
    kept.known.store(Some(Arc::new(known)));
    Ok(found)
}

impl Known {
    fn read(snapshot: &Snapshot, before: Option<&Self>) -> Result<Self> {
        let mut known = Self {
            commit: snapshot.commit(),
            files: HashMap::new(),
            by_needed: HashMap::new(),
        };
        let mut files = snapshot.crate_files()?;
        files.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        for (name, id) in files {
            let read_before = before.and_then(|before| before.files.get(&id));
            let needs = match read_before {
                Some(needs) => Arc::clone(needs),
                None => Arc::new(needs(&snapshot.content(id)?)),
            };
            for needed in needs.iter() {
                let by = known.by_needed.entry(needed.clone()).or_default();
                by.push(name.clone());
            }
            known.files.insert(id, needs);
        }
        Ok(known)
    }
}

fn needs(content: &[u8]) -> Needs {
    let summary = CrateSummary::read(content);
    let all = summary.iter().flat_map(|of| &of.default.dependencies);
    // What only its tests need counts as little as for public crates; no registry is this one.
    let private = all.filter(|dependency| {
        dependency.registry.is_none() && dependency.kind != DependencyKind::Dev
    });
    let mut needs: Needs = private
        .map(|dependency| folded(&dependency.package))
        .collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}
