//! Loads the values of keys: flags over variables over the file.

mod file;
mod flags;
mod hint;
mod password;
mod variables;
mod yaml_error;
mod yaml_rules;
mod yaml_scalar;
mod yaml_trusted;
mod yaml_value;

use std::io;
use std::path::PathBuf;

use super::environment::Environment;
use super::settings::Settings;
use super::text_file;
use crate::error::{Error, Kind, Result};

pub use flags::Flags;

/// The variable that names the configuration file.
const CONFIG_FILE: &str = "FERRY_CONFIG";

/// What was loaded.
pub(super) struct Loaded {
    /// The configuration file, where there is one.
    pub(super) file: Option<PathBuf>,
    pub(super) settings: Settings,
}

/// Loads the file, then the variables, then the flags; each replaces what came before.
///
/// # Errors
/// `config`, naming the flag, the variable, or the file with line and column.
pub(super) fn load(flags: &Flags, environment: &Environment) -> Result<Loaded> {
    let (file, settings) = of_file(flags, environment)?.unzip();
    let mut settings = settings.unwrap_or_default();
    variables::load(environment, &mut settings)?;
    flags::load(flags, &mut settings)?;
    Ok(Loaded { file, settings })
}

/// Loads the file, if there is one.
fn of_file(flags: &Flags, environment: &Environment) -> Result<Option<(PathBuf, Settings)>> {
    let Some(path) = locate(flags, environment)? else {
        return Ok(None);
    };
    let shown = path.display().to_string();
    let text = text_file::read(&path).map_err(|error| unreadable(&shown, error))?;
    let mut settings = Settings::default();
    file::load(&text, &shown, &mut settings)?;
    if flags.is_again && settings.is_empty() {
        let text = format!("{shown}: the file sets no key any more");
        return Err(Error::new(Kind::Config, text).advise(
            "Write the new file beside it, and rename that: then nobody reads half of it.",
        ));
    }
    Ok(Some((path, settings)))
}

fn unreadable(shown: &str, cause: io::Error) -> Error {
    let message = format!("cannot read the configuration file {shown}");
    let advice = match cause.kind() {
        io::ErrorKind::InvalidData => "Save it as UTF-8 text, or name another file with --config.",
        _ => "The file is named by --config, else by FERRY_CONFIG, else it is ./ferry.yml.",
    };
    Error::new(Kind::Config, message)
        .because(cause)
        .advise(advice)
}

/// Finds the file: the named one, which must then be there, or `ferry.yml` of the current folder.
fn locate(flags: &Flags, environment: &Environment) -> Result<Option<PathBuf>> {
    let Some(folder) = environment.folder() else {
        return Ok(flags.file.clone());
    };
    if let Some(path) = &flags.file {
        return Ok(Some(folder.join(path)));
    }
    if let Some(path) = environment.plain(CONFIG_FILE)? {
        return Ok(Some(folder.join(path)));
    }
    let usual = folder.join("ferry.yml");
    Ok(usual.exists().then_some(usual))
}
