//! The values of keys that the command line gives.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::environment::Environment;
use super::super::sections;
use super::super::settings::{Origin, Settings, refused};
use super::password::refuse_password;
use crate::error::Result;

/// The values of keys that the command line gives, and its `--config`.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the file to read instead of `FERRY_CONFIG` or `./ferry.yml`.
    pub(super) file: Option<PathBuf>,
    /// That file was there before, and set keys: one that sets none any more is a mistake.
    pub(super) is_again: bool,
    /// The values of keys, by their paths.
    values: BTreeMap<&'static str, String>,
}

impl Flags {
    /// Takes the value of `--config`.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    /// Returns the same for reading the configuration again later. A file that is there now, and sets a key, must do so then: one that
    /// is gone or empty may be about to be replaced, and what it said must not stop to count.
    ///
    /// # Errors
    /// `config` if the file cannot be read.
    pub fn again(&self, environment: &Environment) -> Result<Self> {
        let mut again = self.clone();
        if let Some((path, settings)) = super::of_file(self, environment)?
            && !settings.is_empty()
        {
            again.file = Some(path);
            again.is_again = true;
        }
        Ok(again)
    }

    /// Sets a key such as `mirror.url`, where its flag was given.
    #[must_use]
    pub fn with<T: Into<String>>(mut self, key: &'static str, value: Option<T>) -> Self {
        self.values.extend(value.map(|text| (key, text.into())));
        self
    }
}

/// Adds the values of the flags.
pub(super) fn load(flags: &Flags, settings: &mut Settings) -> Result<()> {
    for (path, text) in &flags.values {
        let key = sections::key(path);
        let origin = Origin::Flag(key.flag.unwrap_or(path));
        // The process list shows flags to every user of the machine.
        refuse_password(key, text).map_err(|reason| refused(key, &origin, reason))?;
        settings.set(key, origin, vec![text.clone()])?;
    }
    Ok(())
}
