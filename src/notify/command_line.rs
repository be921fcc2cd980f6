//! The command with which a person reproduces by hand what a job did.

use crate::config::Config;
use crate::shown::shell_word;

/// Returns a `crates-ferry sync --dry-run` of the same two repositories, quoted for a shell.
pub(super) fn dry_run(config: &Config) -> String {
    let (upstream, mirror) = (&config.upstream, &config.mirror);
    let branches = [
        ("FERRY_UPSTREAM_BRANCH", &upstream.branch),
        ("FERRY_MIRROR_BRANCH", &mirror.branch),
    ];
    let mut words: Vec<String> = branches
        .iter()
        // The default of both keys; the branches have no flags.
        .filter(|(_, branch)| branch.as_str() != "master")
        .map(|(name, branch)| format!("{name}={}", shell_word(branch)))
        .collect();
    words.push("crates-ferry sync --dry-run -v".to_owned());
    words.push(format!(
        "--upstream {}",
        shell_word(&upstream.url.to_string())
    ));
    words.push(format!("--mirror {}", shell_word(&mirror.url.to_string())));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Environment, Flags};

    #[test]
    fn the_command_can_be_pasted_into_a_shell() {
        let environment = Environment::from_pairs([
            ("FERRY_UPSTREAM_URL", "https://upstream.example/index"),
            ("FERRY_MIRROR_URL", "git@gitlab.example:rust/it's mine.git"),
            ("FERRY_MIRROR_BRANCH", "main"),
        ]);
        let config = Config::load(&Flags::default(), &environment).unwrap();
        assert_eq!(
            dry_run(&config),
            "FERRY_MIRROR_BRANCH=main crates-ferry sync --dry-run -v --upstream https://upstream.example/index \
             --mirror \"git@gitlab.example:rust/it's mine.git\""
        );
    }
}
