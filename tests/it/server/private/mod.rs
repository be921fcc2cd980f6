//! The registry of private crates: over real repositories, with the real cargo, and with several servers.

mod checked;
mod commands;
mod cut;
mod full_disk;
mod hosts;
mod job;
mod killed;
mod pages;
mod readable;
mod refused;
mod servers;
mod shared_bucket;
mod verbs;
mod with_cargo;

use std::path::{Path, PathBuf};

use crate::support::crate_archive::crate_archive;
use crate::support::repo::git;
use crate::support::server::{Got, Server, Site, printed, sha256};
use crate::support::upstream::{bare, index_path};

/// A site with the repository of a private index.
pub(super) struct Registry {
    pub(super) site: Site,
    pub(super) repository: PathBuf,
}

impl Registry {
    /// Makes the repository, without a commit.
    pub(super) fn new() -> Self {
        Self::of(Site::new())
    }

    pub(super) fn of(site: Site) -> Self {
        let repository = bare(site.folder.path(), "private.git");
        Self { site, repository }
    }

    /// Starts a server, and waits until it is ready.
    pub(super) fn serve(&self, pairs: &[(&str, &str)]) -> Server {
        let index = self.repository.display().to_string();
        let pairs = [&[("FERRY_PRIVATE_INDEX", index.as_str())], pairs].concat();
        self.site.serve(&pairs)
    }

    /// Makes a token.
    pub(super) fn token(&self, name: &str, scopes: &[&str]) -> String {
        self.token_in(&[], name, scopes)
    }

    pub(super) fn token_in(&self, pairs: &[(&str, &str)], name: &str, scopes: &[&str]) -> String {
        let scopes = scopes.iter().flat_map(|scope| ["--scope", *scope]);
        let arguments: Vec<_> = ["token", "add", name].into_iter().chain(scopes).collect();
        let printed = printed(&self.site.run_with(pairs, &arguments), 0);
        printed.split_whitespace().last().unwrap().to_owned()
    }

    /// Makes a token that may read, publish and yank everything.
    pub(super) fn publisher(&self, name: &str) -> String {
        self.token(name, &["read", "publish:*", "yank:*"])
    }

    /// Returns the lines that the repository has of a crate.
    pub(super) fn lines(&self, name: &str) -> Vec<serde_json::Value> {
        lines(&self.repository, name)
    }

    /// Returns the subjects of the commits, the newest first, each with its author.
    pub(super) fn log(&self) -> Vec<String> {
        let log = git(&self.repository, &["log", "--format=%an: %s"]);
        log.lines().map(str::to_owned).collect()
    }

    /// Checks that the repository is whole.
    pub(super) fn fsck(&self) {
        git(&self.repository, &["fsck", "--strict", "--no-dangling"]);
    }

    /// Returns the stored private files.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = crate::support::server::files_in(&self.site.data().join("crates/private"));
        files.sort();
        files
    }
}

pub(super) fn lines(repository: &Path, name: &str) -> Vec<serde_json::Value> {
    let path = format!("HEAD:{}", index_path(&name.to_ascii_lowercase()));
    let text = git(repository, &["show", &path]);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// A version that is published without cargo.
pub(super) struct Version<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// What tells its bytes from another one's of the same number.
    pub(super) content: &'a str,
}

impl Version<'_> {
    pub(super) fn file(&self) -> Vec<u8> {
        let Self {
            name,
            version,
            content,
        } = self;
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n");
        let files = [("Cargo.toml", manifest.as_str()), ("src/lib.rs", content)];
        crate_archive(name, version, &files)
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let json = serde_json::json!({ "name": self.name, "vers": self.version, "deps": [], "features": {} });
        body(&json, &self.file())
    }

    pub(super) fn publish(&self, server: &Server, token: &str) -> Got {
        put(server, token, &self.body())
    }

    pub(super) fn checksum(&self) -> String {
        sha256(&self.file())
    }
}

/// Makes the body of a request to publish.
pub(super) fn body(json: &serde_json::Value, file: &[u8]) -> Vec<u8> {
    let json = json.to_string();
    let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
    [
        &length(json.as_bytes())[..],
        json.as_bytes(),
        &length(file),
        file,
    ]
    .concat()
}

pub(super) fn put(server: &Server, token: &str, body: &[u8]) -> Got {
    let headers = [("authorization", token)];
    server
        .ask("PUT", "/private/api/v1/crates/new", &headers, body)
        .unwrap()
}

/// Gets a path with a token.
pub(super) fn get(server: &Server, token: &str, path: &str) -> Got {
    server.get_with(path, &[("authorization", token)])
}

/// Gets a crate's file in the index.
pub(super) fn entry(server: &Server, token: &str, name: &str) -> Got {
    get(
        server,
        token,
        &format!("/private/index/{}", index_path(name)),
    )
}
