//! Our credentials on both sides, and what they permit.

use super::Findings;
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::git::RemoteUrl;
use crate::git::branch_ref;
use crate::git::transport::ssh::{key, known_hosts::KnownHosts};
use crate::git::transport::{Remote, Service, UploadPack};

pub(super) fn summary(config: &Config) -> String {
    format!(
        "{} ({}) → {} ({})",
        config.upstream.url, config.upstream.branch, config.mirror.url, config.mirror.branch
    )
}

/// Reads upstream's tip; returns `None` where there is none.
pub(super) async fn upstream(
    config: &Config,
    remote: &Remote,
    findings: &mut Findings,
) -> Option<()> {
    let reference = branch_ref(&config.upstream.branch);
    let listed = UploadPack::open_and_list(remote, &reference).await;
    let (_, refs) = findings.take("upstream", listed)?;
    match refs.branches.get(&reference) {
        Some(tip) => {
            findings.pass("upstream", format!("its tip is {}", tip.short()));
            Some(())
        }
        None => {
            findings.fail_plainly(
                "upstream",
                format!("{remote} has no {reference}"),
                "Set `upstream.branch` to the branch that holds the index.",
            );
            None
        }
    }
}

/// Parses the ssh key and the known hosts, where the mirror is reached over ssh; returns whether they can be used.
pub(super) fn key_and_known_hosts(config: &Config, findings: &mut Findings) -> bool {
    let secrets = &config.secrets;
    let RemoteUrl::Ssh(address) = &config.mirror.url else {
        return true;
    };
    let hosts = KnownHosts::parse(&secrets.ssh_known_hosts, &address.host, address.port);
    let hosts_usable = findings.take("known hosts", hosts).is_some();
    if hosts_usable {
        findings.pass(
            "known hosts",
            match secrets.ssh_known_hosts.origin.as_str() {
                "" => "only the built-in ones of gitlab.com".to_owned(),
                origin => format!("{origin} can be read"),
            },
        );
    }
    // Goes on after unusable known hosts, so that one run shows both mistakes.
    let Some(text) = &secrets.ssh_private_key else {
        findings.fail_plainly(
            "ssh key",
            "SSH_PRIVATE_KEY is not set".to_owned(),
            "Set it to the private key's text, to the path of its file, or to base64 of the text.",
        );
        return false;
    };
    let parsed = findings.take(
        "ssh key",
        key::parse(text, secrets.ssh_key_passphrase.as_ref()),
    );
    let Some(parsed) = parsed else { return false };
    findings.pass("ssh key", key::describe(&parsed));
    hosts_usable
}

/// Tells from the error of the first connection, if any, whether the host key is trusted and the login accepted.
pub(super) fn host_key_and_login(config: &Config, error: Option<&Error>, findings: &mut Findings) {
    let kind = error.map(Error::kind);
    match &config.mirror.url {
        RemoteUrl::Ssh(address) => {
            match kind {
                Some(Kind::HostKey) => {
                    return findings.skip("login", "the host key is not trusted");
                }
                Some(Kind::Network) => {
                    return findings.skip("host key", "the mirror cannot be reached");
                }
                _ => findings.pass(
                    "host key",
                    format!("the host key of {} is trusted", address.host),
                ),
            }
            // ssh verifies the host, then the user: any other failure comes after both.
            if kind != Some(Kind::Auth) {
                findings.pass("login", format!("{} accepts the key", address.host));
            }
        }
        RemoteUrl::Http { .. } => match (config.mirror_user(), kind) {
            (None, None) => findings.skip("login", "no token is set; reading needs none"),
            (Some(user), None) => findings.pass("login", format!("as {user}")),
            _ => {}
        },
        _ => findings.skip("login", "this transport has no login"),
    }
}

/// Opens a push session, pushes nothing, and closes it: GitLab, for one, refuses the session itself to a key without
/// write access.
pub(super) async fn push(config: &Config, findings: &mut Findings) {
    // An ssh connection of its own: some servers (asyncssh) end all of one with any of its channels, and others are in use.
    let Some(mirror) = findings.take("push", config.mirror_remote()) else {
        return;
    };
    if let Some(connection) = findings.take("push", mirror.open(Service::ReceivePack).await) {
        connection.close().await;
        findings.pass(
            "push",
            "the mirror accepts a push session; only a real push shows whether the branch is protected",
        );
    }
}
