//! The description of keys in the documentation and the help, made from their table.

use super::keys::Key;
use super::sections::{self, KEYS};

/// Returns the table of keys as `docs/configuration.md` holds it.
pub fn keys_as_markdown() -> String {
    let mut table = "| key | variable, flag | default | meaning |\n|---|---|---|---|\n".to_owned();
    for key in KEYS {
        let default = match key.default {
            Some(text) => format!(" `{text}` "),
            None => " ".to_owned(),
        };
        let flag = key.flag.map(|flag| format!(", `{flag}`"));
        table.push_str(&format!(
            "| `{}` | `{}`{} |{default}| {} |\n",
            key.path,
            key.variable(),
            flag.unwrap_or_default(),
            key.about.trim()
        ));
    }
    table
}

/// Returns the keys of a section as `--help` lists them: name, default and the first sentence of the description.
///
/// # Panics
/// Where the table has no such section.
pub fn keys_as_help(section: &str) -> String {
    let keys: Vec<&Key> = KEYS.iter().filter(|key| key.section == section).collect();
    let width = keys.iter().map(|key| key.name.len()).max();
    let width = width.unwrap_or_else(|| unreachable!("the table of keys has no section {section}"));
    let line = |key: &&Key| {
        let default = key.default.map(|text| format!(" [default: {text}]"));
        format!(
            "  {:width$}  {}{}",
            key.name,
            first_sentence(key),
            default.unwrap_or_default()
        )
    };
    keys.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the help of a flag that sets this key: one sentence, the key, its variable and its default.
///
/// # Panics
/// Where the table has no such key.
pub fn flag_help(path: &str) -> String {
    let key = sections::key(path);
    format!("{}{}", first_sentence(key), origins(key))
}

/// Returns the long help of a flag that sets this key: its whole description.
///
/// # Panics
/// Where the table has no such key.
pub fn flag_long_help(path: &str) -> String {
    let key = sections::key(path);
    format!("{}\n\n{}", key.about.trim(), origins(key).trim_start())
}

/// Returns the first sentence of a key's description, without its full stop.
fn first_sentence(key: &Key) -> &'static str {
    let about = key.about.trim();
    let sentence = about.split_once(". ").map_or(about, |(first, _)| first);
    sentence.trim_end_matches('.')
}

fn origins(key: &Key) -> String {
    let default = key.default.map(|text| format!(" [default: {text}]"));
    format!(
        " [{}, {}]{}",
        key.path,
        key.variable(),
        default.unwrap_or_default()
    )
}
