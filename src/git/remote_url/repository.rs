//! Whether two addresses lead to one repository.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::{GIT_PORT, RemoteUrl, SSH_PORT};

impl RemoteUrl {
    /// Says whether both lead to the same repository, as far as the addresses tell: over whatever protocol, with or without
    /// `.git` at the end.
    pub fn is_repository_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(path), Self::Local(other)) => directory(path) == directory(other),
            // A path without a leading slash is one in the user's home, unless the server is a git host.
            (Self::Ssh(address), Self::Ssh(other_address))
                if address.user != other_address.user =>
            {
                false
            }
            _ => self
                .place()
                .is_some_and(|place| Some(place) == other.place()),
        }
    }

    /// Returns the host, the port if it is not the protocol's own, and the repository's path as git hosts have it.
    fn place(&self) -> Option<(&str, Option<u16>, String)> {
        let (port, path) = match self {
            Self::Http { url, .. } => {
                let path = percent_decode_str(url.path()).decode_utf8_lossy();
                (url.port(), path.into_owned())
            }
            Self::Ssh(address) => (
                Some(address.port).filter(|port| *port != SSH_PORT),
                address.path.clone(),
            ),
            Self::Git { port, path, .. } => {
                (Some(*port).filter(|port| *port != GIT_PORT), path.clone())
            }
            Self::Local(_) => return None,
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        Some((self.host()?, port, path.trim_end_matches('/').to_owned()))
    }
}

/// Returns a local repository's directory without symbolic links; that of a work tree, not of its `.git`.
fn directory(path: &Path) -> PathBuf {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match path.file_name() {
        Some(name) if name == ".git" => path.parent().map(Path::to_owned).unwrap_or(path),
        _ => path,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn is_same(one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|url| url.parse::<RemoteUrl>().unwrap());
        let same = one.is_repository_of(&other);
        assert_eq!(same, other.is_repository_of(&one), "{one} {other}");
        same
    }

    #[test]
    fn a_repository_is_the_same_however_it_is_reached() {
        let written = [
            "https://git.example/rust/index",
            "https://GIT.example/rust/index.git",
            "https://user@git.example:443/rust/index.git/",
            "http://git.example/rust/index",
            "git@git.example:rust/index.git",
            "ssh://git@git.example:22/rust/index",
            "git://git.example/rust/index.git",
        ];
        for one in written {
            for other in written {
                assert!(is_same(one, other), "{one} {other}");
            }
        }
    }

    #[test]
    fn others_are_not() {
        for (one, other) in [
            (
                "https://git.example/rust/index",
                "https://git.example/rust/index2",
            ),
            (
                "https://git.example/rust/index",
                "https://other.example/rust/index",
            ),
            (
                "https://git.example/rust/index",
                "https://git.example:8443/rust/index",
            ),
            (
                "git://127.0.0.1:1001/index.git",
                "git://127.0.0.1:1002/index.git",
            ),
            ("a@git.example:index.git", "b@git.example:index.git"),
            ("/srv/index.git", "https://git.example/srv/index.git"),
            ("/srv/index.git", "/srv/mirror.git"),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_path_is_the_same_through_a_link_and_in_a_work_tree() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, link) = (folder.path().join("tree"), folder.path().join("link"));
        std::fs::create_dir_all(tree.join(".git")).unwrap();
        std::os::unix::fs::symlink(&tree, &link).unwrap();
        let [tree, link, inner] =
            [&tree, &link, &tree.join(".git")].map(|path| path.to_str().unwrap().to_owned());
        assert!(is_same(&tree, &link) && is_same(&link, &inner));
        assert!(is_same(&tree, &format!("file://{link}/")));
    }
}
