//! A mirror's whole life over each transport, against the real servers, read afterwards by a stock git and a stock cargo.

mod cargo;
mod hosts;
use std::path::{Path, PathBuf};

use crate::support::ferry::empty_mirror;
use crate::support::repo::git;
use crate::support::upstream::{Commit, IndexLine, Upstream};
use crates_ferry::mirror::plan::Outcome;
use crates_ferry::mirror::report::Report;
use hosts::{Hosts, Transport};
use tempfile::TempDir;

/// A mirror and its upstream, in one folder that is served.
struct Life {
    folder: TempDir,
    hosts: Hosts,
    upstream: Upstream,
    mirror: PathBuf,
}

impl Life {
    /// None where the machine lacks the server.
    fn begin(upstream: Transport, mirror: Transport) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let repos = folder.path().join("repos");
        let hosts = Hosts::start(&repos, upstream, mirror)?;
        Some(Self {
            upstream: first_crates(&repos),
            mirror: empty_mirror(&repos, "group/mirror.git"),
            folder,
            hosts,
        })
    }

    /// Goes through it all: `init`, new crates, nothing new, a squash with new crates behind it.
    fn lead(&mut self) {
        let created = self.hosts.ferry.init().unwrap();
        self.hold(&created, Outcome::Created);
        self.upstream.publish_many("late-", 12);
        let merged = self.hosts.ferry.sync().unwrap();
        self.hold(&merged, Outcome::Merge);
        assert_eq!((merged.commits, merged.crates.len()), (Some(12), 12));

        let idle = self.hosts.ferry.sync().unwrap();
        self.hold(&idle, Outcome::UpToDate);
        assert_eq!(idle.after, merged.after);

        self.upstream.squash();
        let beta = [IndexLine::new("0.2.0"), IndexLine::new("0.2.1")];
        self.upstream.commit([Commit::publish("beta", &beta)]);
        let squashed = self.hosts.ferry.sync().unwrap();
        self.hold(&squashed, Outcome::Squash);
        assert!(squashed.proof.is_some() && squashed.warnings.is_empty());
        git(&self.mirror, &["fsck", "--full", "--strict"]);
    }

    /// The mirror is upstream's tree with its own `config.json`, and has moved forward.
    fn hold(&self, report: &Report, outcome: Outcome) {
        assert_eq!(report.outcome, outcome);
        let tip = git(&self.mirror, &["rev-parse", "master"]);
        assert_eq!(report.after.unwrap().to_string(), tip);
        if let Some(before) = report.before {
            let forward = ["merge-base", "--is-ancestor", &before.to_string(), &tip];
            git(&self.mirror, &forward);
        }
        let upstreams = [self.upstream.path().to_str().unwrap(), "master:upstream"];
        let mirrors = [self.mirror.to_str().unwrap(), "master:mirror"];
        let third = tempfile::tempdir().unwrap();
        git(third.path(), &["init", "-q", "--bare"]);
        for [from, refspec] in [upstreams, mirrors] {
            git(third.path(), &["fetch", "-q", from, refspec]);
        }
        let differing = ["diff", "--name-only", "upstream", "mirror"];
        assert_eq!(git(third.path(), &differing), "config.json");
        let config = git(third.path(), &["show", "mirror:config.json"]);
        assert!(config.contains("https://crates.example/dl"), "{config}");
    }

    /// A stock `git clone` of the mirror's URL gives its files.
    fn is_cloned_by_git(&self) {
        let into = self.folder.path().join("clone");
        let mut clone = crate::support::repo::git_command(self.folder.path());
        clone
            .args(["clone", "-q", &self.hosts.mirror_url])
            .arg(&into);
        let status = clone.envs(self.hosts.git_environment()).status().unwrap();
        assert!(status.success());
        assert_eq!(
            git(&into, &["rev-parse", "HEAD"]),
            git(&self.mirror, &["rev-parse", "master"])
        );
        let beta = std::fs::read_to_string(into.join("be/ta/beta")).unwrap();
        assert!(beta.contains(r#""vers":"0.2.1""#), "{beta}");
    }
}

/// A small index: `alpha` builds on `beta` and `gamma`, `gamma` on `beta`.
fn first_crates(repos: &Path) -> Upstream {
    let mut upstream = Upstream::create(repos, "group/upstream.git");
    let gamma = IndexLine::new("1.0.0").dep("beta", "^0.2");
    let alpha = IndexLine::new("1.2.3")
        .dep("beta", "^0.2")
        .dep("gamma", "=1.0.0");
    upstream.commit([
        Commit::publish("beta", &[IndexLine::new("0.2.0")]),
        Commit::publish("gamma", &[gamma]),
        Commit::publish("alpha", &[IndexLine::new("0.9.0"), alpha]),
    ]);
    upstream
}

fn lead_and_read(upstream: Transport, mirror: Transport) {
    let Some(mut life) = Life::begin(upstream, mirror) else {
        return;
    };
    life.lead();
    life.is_cloned_by_git();
    if mirror.is_read_by_cargo() {
        cargo::resolves_from(&life.hosts.mirror_url);
    }
}

#[test]
fn over_the_git_protocol() {
    lead_and_read(Transport::Git, Transport::Git);
}

#[test]
fn over_ssh() {
    lead_and_read(Transport::Ssh, Transport::Ssh);
}

#[test]
fn over_ssh_to_a_server_that_speaks_version_0_only() {
    lead_and_read(Transport::SshVersion0, Transport::SshVersion0);
}

#[test]
fn over_smart_http() {
    lead_and_read(Transport::Http, Transport::Http);
}

#[test]
fn over_folders_of_this_machine() {
    lead_and_read(Transport::File, Transport::File);
    lead_and_read(Transport::Folder, Transport::Folder);
}

#[test]
fn from_http_to_ssh_as_most_mirrors_do() {
    lead_and_read(Transport::Http, Transport::Ssh);
}

#[test]
fn from_the_git_protocol_to_ssh_of_version_0_and_to_http() {
    lead_and_read(Transport::Git, Transport::SshVersion0);
    lead_and_read(Transport::Git, Transport::Http);
}

#[test]
fn from_ssh_of_version_0_and_from_a_folder_to_the_git_protocol() {
    lead_and_read(Transport::SshVersion0, Transport::Git);
    lead_and_read(Transport::Folder, Transport::Git);
}
