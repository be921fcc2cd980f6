//! One conversation with an SMTP server, step by step, each step within its time.

use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{Error as SmtpError, response::Response};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::message::Composed;
use super::{Greeting, Post, Undelivered, failure};
use crate::config::{Network, Route, SmtpServer, SmtpTls};
use crate::error::{Error, Result};

/// The mechanisms of RFC 4954 that take a password, the better first.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
/// How long the last word, after which nothing depends on the server, may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A conversation that is ready for mails.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    /// How long each answer may take.
    patience: Duration,
    /// The server, for messages.
    server: String,
}

/// Comes as far as a server lets us without a mail.
pub(super) async fn greet(post: &Post<'_>) -> Greeting {
    let server = post.route.smtp;
    let mut greeting = Greeting {
        connected: Ok(format!("{server} answers")),
        encrypted: None,
        authenticated: None,
    };
    let mut session = match Session::connect(post).await {
        Ok(session) => session,
        // Under smtps:// there is no answer before TLS; the two are told apart by what failed.
        Err(error) if failure::is_about_tls(&error) => {
            greeting.encrypted = Some(Err(error));
            return greeting;
        }
        Err(error) => {
            greeting.connected = Err(error);
            return greeting;
        }
    };
    let protected = session.protect(post).await;
    let went_well = protected.is_ok();
    greeting.encrypted = Some(protected.map(str::to_owned));
    // A connection whose upgrade failed is no connection any more, and the library panics when it is used.
    if went_well {
        greeting.authenticated = Some(session.log_in(post).await);
        session.leave().await;
    }
    greeting
}

impl Session {
    /// Connects and protects the connection as the server's address demands.
    pub(super) async fn open(post: &Post<'_>) -> Result<Self> {
        let mut session = Self::connect(post).await?;
        session.protect(post).await?;
        Ok(session)
    }

    async fn connect(post: &Post<'_>) -> Result<Self> {
        let (server, network) = (post.route.smtp, post.network);
        let implicit = match server.tls {
            SmtpTls::Implicit => Some(tls_parameters(server, network)?),
            _ => None,
        };
        let address = (server.host.as_str(), server.port);
        let hello = ClientId::default();
        let limit = network.connect_timeout + network.idle_timeout;
        let connecting = AsyncSmtpConnection::connect_tokio1(
            address,
            Some(network.connect_timeout),
            &hello,
            implicit,
            None,
        );
        let connected = timeout(limit, connecting).await;
        let server = server.to_string();
        let connection = connected
            .map_err(|_| failure::silent(&server, "connecting"))?
            .map_err(|e| failure::explain(&server, "connecting", e))?;
        Ok(Self {
            connection,
            patience: network.idle_timeout,
            server,
        })
    }

    /// Begins TLS where the address demands it, or allows it and the server offers it; says how it went.
    async fn protect(&mut self, post: &Post<'_>) -> Result<&'static str> {
        let server = post.route.smtp;
        let offered = self.connection.can_starttls();
        match server.tls {
            SmtpTls::Implicit => return Ok("TLS from the first byte, certificate trusted"),
            SmtpTls::None => return Ok("none, as ?tls=none says"),
            SmtpTls::Opportunistic if !offered => {
                return Ok(
                    "none: the server offers no STARTTLS, and ?tls=opportunistic lets that pass",
                );
            }
            SmtpTls::Required if !offered => return Err(failure::no_starttls(&self.server)),
            SmtpTls::Required | SmtpTls::Opportunistic => {}
        }
        let parameters = tls_parameters(server, post.network)?;
        let hello = ClientId::default();
        let upgrading = self.connection.starttls(parameters, &hello);
        timeout(self.patience, upgrading)
            .await
            .map_err(|_| failure::silent(&self.server, "STARTTLS"))?
            .map_err(|e| failure::explain(&self.server, "STARTTLS", e))?;
        Ok("STARTTLS, certificate trusted")
    }

    /// Logs in where the address names a user; says as whom. A password never goes over a network in clear.
    pub(super) async fn log_in(&mut self, post: &Post<'_>) -> Result<String> {
        let server = post.route.smtp;
        let (user, password) = match (&server.user, post.password) {
            (None, None) => return Ok("not needed: mail.smtp names no user".to_owned()),
            (Some(user), Some(password)) => (user, password),
            (Some(user), None) => return Err(failure::no_password(&self.server, user)),
            (None, Some(_)) => return Err(failure::no_user(&self.server)),
        };
        // Who strips STARTTLS of an opportunistic connection must not get the password for it.
        let is_meant = server.tls == SmtpTls::None && server.is_loopback();
        if !self.connection.is_encrypted() && !is_meant {
            return Err(failure::password_in_clear(&self.server));
        }
        let info = self.connection.server_info();
        if info.get_auth_mechanism(&MECHANISMS).is_none() {
            return Err(failure::no_mechanism(&self.server));
        }
        let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
        let logging_in = self.connection.auth(&MECHANISMS, &credentials);
        timeout(self.patience, logging_in)
            .await
            .map_err(|_| failure::silent(&self.server, "logging in"))?
            .map_err(|e| failure::explain(&self.server, &format!("logging in as {user}"), e))?;
        Ok(format!("accepts {user}"))
    }

    /// Hands a mail over; returns an error for each recipient that was refused while another was accepted.
    pub(super) async fn deliver(
        &mut self,
        route: &Route<'_>,
        mail: &Composed,
    ) -> Result<Vec<Error>, Undelivered> {
        let from = format!("the sender {}", route.from.address());
        let command = Mail::new(mail.envelope.from().cloned(), self.parameters(mail));
        self.command(&from, command).await?;
        let mut refused = Vec::new();
        for recipient in mail.envelope.to() {
            let command = Rcpt::new(recipient.clone(), Vec::new());
            let about = format!("the recipient {recipient}");
            match self.command(&about, command).await {
                Err(error) if failure::is_refusal(&error) => refused.push(error),
                answer => drop(answer?),
            }
        }
        if refused.len() == mail.envelope.to().len() {
            self.leave().await;
            return Err(refused.swap_remove(0).into());
        }
        self.command("the mail", Data).await?;
        self.hand_over(mail).await?;
        self.leave().await;
        Ok(refused)
    }

    async fn hand_over(&mut self, mail: &Composed) -> Result<(), Undelivered> {
        let handing = self.connection.message(&mail.bytes);
        let error = match timeout(self.patience, handing).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(cause)) => {
                let is_uncertain = cause.status().is_none();
                let error = failure::explain(&self.server, "the mail", cause);
                return Err(Undelivered {
                    error,
                    is_uncertain,
                });
            }
            Err(_) => failure::silent(&self.server, "the mail"),
        };
        Err(Undelivered {
            error,
            is_uncertain: true,
        })
    }

    /// What the server has to know beforehand of addresses beyond ASCII; bodies are ASCII as they are encoded.
    fn parameters(&self, mail: &Composed) -> Vec<MailParameter> {
        let info = self.connection.server_info();
        let mut parameters = Vec::new();
        let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        let addresses = mail.envelope.from().into_iter().chain(mail.envelope.to());
        if !addresses.into_iter().all(is_ascii) && info.supports_feature(Extension::SmtpUtfEight) {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mail.bytes.is_ascii() && info.supports_feature(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        parameters
    }

    async fn command(&mut self, about: &str, command: impl std::fmt::Display) -> Result<Response> {
        let answer: Result<Result<Response, SmtpError>, _> =
            timeout(self.patience, self.connection.command(command)).await;
        answer
            .map_err(|_| failure::silent(&self.server, about))?
            .map_err(|e| failure::explain(&self.server, about, e))
    }

    /// Says good-bye; what the server makes of it changes nothing.
    async fn leave(&mut self) {
        let _ = timeout(FAREWELL, self.connection.command(Quit)).await;
    }
}

/// Trusts the system's certificates and those of `network.ca_file`.
fn tls_parameters(server: &SmtpServer, network: &Network) -> Result<TlsParameters> {
    let unusable = |e: SmtpError| failure::no_tls_here(&server.to_string(), e);
    let mut builder = TlsParametersBuilder::new(server.host.clone());
    if let Some(pem) = &network.extra_cas {
        let certificates = Certificate::from_pem(pem.as_bytes()).map_err(unusable)?;
        builder = builder.add_root_certificate(certificates);
    }
    builder.build().map_err(unusable)
}
