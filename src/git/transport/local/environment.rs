//! The environment of child processes: a repository's hooks, and git where it is needed.
//!
//! An allow-list, not a list of secrets to remove: a secret that is added to this program later stays hidden as well.

use std::ffi::{OsStr, OsString};
use std::process::Command;

/// The variables that are passed on.
const PASSED: &[&str] = &[
    // Which configuration is read, but not `GIT_DIR` and its like: a hook must work on the repository that it belongs
    // to.
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LOGNAME",
    "PATH",
    "SHELL",
    // Under sudo git and libgit2 also accept repositories of the user who called sudo.
    "SUDO_UID",
    "TEMP",
    "TERM",
    "TMP",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// Clears a command's environment except for what any program needs.
pub(super) fn restrict(command: &mut Command) {
    restrict_to(command, std::env::vars_os());
}

fn restrict_to(command: &mut Command, variables: impl Iterator<Item = (OsString, OsString)>) {
    command.env_clear();
    command.envs(variables.filter(|(name, _)| is_passed(name)));
}

fn is_passed(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| PASSED.contains(&name) || name.starts_with("LC_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_inherits_neither_our_secrets_nor_another_repository() {
        let names = [
            "PATH",
            "LC_ALL",
            "GIT_DIR",
            "SSH_PRIVATE_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "NEW_TOKEN",
        ];
        let mut command = Command::new("git");
        let variables = names.iter().map(|name| (name.into(), "value".into()));
        restrict_to(&mut command, variables);
        let passed: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(passed, ["LC_ALL", "PATH"]);
    }
}
