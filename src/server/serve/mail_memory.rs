//! What a server remembers of what it mails: which news it has noticed, and which of them is still to be told. Kept in
//! `serve.data_dir`, so that what was noticed before a kill is told after it, and what was told is not told again.
//!
//! What is there when the file is first written is no news: a server that is new tells nothing of what happened before it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::server::cargo_config::replace;

/// How many keys are kept of what is not there any more.
const MOST: usize = 100_000;

/// What is known, and what of it is to be told, by keys.
pub(super) struct MailMemory {
    path: PathBuf,
    content: Option<Content>,
}

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
struct Content {
    known: BTreeSet<String>,
    pending: BTreeSet<String>,
    /// When a digest was mailed last.
    mailed: Option<Timestamp>,
}

impl MailMemory {
    /// Reads it from this file; one that is missing or broken is as if there were none.
    pub(super) fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).ok();
        let content = text.and_then(|text| serde_json::from_str(&text).ok());
        Self { path, content }
    }

    /// Notes all that there is. Of what was not known, that is to be told of which `is_told` says so; the first time that is only
    /// what is in `new`, too.
    pub(super) fn note(
        &mut self,
        all: &BTreeSet<String>,
        new: &BTreeSet<String>,
        is_told: impl Fn(&str) -> bool,
    ) {
        let before = self.content.clone();
        let mut content = before.clone().unwrap_or_else(|| Content {
            known: all.difference(new).cloned().collect(),
            ..Content::default()
        });
        let news = all.difference(&content.known);
        let told: Vec<_> = news.filter(|key| is_told(key)).cloned().collect();
        content.pending.extend(told);
        content.known.extend(all.iter().cloned());
        if content.known.len() > MOST {
            content.known.clone_from(all);
        }
        self.keep(content);
    }

    /// Returns what is to be told.
    pub(super) fn pending(&self) -> Vec<String> {
        let pending = self.content.iter().flat_map(|content| &content.pending);
        pending.cloned().collect()
    }

    /// Returns when a digest was mailed last.
    pub(super) fn mailed(&self) -> Option<Timestamp> {
        self.content.as_ref()?.mailed
    }

    /// Notes that these are told, or are not to be told any more; by a digest, if it was one.
    pub(super) fn told(&mut self, keys: &[String], digest: Option<Timestamp>) {
        let mut content = self.content.clone().unwrap_or_default();
        for key in keys {
            content.pending.remove(key);
        }
        content.mailed = digest.or(content.mailed);
        self.keep(content);
    }

    /// Keeps this, and writes it where it is not the same as before.
    fn keep(&mut self, content: Content) {
        if self.content.as_ref() != Some(&content) {
            let text = serde_json::to_string(&content).unwrap_or_default();
            if let Err(error) = replace(&self.path, &format!("{text}\n")) {
                warn!("cannot write {}: {error}", self.path.display());
            }
        }
        self.content = Some(content);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn keys(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn what_was_noticed_is_pending_until_it_is_told_also_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.json");
        let none = keys(&[]);
        let mut memory = MailMemory::read(path.clone());
        memory.note(&keys(&["old", "seen"]), &keys(&["seen"]), |_| true);
        assert_eq!(memory.pending(), ["seen"]);
        memory.note(&keys(&["old", "seen", "new", "off"]), &none, |key| {
            key != "off"
        });
        assert_eq!(memory.pending(), ["new", "seen"]);

        let mut next = MailMemory::read(path.clone());
        next.note(&keys(&["old", "seen", "new", "off"]), &none, |_| true);
        assert_eq!(next.pending(), ["new", "seen"]);
        let at = Timestamp::from_second(1_790_000_000).unwrap();
        next.told(&["new".to_owned()], Some(at));
        next.told(&["seen".to_owned()], None);
        let last = MailMemory::read(path);
        assert!(last.pending().is_empty());
        assert_eq!(last.mailed(), Some(at));
    }
}
