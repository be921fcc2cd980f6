//! The environment: variables, the home folder and the current one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::variable_value::{unexpanded, unwrapped};
use crate::error::{Error, Kind, Result};

/// What surrounds the process. `Debug` shows the names of variables only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    home: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of this process, once.
    pub fn of_process() -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self {
            // `vars` would panic at a variable that is not UTF-8, which is nothing of ours.
            variables: std::env::vars_os().filter_map(named).collect(),
            home: std::env::home_dir(),
            // Relative, so that messages show paths as they were given.
            folder: Some(PathBuf::new()),
        }
    }

    /// Makes an environment of these variables alone: without a home folder, and without a folder that may hold `ferry.yml`.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<OsString>,
    {
        let pairs = pairs.into_iter();
        Self {
            variables: pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            ..Self::default()
        }
    }

    /// Returns the variables that a browser is started with, by an allow-list: no secret is among them.
    pub fn for_a_browser(&self) -> impl Iterator<Item = (&str, &OsString)> {
        const PASSED: &[&str] = &[
            "BROWSER",
            "DBUS_SESSION_BUS_ADDRESS",
            "DESKTOP_SESSION",
            "DISPLAY",
            "HOME",
            "LANG",
            "LOGNAME",
            "PATH",
            "SHELL",
            "TMPDIR",
            "USER",
            "WAYLAND_DISPLAY",
            "WSL_DISTRO_NAME",
            "WSL_INTEROP",
            "XAUTHORITY",
        ];
        let is_passed = |name: &str| {
            PASSED.contains(&name) || name.starts_with("XDG_") || name.starts_with("LC_")
        };
        let variables = self.variables.iter();
        variables
            .map(|(name, value)| (name.as_str(), value))
            .filter(move |(name, _)| is_passed(name))
    }

    /// Returns the variables that cargo is started with, by an allow-list: no secret is among them.
    pub fn for_cargo(&self) -> Vec<(String, OsString)> {
        const PASSED: &[&str] = &[
            "CARGO_HOME",
            "HOME",
            "PATH",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
        ];
        let variables = self.variables.iter();
        let passed = variables.filter(|(name, _)| PASSED.contains(&name.as_str()));
        passed
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Says whether a variable of another program is set, and not empty.
    pub fn has(&self, name: &str) -> bool {
        self.variables
            .get(name)
            .is_some_and(|value| !value.is_empty())
    }

    /// Sets the home folder.
    #[must_use]
    pub fn with_home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// Sets the current folder, which may hold `ferry.yml`.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Returns whether a variable is set and not empty.
    pub fn is_set(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(|value| {
            value
                .to_str()
                .is_none_or(|text| !unwrapped(text).is_empty())
        })
    }

    /// Returns the text of a variable that is no secret, without white space around it; an empty one counts as unset.
    ///
    /// # Errors
    /// `config` for a reference to another variable that was not expanded.
    pub(super) fn plain(&self, name: &str) -> Result<Option<&str>> {
        let text = self.text(name)?;
        match text.and_then(unexpanded) {
            None => Ok(text),
            Some(reference) => Err(unusable(
                name,
                format!("{reference} is a reference to a variable that was not expanded"),
            )
            .advise(
                "Define that variable where this one is expanded, or write out its value. In GitLab, `Expand variable reference` \
                 must be on.",
            )),
        }
    }

    /// Returns a variable's text without white space around it; an empty one counts as unset.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        Ok(self
            .raw(name)?
            .map(str::trim)
            .filter(|text| !text.is_empty()))
    }

    /// Returns a variable's text as it is, but for quotes around it and a line break at its end; an empty one counts as unset.
    pub(super) fn raw(&self, name: &str) -> Result<Option<&str>> {
        match self.variables.get(name) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                Some(text) => Ok(Some(unwrapped(text)).filter(|text| !text.is_empty())),
                None => Err(unusable(name, "the value is not UTF-8")),
            },
        }
    }

    /// Says whether a variable holds a reference to another one, and nothing else.
    pub(super) fn is_reference(&self, name: &str) -> bool {
        matches!(self.text(name), Ok(Some(text)) if unexpanded(text) == Some(text))
    }

    /// Returns what the value of a variable had to lose, in words, if it did.
    pub(super) fn unwrapping_of(&self, name: &str) -> Option<&'static str> {
        let value = self.variables.get(name)?.to_str()?;
        let text = unwrapped(value);
        match value.trim().len() - text.trim().len() {
            // Of several lines, as of a key, the last one may end as the others do.
            0 if value == text || text.contains('\n') => None,
            0 => Some("the line break at its end"),
            _ => Some("the quotes around it"),
        }
    }

    /// Returns the names of the variables that begin with `start`.
    pub(super) fn names_that_begin_with<'a>(
        &'a self,
        start: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let names = self.variables.keys().map(String::as_str);
        names.filter(move |name| name.starts_with(start))
    }

    /// Returns the home folder.
    pub(super) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// Returns cargo's own folder: `$CARGO_HOME`, else `.cargo` in the home folder.
    ///
    /// # Errors
    /// `config` if neither is known.
    pub fn cargo_home(&self) -> Result<PathBuf> {
        if let Some(folder) = self.plain("CARGO_HOME")? {
            return Ok(PathBuf::from(folder));
        }
        let home = self.home.as_ref().map(|home| home.join(".cargo"));
        home.ok_or_else(|| {
            unusable(
                "CARGO_HOME",
                "it is not set, and there is no home directory",
            )
            .advise("Set CARGO_HOME to the directory that cargo uses.")
        })
    }

    /// Returns the current folder.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Makes the error of a variable that cannot be used.
pub(super) fn unusable(variable: &str, reason: impl fmt::Display) -> Error {
    Error::new(Kind::Config, format!("{variable}: {reason}"))
}
