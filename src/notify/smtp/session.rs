//! One session with an SMTP server, command by command, each with a timeout.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Quit, Rcpt, Starttls};
use lettre::transport::smtp::extension::{
    ClientId, Extension, MailBodyParameter, MailParameter, ServerInfo,
};
use lettre::transport::smtp::{Error as SmtpError, response::Response};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::message::Message;
use super::{Mailer, SmtpProbe, Undelivered, failure, hello, stream};
use crate::config::{Route, SmtpTls};
use crate::error::{Error, Result};
use crate::git::transport::{connect_tcp, deadline};

/// The SASL mechanisms that take a password, the preferred first: PLAIN is a standard (RFC 4616), LOGIN is what some servers
/// offer instead.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
/// How long QUIT may take: nothing depends on its reply.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection to a server that has said EHLO.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    /// What the server's reply to the last EHLO offers.
    offers: ServerInfo,
    /// The name that we say in EHLO.
    name: ClientId,
    peer: SocketAddr,
    /// The socket under a connection in clear text, on which TLS may begin.
    socket: Option<TcpStream>,
    is_encrypted: bool,
    /// How long each reply may take.
    idle_timeout: Duration,
    /// The server's address, for error messages.
    server: String,
}

/// Goes through the steps before a mail, as far as the server lets us.
pub(super) async fn probe(mailer: &Mailer<'_>) -> SmtpProbe {
    let server = mailer.route.smtp;
    let mut probe = SmtpProbe {
        connected: Ok(format!("{server} answers")),
        encrypted: None,
        authenticated: None,
    };
    let mut session = match Session::connect(mailer).await {
        Ok(session) => session,
        // With smtps:// the TLS handshake comes before the first reply; the error tells which of the two failed.
        Err(error) if failure::is_about_tls(&error) => {
            probe.encrypted = Some(Err(error));
            return probe;
        }
        Err(error) => {
            probe.connected = Err(error);
            return probe;
        }
    };
    let encrypted = session.encrypt(mailer).await;
    let is_encrypted = encrypted.is_ok();
    probe.encrypted = Some(encrypted.map(str::to_owned));
    if is_encrypted {
        probe.authenticated = Some(session.authenticate(mailer).await);
        session.quit().await;
    }
    probe
}

impl Session {
    /// Connects, and begins TLS as the server's address demands.
    pub(super) async fn open(mailer: &Mailer<'_>) -> Result<Self> {
        let mut session = Self::connect(mailer).await?;
        session.encrypt(mailer).await?;
        Ok(session)
    }

    async fn connect(mailer: &Mailer<'_>) -> Result<Self> {
        let (server, network) = (mailer.route.smtp, mailer.network);
        let (name, about) = (server.to_string(), "connecting");
        let connecting = connect_tcp(&server.host, server.port, deadline(network.connect_timeout));
        let tcp = connecting
            .await
            .map_err(|error| failure::not_connected(&name, error))?;
        let unreachable = |error: io::Error| failure::unreachable(&name, error);
        let peer = tcp.peer_addr().map_err(unreachable)?;
        let hello = hello::name(&mailer.route, tcp.local_addr().map_err(unreachable)?.ip());
        let opening = async {
            if server.tls == SmtpTls::Implicit {
                let tls = stream::encrypt(mailer, about, tcp).await?;
                let connection = stream::unopened(tls, peer).await.map_err(unreachable)?;
                return Ok::<_, Error>((connection, None));
            }
            let (tcp, socket) = stream::doubled(tcp).map_err(unreachable)?;
            let connection = stream::unopened(tcp, peer).await.map_err(unreachable)?;
            Ok((connection, Some(socket)))
        };
        let (connection, socket) = timeout(network.idle_timeout, opening)
            .await
            .map_err(|_| failure::timed_out(&name, about))??;
        let mut session = Self {
            is_encrypted: socket.is_none(),
            connection,
            offers: ServerInfo::default(),
            name: hello,
            peer,
            socket,
            idle_timeout: network.idle_timeout,
            server: name,
        };
        session.read_greeting(about).await?;
        session.say_hello(about).await?;
        Ok(session)
    }

    async fn read_greeting(&mut self, about: &str) -> Result<()> {
        let greeting = timeout(self.idle_timeout, self.connection.read_response()).await;
        greeting
            .map_err(|_| failure::timed_out(&self.server, about))?
            .map_err(|e| failure::explain(&self.server, about, e))?;
        Ok(())
    }

    /// Says EHLO, and reads what the server offers.
    async fn say_hello(&mut self, about: &str) -> Result<()> {
        let command = Ehlo::new(self.name.clone());
        let reply = timeout(self.idle_timeout, self.connection.command(command))
            .await
            .map_err(|_| failure::timed_out(&self.server, about))?
            .map_err(|e| failure::no_hello(&self.server, about, &self.name.to_string(), e))?;
        self.offers =
            hello::offers(&reply).map_err(|e| failure::explain(&self.server, about, e))?;
        Ok(())
    }

    /// Begins TLS where the address demands it, or allows it and the server offers it; returns what was agreed, in words.
    async fn encrypt(&mut self, mailer: &Mailer<'_>) -> Result<&'static str> {
        let server = mailer.route.smtp;
        let offered = self.offers.supports_feature(Extension::StartTls);
        match server.tls {
            SmtpTls::Implicit => return Ok("TLS from the first byte, certificate trusted"),
            SmtpTls::None => return Ok("off (?tls=none)"),
            SmtpTls::Opportunistic if !offered => {
                return Ok(
                    "off: the server offers no STARTTLS, and ?tls=opportunistic allows that",
                );
            }
            SmtpTls::Required if !offered => return Err(failure::no_starttls(&self.server)),
            SmtpTls::Required | SmtpTls::Opportunistic => {}
        }
        self.command("STARTTLS", Starttls).await?;
        let Some(socket) = self.socket.take() else {
            return Err(failure::no_starttls(&self.server));
        };
        let upgrading = async {
            let tls = stream::encrypt(mailer, "STARTTLS", socket).await?;
            let connection = stream::unopened(tls, self.peer).await;
            connection.map_err(|error| failure::unreachable(&self.server, error))
        };
        // Replaces the connection in clear text as a whole: what somebody put into it before TLS began is dropped with it.
        self.connection = timeout(self.idle_timeout, upgrading)
            .await
            .map_err(|_| failure::timed_out(&self.server, "STARTTLS"))??;
        self.is_encrypted = true;
        // No greeting follows, but what was offered in clear text counts no longer (RFC 3207, 4.2).
        self.say_hello("STARTTLS").await?;
        Ok("STARTTLS, certificate trusted")
    }

    /// Authenticates where the address names a user; returns the result in words.
    ///
    /// A password never crosses a network in clear text.
    pub(super) async fn authenticate(&mut self, mailer: &Mailer<'_>) -> Result<String> {
        let server = mailer.route.smtp;
        let (user, password) = match (&server.user, mailer.password) {
            (None, None) => return Ok("not needed: mail.smtp names no user".to_owned()),
            (Some(user), Some(password)) => (user, password),
            (Some(user), None) => return Err(failure::no_password(&self.server, user)),
            (None, Some(_)) => return Err(failure::no_user(&self.server)),
        };
        // Whoever strips STARTTLS from an opportunistic connection must not get the password.
        let is_allowed = server.tls == SmtpTls::None && server.is_loopback();
        if !self.is_encrypted && !is_allowed {
            return Err(failure::password_in_clear(&self.server));
        }
        let Some(mechanism) = self.offers.get_auth_mechanism(&MECHANISMS) else {
            return Err(failure::no_mechanism(&self.server));
        };
        let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
        let mechanism = [mechanism];
        let authenticating = self.connection.auth(&mechanism, &credentials);
        timeout(self.idle_timeout, authenticating)
            .await
            .map_err(|_| failure::timed_out(&self.server, "authenticating"))?
            .map_err(|e| failure::explain(&self.server, &format!("authenticating as {user}"), e))?;
        Ok(format!("accepts {user}"))
    }

    /// Sends a message; returns an error for each recipient that was refused while another was accepted.
    pub(super) async fn deliver(
        &mut self,
        route: &Route<'_>,
        message: &Message,
    ) -> Result<Vec<Error>, Undelivered> {
        let from = format!("the sender {}", route.from.address());
        let command = Mail::new(message.envelope.from().cloned(), self.parameters(message));
        self.command(&from, command).await?;
        let mut refused = Vec::new();
        for recipient in message.envelope.to() {
            let command = Rcpt::new(recipient.clone(), Vec::new());
            let about = format!("the recipient {recipient}");
            // The other recipients still get the mail: one bad address must not keep it from everybody.
            match self.command(&about, command).await {
                Err(error) if failure::is_refusal(&error) => refused.push(error),
                reply => drop(reply?),
            }
        }
        // Not empty then: lettre makes no envelope without recipients.
        if refused.len() == message.envelope.to().len() {
            self.quit().await;
            return Err(refused.swap_remove(0).into());
        }
        self.command("the mail", Data).await?;
        // From here on the server may accept the mail although its reply is lost (RFC 5321, 6.1): no retry after that.
        self.send_data(message).await?;
        self.quit().await;
        Ok(refused)
    }

    async fn send_data(&mut self, message: &Message) -> Result<(), Undelivered> {
        let sending = self.connection.message(&message.bytes);
        let error = match timeout(self.idle_timeout, sending).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(cause)) => {
                // A reply with a status is a refusal; without one, the server may have accepted what it got.
                let is_uncertain = cause.status().is_none();
                let error = failure::explain(&self.server, "the mail", cause);
                return Err(Undelivered {
                    error,
                    is_uncertain,
                });
            }
            Err(_) => failure::timed_out(&self.server, "the mail"),
        };
        Err(Undelivered {
            error,
            is_uncertain: true,
        })
    }

    /// Returns the extensions that MAIL must announce for addresses beyond ASCII; bodies are encoded as ASCII.
    fn parameters(&self, message: &Message) -> Vec<MailParameter> {
        let info = &self.offers;
        let mut parameters = Vec::new();
        let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        let addresses = message
            .envelope
            .from()
            .into_iter()
            .chain(message.envelope.to());
        if !addresses.into_iter().all(is_ascii) && info.supports_feature(Extension::SmtpUtfEight) {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !message.bytes.is_ascii() && info.supports_feature(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        parameters
    }

    async fn command(&mut self, about: &str, command: impl std::fmt::Display) -> Result<Response> {
        let reply: Result<Result<Response, SmtpError>, _> =
            timeout(self.idle_timeout, self.connection.command(command)).await;
        reply
            .map_err(|_| failure::timed_out(&self.server, about))?
            .map_err(|e| failure::explain(&self.server, about, e))
    }

    /// Ends the session; the reply changes nothing.
    async fn quit(&mut self) {
        let _ = timeout(QUIT_TIMEOUT, self.connection.command(Quit)).await;
    }
}
