//! Who runs the program, for what is written down of it.

use std::fs;

use super::environment::Environment;

/// Returns who runs the program: the user of a CI job and its address, else user and machine, as `ops@host`.
pub fn caller(environment: &Environment) -> String {
    let text = |name: &str| environment.text(name).ok().flatten();
    if let Some(user) = text("GITLAB_USER_LOGIN") {
        let job = super::job::job(environment).log;
        let job = job.map_or_else(|| "a CI job".to_owned(), |job| job.to_string());
        return shown(&format!("{user} ({job})"));
    }
    let user = text("USER").or_else(|| text("LOGNAME")).map(str::to_owned);
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid()));
    // Where there is no such file, as on a Mac, shells know it.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host
        .as_deref()
        .map(str::trim)
        .filter(|host| !host.is_empty());
    let host = host.or_else(|| text("HOSTNAME")).unwrap_or("unknown");
    shown(&format!("{user}@{host}"))
}

/// The most characters that are written down.
const LONGEST: usize = 300;

fn shown(text: &str) -> String {
    text.replace(char::is_control, " ")
        .chars()
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_user_and_the_machine_or_the_job() {
        let of = |pairs: &[(&str, &str)]| caller(&Environment::from_pairs(pairs.iter().copied()));
        let user = of(&[("USER", "ops")]);
        assert!(
            user.starts_with("ops@") && user.len() > "ops@".len(),
            "{user}"
        );
        assert!(of(&[]).starts_with("uid "));
        let job = [
            ("USER", "root"),
            ("GITLAB_USER_LOGIN", "alice"),
            ("CI_JOB_URL", "https://gitlab.example/rust/mirror/-/jobs/1"),
        ];
        assert_eq!(
            of(&job),
            "alice (https://gitlab.example/rust/mirror/-/jobs/1)"
        );
    }
}
