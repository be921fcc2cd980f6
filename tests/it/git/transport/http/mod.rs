//! The smart HTTP transport against a real git server, against servers that misbehave, and through proxies.

mod environment;
mod faults;
mod pushes;
mod real_server;
mod redirects;
pub mod script;

use std::sync::Arc;
use std::time::Duration;

use crates_ferry::config::Network;
use crates_ferry::transport::http::{Credentials, HttpRemote};
use crates_ferry::transport::{Reader, Traffic};
use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use url::Url;

/// The limits of a test that expects answers: long enough for a busy machine.
fn network() -> Network {
    Network {
        connect_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(30),
        timeout: Duration::from_secs(120),
        retries: 0,
        extra_cas: None,
    }
}

/// The limits of a test that expects silence.
fn impatient() -> Network {
    Network {
        idle_timeout: Duration::from_millis(200),
        ..network()
    }
}

fn login(user: &str, password: &str) -> Option<Credentials> {
    Some(Credentials {
        user: user.to_owned(),
        password: SecretString::from(password),
    })
}

fn remote(url: &str) -> HttpRemote {
    remote_as(url, None, &network())
}

fn remote_as(url: &str, credentials: Option<Credentials>, network: &Network) -> HttpRemote {
    let traffic = Arc::new(Traffic::default());
    HttpRemote::new(&Url::parse(url).unwrap(), credentials, network, traffic).unwrap()
}

async fn text(mut reader: Reader) -> String {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
