//! The ssh transport: one connection to the server, one channel for each service.

mod channel;
mod connection;
mod host_key;
pub mod key;
pub mod known_hosts;

use std::fmt;
use std::sync::Arc;

use russh::Channel;
use russh::client::{Handle, Msg};
use russh::keys::PrivateKey;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::connection::Client;
use self::known_hosts::KnownHosts;
use super::ahead::Ahead;
use super::{Limits, RoundTrip, Service, Side, SshCredentials, Stderr, Stream, idle, tcp};
use crate::SshAddress;
use crate::error::{Error, Kind, Result};

/// A repository behind an sshd.
///
/// The connection is made when the first service is opened, and shared by all. A channel that is not read blocks the others:
/// read what each service sends, or drop its stream.
pub struct SshRemote {
    address: SshAddress,
    key: Option<Arc<PrivateKey>>,
    known_hosts: Arc<KnownHosts>,
    limits: Limits,
    side: Side,
    connection: Mutex<Option<Arc<Handle<Client>>>>,
    ahead: Ahead<Channel<Msg>>,
}

impl fmt::Debug for SshRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SshRemote").field(&self.url()).finish()
    }
}

impl SshRemote {
    /// Reads the key and the known hosts, without connecting.
    ///
    /// # Errors
    /// `config` if the key or the known hosts cannot be parsed. A missing key is an error only when a service is opened.
    pub fn new(address: SshAddress, credentials: &SshCredentials, limits: &Limits) -> Result<Self> {
        let passphrase = credentials.passphrase.as_ref();
        let key = match &credentials.private_key {
            Some(text) => Some(Arc::new(key::parse(text, passphrase)?)),
            None => None,
        };
        let (host, port) = (&address.host, address.port);
        let known_hosts = KnownHosts::parse(&credentials.known_hosts, host, port)?;
        Ok(Self {
            address,
            key,
            known_hosts: Arc::new(known_hosts),
            limits: limits.clone(),
            side: Side::default(),
            connection: Mutex::default(),
            ahead: Ahead::default(),
        })
    }

    /// Says which repository of the configuration it is; the mirror, where this is not called.
    #[must_use]
    pub fn on(self, side: Side) -> Self {
        Self { side, ..self }
    }

    /// Opens a service on its own channel; the next bytes read are its advertisement. `v2` requests protocol version 2, which an
    /// sshd without `AcceptEnv GIT_PROTOCOL` ignores.
    ///
    /// # Errors
    /// `network` and `server` for a server that cannot be reached or does not speak ssh, `host_key` for one that is not trusted,
    /// `auth` for one that does not accept the key, or without a key.
    pub async fn open(&self, service: Service, v2: bool) -> Result<Stream> {
        let channel = self.channel().await?;
        match self.run(channel, service, v2).await {
            // The connection ended as soon as the channel was open.
            Err(error) => {
                tracing::debug!(%error, "opening a new connection for the service");
                self.open_anew(service, v2).await
            }
            opened => opened,
        }
    }

    /// Begins to open a channel on the connection, if there is one, for a service that may be opened soon.
    pub(super) async fn open_channel_ahead(&self) {
        let connection = self.connection.lock().await.clone();
        let limit = self.limits.connect_timeout;
        if let Some(handle) = connection.filter(|handle| !handle.is_closed()) {
            self.ahead.begin(async move {
                timeout(limit, handle.channel_open_session())
                    .await
                    .ok()?
                    .ok()
            });
        }
    }

    /// Opens a service as [`SshRemote::open`] does, on a new connection, which those that follow share. The channels of the one before
    /// stay.
    ///
    /// # Errors
    /// As for [`SshRemote::open`].
    pub(super) async fn open_anew(&self, service: Service, v2: bool) -> Result<Stream> {
        let handle = Arc::new(self.connect().await?);
        *self.connection.lock().await = Some(Arc::clone(&handle));
        let channel = self.open_channel(&handle).await?;
        self.run(channel, service, v2).await
    }

    async fn run(&self, channel: Channel<Msg>, service: Service, v2: bool) -> Result<Stream> {
        let url = self.url();
        tracing::debug!(%url, service = service.name(), v2, "opening over ssh");
        let started = self.start(&channel, service, v2).await;
        started.map_err(|error| {
            let message = format!("cannot start {} on {url}", service.name());
            Error::new(Kind::Network, message).because(error)
        })?;
        let stderr = Stderr::default();
        let refusal = format!("the server refuses to run {}\n", service.name());
        let (reader, writer) = channel::halves(channel, stderr.clone(), refusal);
        let idle_timeout = self.limits.idle_timeout;
        Ok(idle::stream(reader, writer, stderr, idle_timeout))
    }

    async fn start(
        &self,
        channel: &Channel<Msg>,
        service: Service,
        v2: bool,
    ) -> Result<(), russh::Error> {
        if v2 {
            // No reply wanted: it would cost a round trip, and the advertisement shows anyhow which version is spoken.
            channel.set_env(false, "GIT_PROTOCOL", "version=2").await?;
        }
        // Not waiting for the reply saves a round trip; a refusal ends the stream and is in its `Stderr`.
        let command = format!("{} {}", service.name(), quote(&self.address.path));
        channel.exec(true, command).await
    }

    /// Opens a channel on the shared connection, or on a new one if that is gone or accepts no more channels (`MaxSessions`).
    async fn channel(&self) -> Result<Channel<Msg>> {
        if let Some(channel) = self.ahead.take().await {
            return Ok(channel);
        }
        let (handle, is_new) = self.shared().await?;
        match self.open_channel(&handle).await {
            // A new connection that opens no channel is given up: the next one would do no better.
            Err(error) if !is_new => {
                tracing::debug!(%error, "opening a new connection for another channel");
                let handle = self.renewed(&handle).await?;
                self.open_channel(&handle).await
            }
            opened => opened,
        }
    }

    async fn open_channel(&self, handle: &Handle<Client>) -> Result<Channel<Msg>> {
        let place = tcp::host_and_port(&self.address.host, self.address.port);
        let failed = || {
            Error::new(
                Kind::Network,
                format!("{place} does not open an ssh channel"),
            )
        };
        let _waiting = RoundTrip::begin(self.side, "an ssh channel");
        timeout(self.limits.connect_timeout, handle.channel_open_session())
            .await
            .map_err(|_| failed().because("timed out"))?
            .map_err(|error| failed().because(error))
    }

    /// Returns the shared connection, and whether it is new.
    async fn shared(&self) -> Result<(Arc<Handle<Client>>, bool)> {
        // Held while connecting, so that services opened at the same time wait for one connection instead of making
        // two.
        let mut connection = self.connection.lock().await;
        if let Some(handle) = connection.as_ref().filter(|handle| !handle.is_closed()) {
            return Ok((Arc::clone(handle), false));
        }
        let handle = Arc::new(self.connect().await?);
        *connection = Some(Arc::clone(&handle));
        Ok((handle, true))
    }

    /// Replaces a failed connection, once for all callers that notice. Its open channels stay.
    async fn renewed(&self, failed: &Arc<Handle<Client>>) -> Result<Arc<Handle<Client>>> {
        let mut connection = self.connection.lock().await;
        if let Some(handle) = connection.as_ref().filter(|one| !Arc::ptr_eq(one, failed)) {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(self.connect().await?);
        *connection = Some(Arc::clone(&handle));
        Ok(handle)
    }

    async fn connect(&self) -> Result<Handle<Client>> {
        let Some(key) = &self.key else {
            let message = format!("there is no ssh key for {}", self.url());
            return Err(Error::new(Kind::Auth, message).advise(self.side.without_key()));
        };
        tracing::debug!(url = %self.url(), "connecting by ssh");
        let (address, known_hosts) = (&self.address, &self.known_hosts);
        connection::connect(self.side, address, key, known_hosts, &self.limits).await
    }

    fn url(&self) -> String {
        let SshAddress {
            user,
            host,
            port,
            path,
        } = &self.address;
        let slash = if path.starts_with('/') { "" } else { "/" };
        let place = tcp::host_and_port(host, *port);
        format!("ssh://{user}@{place}{slash}{}", path.escape_debug())
    }
}

/// Quotes a path for the server's shell as git does: in single quotes, with `'` and `!` outside of them. The crate shlex quotes
/// otherwise, and git-shell and hosts' own parsers expect git's form.
fn quote(path: &str) -> String {
    let quoted = path.replace('\'', r"'\''").replace('!', r"'\!'");
    format!("'{quoted}'")
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quote("group/it.git"), "'group/it.git'");
        assert_eq!(quote("it's $(here) `!`"), r"'it'\''s $(here) `'\!'`'");
        for path in ["a'; touch b; '", "~/x y", "\\'\"$HOME", "wow!'"] {
            let script = format!("printf %s {}", quote(path));
            let shell = std::process::Command::new("sh")
                .args(["-c", &script])
                .output();
            assert_eq!(shell.map(|done| done.stdout).ok(), Some(path.into()));
        }
    }
}
