//! What `up` says when it listens: where it is, what it does, and the lines for cargo.

use std::fmt;
use std::net::SocketAddr;

use crate::config::{Downloads, UpConfig};
use crate::error::Result;
use crate::server::address_file::on_this_machine;
use crate::server::cargo_config::{self, Index, Options};

/// Where `up` is, what it does, and the lines for cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The address of the server.
    pub url: String,
    /// Its parts and what each works on.
    pub parts: Vec<(&'static str, String)>,
    /// The lines of cargo's configuration.
    pub snippet: String,
}

impl Announcement {
    /// Describes what runs with this configuration and listens on this address.
    ///
    /// # Errors
    /// As [`cargo_config::run`].
    pub fn of(config: &UpConfig, listening: SocketAddr) -> Result<Self> {
        let mut serve = config.serve.clone();
        serve.serve.listen = on_this_machine(listening);
        let options = Options {
            index: Index::Sparse,
            without_policy: false,
            name: "mirror".to_owned(),
            write: None,
        };
        let snippet = cargo_config::run(&serve, &options)?.snippet;
        let index = format!("{}, branch {}", serve.index.url, serve.index.branch);
        let mirror = config.mirror.as_ref().map(|mirror| {
            let every = humantime::format_duration(config.up.every);
            format!("{}, synced every {every}", mirror.mirror.url)
        });
        let private = serve.private.index.as_ref();
        let private = private.map(|kept| {
            format!(
                "sparse+{}/private/index/, kept in {kept}",
                serve.public_url()
            )
        });
        let files = match serve.serve.downloads {
            Downloads::Cache => format!("fetched once, verified, kept in {}", serve.store()),
            Downloads::Redirect => "clients are redirected to upstream".to_owned(),
            Downloads::Offline => format!("from {} only", serve.store()),
        };
        let parts = [
            ("index", Some(index)),
            ("crate files", Some(files)),
            ("mirror", mirror),
            ("private", private),
        ];
        Ok(Self {
            url: serve.public_url(),
            parts: parts
                .into_iter()
                .filter_map(|(name, part)| Some((name, part?)))
                .collect(),
            snippet,
        })
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "crates-ferry is up at {}", self.url)?;
        for (name, part) in &self.parts {
            writeln!(f, "  {name:<11}  {part}")?;
        }
        writeln!(
            f,
            "\nThe lines for cargo, in .cargo/config.toml of a project or of your home directory:\n"
        )?;
        f.write_str(self.snippet.trim_end())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Environment, Flags};

    fn announced(pairs: &[(&str, &str)], listening: &str) -> String {
        let environment = Environment::from_pairs(pairs.iter().copied());
        let config = UpConfig::load(&Flags::default(), &environment).unwrap();
        Announcement::of(&config, listening.parse().unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn it_names_an_address_that_this_machine_reaches() {
        let upstream = [("FERRY_UPSTREAM_URL", "https://index.example/index")];
        let text = announced(&upstream, "0.0.0.0:8080");
        assert!(
            text.starts_with("crates-ferry is up at http://127.0.0.1:8080\n"),
            "{text}"
        );
        assert!(
            text.contains("sparse+http://127.0.0.1:8080/index/"),
            "{text}"
        );
        assert!(text.contains("https://index.example/index, branch master"));
        assert!(!text.contains("mirror       "), "{text}");
    }

    #[test]
    fn it_names_the_mirror_and_the_public_url() {
        let pairs = [
            ("FERRY_MIRROR_URL", "https://git.example/mirror"),
            ("FERRY_SERVE_PUBLIC_URL", "https://crates.example"),
        ];
        let text = announced(&pairs, "[::]:8080");
        assert!(text.contains("up at https://crates.example\n"), "{text}");
        assert!(
            text.contains("https://git.example/mirror, synced every 5m\n"),
            "{text}"
        );
    }
}
