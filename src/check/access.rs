//! Who we are to both sides, and what we may do there.

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

/// Looks at upstream's tip; returns whether there is one.
pub(super) async fn upstream(
    config: &Config,
    remote: &Remote,
    findings: &mut Findings,
) -> Option<()> {
    let reference = branch_ref(&config.upstream.branch);
    let looked = async {
        let mut server = UploadPack::open(remote).await?;
        server.refs(&reference).await
    };
    let refs = findings.take("upstream", looked.await)?;
    match refs.branches.get(&reference) {
        Some(tip) => {
            findings.pass("upstream", format!("its tip is {}", tip.short()));
            Some(())
        }
        None => {
            findings.fail_plainly(
                "upstream",
                format!("{remote}: it has no {reference}"),
                "set `upstream.branch` to the branch that holds the index",
            );
            None
        }
    }
}

/// Reads the ssh key and the known hosts, if the mirror is reached over ssh; says whether they can be used.
pub(super) fn key_and_known_hosts(config: &Config, findings: &mut Findings) -> bool {
    let secrets = &config.secrets;
    if !matches!(config.mirror.url, RemoteUrl::Ssh(_)) {
        return true;
    }
    let hosts = KnownHosts::parse(&secrets.ssh_known_hosts);
    let hosts_usable = findings.take("known hosts", hosts).is_some();
    if hosts_usable {
        findings.pass(
            "known hosts",
            match secrets.ssh_known_hosts.origin.as_str() {
                "" => "none but the built-in ones of gitlab.com".to_owned(),
                origin => format!("{origin} can be read"),
            },
        );
    }
    let Some(text) = &secrets.ssh_private_key else {
        findings.fail_plainly(
            "ssh key",
            "SSH_PRIVATE_KEY is not set".to_owned(),
            "set it to the private key's text, to the path of its file, or to base64 of the text",
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

/// Reads off the mirror's first answer whether its host key is known and whether it takes us for somebody.
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
                _ => findings.pass("host key", format!("{} is who it says", address.host)),
            }
            if kind != Some(Kind::Auth) {
                findings.pass("login", format!("{} accepts the key", address.host));
            }
        }
        RemoteUrl::Http { .. } => match (config.mirror_user(), kind) {
            (None, None) => findings.skip("login", "no token is set; reading works without"),
            (Some(user), None) => findings.pass("login", format!("as {user}")),
            _ => {}
        },
        _ => findings.skip("login", "this transport knows no login"),
    }
}

/// Opens the service that takes pushes, pushes nothing, and closes it.
pub(super) async fn push(mirror: &Remote, findings: &mut Findings) {
    if let Some(connection) = findings.take("push", mirror.open(Service::ReceivePack).await) {
        connection.close().await;
        findings.pass(
            "push",
            "the mirror opens for pushes; whether the branch is protected shows only in a real one",
        );
    }
}
