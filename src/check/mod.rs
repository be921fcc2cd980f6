//! `check`: probes everything that a sync depends on, and changes nothing.

mod access;
mod index;
mod mail;
mod probe;

pub use probe::{Findings, Probe, Status};

use crate::config::Config;
use crate::git::transport::UploadPack;
use crate::mirror::Context;

/// The options of `check` besides the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Sends a test mail.
    pub mail: bool,
}

/// Probes configuration, both repositories, access to them, what the mirror holds, and the mail server.
///
/// A probe that fails is a finding, not an error; what depends on it is skipped with the reason.
pub async fn run(config: &Config, options: &Options, around: Context<'_>) -> Findings {
    // Outside of the future that the limit drops: the probes that were made before are reported.
    let mut findings = Findings::default();
    let limit = config.network.timeout;
    if tokio::time::timeout(limit, probe_all(config, options, around, &mut findings))
        .await
        .is_err()
    {
        let limit = humantime::format_duration(limit);
        findings.fail_plainly(
            "time",
            format!("the probes took longer than {limit}"),
            "Look at the last probe above. `network.timeout` limits how long a command may take.",
        );
    }
    findings
}

async fn probe_all(
    config: &Config,
    options: &Options,
    around: Context<'_>,
    findings: &mut Findings,
) {
    findings.pass("configuration", access::summary(config));
    probe_remotes(config, around, findings).await;
    around.progress.phase("probing the mail server");
    mail::probe(config, options, around, findings).await;
}

async fn probe_remotes(config: &Config, around: Context<'_>, findings: &mut Findings) {
    let progress = around.progress;
    progress.phase("probing upstream");
    let upstream = findings.take("upstream", config.upstream_remote());
    let upstream = match &upstream {
        Some(remote) => access::upstream(config, remote, findings).await,
        None => None,
    };
    progress.phase("probing the mirror");
    // First, so that a key that cannot be used is told as that, and not as a mirror that cannot be reached.
    let is_usable = access::key_and_known_hosts(config, findings);
    let mirror = match is_usable {
        true => findings.take("mirror", config.mirror_remote()),
        false => None,
    };
    let Some(mirror) = &mirror else {
        return skip_mirror(findings);
    };
    let opened = UploadPack::open(mirror).await;
    access::host_key_and_login(config, opened.as_ref().err(), findings);
    match findings.take("mirror", opened) {
        Some(mut opened) => {
            opened.release().await.ok();
            // Also where the branch does not exist yet: `init` will push, too.
            access::push(config, findings).await;
            index::probe(config, around, opened, upstream, findings).await;
        }
        None => skip_mirror(findings),
    }
}

fn skip_mirror(findings: &mut Findings) {
    for name in [
        "push",
        "branch",
        "head",
        "base",
        "plan",
        "config.json",
        "history",
    ] {
        findings.skip(name, "the mirror could not be read");
    }
}
