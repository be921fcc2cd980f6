//! The smart HTTP transport against a real git server, against servers that misbehave, and through proxies.

mod environment;
mod faults;
mod proxies;
mod pushes;
mod real_server;
mod redirects;
pub mod script;

use std::sync::Arc;
use std::time::Duration;

use crates_ferry::git::transport::{BasicAuth, http::HttpRemote};
use crates_ferry::git::transport::{Limits, Proxies};
use crates_ferry::git::transport::{Reader, Traffic};
use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use url::Url;

/// The limits of a test that expects answers: long enough for a busy machine.
fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(30),
        extra_cas: None,
        proxies: Proxies::default(),
    }
}

/// The limits of a test that expects silence.
fn impatient() -> Limits {
    Limits {
        idle_timeout: Duration::from_millis(200),
        ..limits()
    }
}

fn login(user: &str, password: &str) -> Option<BasicAuth> {
    Some(BasicAuth {
        user: user.to_owned(),
        password: SecretString::from(password),
    })
}

fn remote(url: &str) -> HttpRemote {
    remote_as(url, None, &limits())
}

fn remote_as(url: &str, credentials: Option<BasicAuth>, limits: &Limits) -> HttpRemote {
    let traffic = Arc::new(Traffic::default());
    HttpRemote::new(&Url::parse(url).unwrap(), credentials, limits, traffic).unwrap()
}

async fn text(mut reader: Reader) -> String {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
