//! What every page has around its content: title, search, and how fresh the index is.

use std::time::Duration;

use super::{assets, text};
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

/// What `base.html` shows.
pub(super) struct Frame {
    pub(super) title: String,
    /// What the search field holds.
    pub(super) searched: String,
    /// Whether the search stands in the page, and not in its header.
    pub(super) is_home: bool,
    /// Whether the search field has the focus.
    pub(super) has_focus: bool,
    pub(super) freshness: Option<Freshness>,
    /// Which page searches.
    pub(super) search: &'static str,
    /// Whether the page is about what only those see who may read private crates.
    pub(super) is_private: bool,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) version: &'static str,
}

/// How fresh the index is.
pub(super) struct Freshness {
    pub(super) class: &'static str,
    /// What stands before the words where there is room.
    pub(super) before: &'static str,
    pub(super) words: String,
}

impl Frame {
    /// Makes the frame of a page with this title.
    pub(super) fn new(state: &State, title: impl Into<String>) -> Self {
        Self {
            freshness: Some(Freshness::of(state)),
            ..Self::without_state(title)
        }
    }

    /// Makes the frame of a page about something of this registry.
    pub(super) fn of(state: &State, registry: Registry, title: impl Into<String>) -> Self {
        Self {
            search: registry.search(),
            is_private: registry.is_private(),
            ..Self::new(state, title)
        }
    }

    /// Makes the frame of a page that knows nothing of the server.
    pub(super) fn without_state(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            searched: String::new(),
            is_home: false,
            has_focus: false,
            freshness: None,
            search: Registry::Mirror.search(),
            is_private: false,
            style: assets::style(),
            script: assets::script(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Freshness {
    fn of(state: &State) -> Self {
        let age = age(state);
        let is_served = state.view().is_ok();
        let (class, before, words) = match age {
            _ if !is_served => ("bad", "", "no index yet".to_owned()),
            None => ("warn", "", "not checked yet".to_owned()),
            Some(age) if age <= state.config.serve.stale_after => {
                ("good", "checked", text::ago(age))
            }
            Some(age) => ("warn", "stale: checked", text::ago(age)),
        };
        Self {
            class,
            before,
            words,
        }
    }
}

/// Returns how long ago the index was compared with its repository.
pub(super) fn age(state: &State) -> Option<Duration> {
    let last = state.refreshes.so_far().last_success;
    last.map(|(at, _)| at.elapsed())
}
