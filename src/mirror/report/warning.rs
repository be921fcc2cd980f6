//! Warnings: what a person should look at, and which of them are mailed.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

use crate::shown;

/// Something that a person should look at, and that did not stop the command; derefs to its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    text: String,
    calls: Option<Topic>,
}

/// The warnings that are mailed although the command succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Upstream changed its `config.json`: crate files may come from elsewhere now.
    UpstreamConfig,
    /// Upstream's history was squashed, and it could not be proven that nothing else changed.
    Squash,
    /// Upstream's history was rewritten.
    Rewritten,
    /// Mirror and upstream differ on a path that `mirror.keep` does not name, until a person acts.
    Difference,
    /// Upstream has a crate whose name is reserved.
    Reserved,
}

impl Topic {
    /// Returns the topic's name, for example `upstream_config`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UpstreamConfig => "upstream_config",
            Self::Squash => "squash",
            Self::Rewritten => "rewritten",
            Self::Difference => "difference",
            Self::Reserved => "reserved",
        }
    }

    /// Says whether every sync that pushes something repeats the warning, until a person acts.
    pub fn is_standing(self) -> bool {
        matches!(self, Self::Difference | Self::Reserved)
    }
}

impl Warning {
    /// Makes a warning that is mailed.
    pub fn calling(topic: Topic, text: impl Into<String>) -> Self {
        Self {
            calls: Some(topic),
            ..Self::from(text.into())
        }
    }

    /// Returns the topic of a warning that is mailed.
    pub fn calls(&self) -> Option<Topic> {
        self.calls
    }
}

/// A warning that is not mailed, on one line.
impl From<String> for Warning {
    fn from(text: String) -> Self {
        let text = shown::one_line(&text).into_owned();
        Self { text, calls: None }
    }
}

impl Deref for Warning {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
