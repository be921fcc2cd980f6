//! The refs that a repository hides: `transfer.hideRefs` and the setting of one service (`git-config`).

use git2::Config;

use super::pipe::{Failure, Result};
use super::repository::value;

/// Which refs are hidden.
pub(super) struct HiddenRefs(Vec<String>);

impl HiddenRefs {
    /// Reads the rules for `uploadpack` or `receive`.
    pub(super) fn read(config: &Config, section: &str) -> Result<Self> {
        let pattern = format!(r"^(transfer|{section})\.hiderefs$");
        let unreadable = |error| Failure::because("the configuration cannot be read", error);
        let mut rules = Vec::new();
        let mut entries = config.entries(Some(&pattern)).map_err(unreadable)?;
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(unreadable)?;
            rules.push(value(entry).trim_end_matches('/').to_owned());
        }
        Ok(Self(rules))
    }

    /// Says whether a ref is hidden: the last rule that its name begins with decides.
    pub(super) fn hides(&self, reference: &str) -> bool {
        // From the end: later entries override earlier ones (git-config, `transfer.hideRefs`).
        for rule in self.0.iter().rev() {
            let (shows, prefix) = match rule.strip_prefix('!') {
                Some(prefix) => (true, prefix),
                None => (false, rule.as_str()),
            };
            // `^` is for the name before a namespace is taken off it; there are no namespaces here.
            let prefix = prefix.strip_prefix('^').unwrap_or(prefix);
            let rest = reference.strip_prefix(prefix);
            // A whole component: `refs/pull` does not hide `refs/pullers`.
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                return !shows;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_fits_decides() {
        let rules = ["refs/pull", "!refs/pull/1", "^refs/secret"];
        let hidden = HiddenRefs(rules.map(str::to_owned).to_vec());
        for (reference, is_hidden) in [
            ("refs/heads/master", false),
            ("refs/pull/2/head", true),
            ("refs/pull/1/head", false),
            ("refs/pullers", false),
            ("refs/secret/key", true),
        ] {
            assert_eq!(hidden.hides(reference), is_hidden, "{reference}");
        }
    }
}
