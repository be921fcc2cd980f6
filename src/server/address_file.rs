//! The address of the server that last used a data directory, for the commands that write it into a client's configuration.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use tracing::warn;
use url::Url;

use crate::config::{Origin, ServeConfig};

/// The file's name in `serve.data_dir`.
const NAME: &str = "address";
/// The most that is read of it: no address for cargo is longer.
const LONGEST: u64 = 2048;

/// Writes down where the server listens. Without it `cargo-config` only knows less, so a failure is no more than a warning.
pub fn record(config: &ServeConfig) {
    let mut config = config.clone();
    config.serve.listen = on_this_machine(config.serve.listen);
    let path = config.serve.data_dir.join(NAME);
    let text = format!("{}\n", config.public_url());
    if let Err(error) = super::cargo_config::replace(&path, &text) {
        warn!("cannot write {}: {error}", path.display());
    }
}

/// Adds the address of the server that last used the data directory, where the configuration says neither how clients reach
/// the server nor where it listens: with the port 0 the system chooses that.
#[must_use]
pub fn completed(mut config: ServeConfig) -> ServeConfig {
    let is_given =
        *config.origins.of("serve.listen") != Origin::Default && config.serve.listen.port() != 0;
    if config.serve.public_url.is_none() && !is_given {
        config.serve.public_url = read(&config.serve.data_dir.join(NAME));
    }
    config
}

fn read(path: &Path) -> Option<Url> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let url = Url::parse(text.trim()).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// Returns an address by which this machine reaches one that stands for all.
pub fn on_this_machine(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Environment, Flags};

    fn config(pairs: &[(&str, &str)]) -> ServeConfig {
        let environment = Environment::from_pairs(pairs.iter().copied());
        ServeConfig::load(&Flags::default(), &environment).unwrap()
    }

    #[test]
    fn what_a_server_wrote_down_is_used_where_nothing_else_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let data = ("FERRY_SERVE_DATA_DIR", folder.path().to_str().unwrap());
        let listen = ("FERRY_SERVE_LISTEN", "0.0.0.0:8080");
        let index = |pairs: &[(&str, &str)]| completed(config(pairs)).sparse_index();
        assert_eq!(index(&[data]), "http://127.0.0.1:8090/index/");
        record(&config(&[data, listen]));
        assert_eq!(index(&[data]), "http://127.0.0.1:8080/index/");
        let chosen = ("FERRY_SERVE_LISTEN", "127.0.0.1:0");
        assert_eq!(index(&[data, chosen]), "http://127.0.0.1:8080/index/");
        let given = ("FERRY_SERVE_LISTEN", "127.0.0.1:7");
        assert_eq!(index(&[data, given]), "http://127.0.0.1:7/index/");
        let named = ("FERRY_SERVE_PUBLIC_URL", "https://crates.example");
        assert_eq!(index(&[data, named]), "https://crates.example/index/");
        std::fs::write(folder.path().join(NAME), "file:///nothing").unwrap();
        assert_eq!(index(&[data]), "http://127.0.0.1:8090/index/");
    }
}
