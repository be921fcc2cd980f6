//! The variables of the keys.

use tracing::warn;

use super::super::certificates;
use super::super::environment::Environment;
use super::super::keys::{Key, Shape};
use super::super::proxies;
use super::super::secrets;
use super::super::sections::KEYS;
use super::super::settings::{Origin, Settings};
use super::super::values::smtp;
use super::super::variable_value::unquoted;
use super::CONFIG_FILE;
use super::hint::hint;
use crate::error::Result;

/// Adds the values of the keys' variables, and warns of unknown variables that begin with `FERRY_`.
pub(super) fn load(environment: &Environment, settings: &mut Settings) -> Result<()> {
    // First: it may be why a value is refused.
    warn_of_values(environment);
    // Here an address may carry a password: unlike files and flags, nobody else reads these.
    for key in KEYS {
        let name = key.variable();
        if let Some(text) = environment.plain(&name)? {
            let mut texts = texts_of(key, text);
            if matches!(key.shape, Shape::List | Shape::Map | Shape::Rules)
                && without_quotes(&mut texts)
            {
                warn!("{name}: removed the quotes around its elements");
            }
            settings.set(key, Origin::Variable(name), texts)?;
        }
    }
    // Warnings, where the file has errors: a job's environment also holds what is meant for another version or program.
    let known = known_variables();
    for name in unknown(environment, &known) {
        warn!(
            "{name} is not a variable of crates-ferry{}",
            hint(name, &known)
        );
    }
    Ok(())
}

/// Warns of variables whose values are not what they were meant to be, probably; never of what they hold.
fn warn_of_values(environment: &Environment) {
    let secrets = secrets::set_or_unset(environment);
    let secrets: Vec<_> = secrets.into_iter().map(|(name, _)| name).collect();
    let others = certificates::CONVENTIONAL
        .into_iter()
        .chain(proxies::variables());
    let others = others.chain([CONFIG_FILE]);
    let others = others.map(str::to_owned).chain(secrets.iter().cloned());
    for name in KEYS.iter().map(Key::variable).chain(others) {
        if let Some(what) = environment.unwrapping_of(&name) {
            warn!("{name}: removed {what}");
        }
    }
    // Taken as they are all the same: a password may look so.
    for name in secrets.iter().filter(|name| environment.is_reference(name)) {
        warn!("{name}: the secret looks like a reference to a variable that was not expanded");
    }
}

/// Takes the text of a list or map apart.
fn texts_of(key: &Key, text: &str) -> Vec<String> {
    match key.shape {
        Shape::Mailboxes => smtp::split(text),
        // There is no escape: an element with a comma, such as the glob `{a,b}/*`, can only be given in the file.
        Shape::List | Shape::Map => split(text, ','),
        Shape::Rules | Shape::Trusted => split(text, ';'),
        Shape::One => vec![text.to_owned()],
    }
}

fn split(text: &str, separator: char) -> Vec<String> {
    let elements = text.split(separator).map(str::trim);
    let elements = elements.filter(|element| !element.is_empty());
    elements.map(str::to_owned).collect()
}

/// Takes off the quotes that a list in YAML or in a shell would have; says whether there were any.
fn without_quotes(texts: &mut [String]) -> bool {
    let mut were_any = false;
    for text in texts {
        if let Some(plain) = unquoted(text).map(str::to_owned) {
            *text = plain;
            were_any = true;
        }
    }
    were_any
}

/// Returns every variable that begins with `FERRY_` and is read.
fn known_variables() -> Vec<String> {
    let keys = KEYS.iter().map(Key::variable);
    let secrets = secrets::VARIABLES.iter().copied();
    let others = secrets.filter(|name| name.starts_with("FERRY_"));
    let others = others.chain([CONFIG_FILE]).map(str::to_owned);
    keys.chain(others).collect()
}

/// Returns the variables that begin with `FERRY_`, are not empty, and are unknown.
fn unknown<'a>(environment: &'a Environment, known: &'a [String]) -> impl Iterator<Item = &'a str> {
    let ours = environment.names_that_begin_with("FERRY_");
    ours.filter(|name| environment.is_set(name) && !known.iter().any(|known| known == name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn quotes_around_the_elements_of_a_list_go() {
        for (given, wanted) in [
            ("\"a\",\"b/*\"", ["a", "b/*"]),
            (" 'a' , \"b/*\" ", ["a", "b/*"]),
            ("\"a\",b/*", ["a", "b/*"]),
            ("\"a,b/*\"", ["a", "b/*"]),
            ("it's,b/*", ["it's", "b/*"]),
        ] {
            let environment = Environment::from_pairs([("FERRY_MIRROR_KEEP", given)]);
            let mut settings = Settings::default();
            load(&environment, &mut settings).unwrap();
            let (texts, _) = settings.given("mirror.keep").unwrap();
            assert_eq!(texts, wanted, "{given}");
        }
    }

    #[test]
    fn an_unknown_variable_is_found_and_an_empty_one_is_not() {
        let environment = Environment::from_pairs([
            ("FERRY_MIROR_URL", "x"),
            ("FERRY_MIRROR_TOKEN", "x"),
            ("FERRY_EMPTY", ""),
            ("FERRYMAN", "x"),
            ("FERRY_MIRROR_URL", "x"),
        ]);
        let known = known_variables();
        let found: Vec<_> = unknown(&environment, &known).collect();
        assert_eq!(found, ["FERRY_MIROR_URL"]);
        assert_eq!(hint(found[0], &known), "; did you mean FERRY_MIRROR_URL?");
    }
}
