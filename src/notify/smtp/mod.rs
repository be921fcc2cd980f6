//! Sends mails over SMTP: the only module that knows the mail library.
//!
//! lettre's `AsyncSmtpTransport` would send a mail in one call. It gives up at the first refused recipient, though, and its
//! error does not tell whether the server may have taken the mail, so that a retry could mail twice. Hence `session` goes
//! through the commands itself, on lettre's connection.

mod failure;
mod hello;
mod message;
mod session;
mod stream;

use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use secrecy::SecretString;
use tracing::{info, warn};

use crate::config::{Config, Network, Route};
use crate::error::{Error, Kind, Result};
use session::Session;

/// The deadline of a mail, retries included: a mail must not hold up a job that has failed already.
const LIMIT: Duration = Duration::from_secs(120);

/// A mail before it has a sender and recipients: what it says, and the thread it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The subject, without line breaks.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML.
    pub html: String,
    /// The same for all mails of a thread: letters, digits and `-` only.
    pub thread: String,
    /// When it was written.
    pub date: SystemTime,
}

/// Sends mails over one server.
#[derive(Debug, Clone, Copy)]
pub struct Mailer<'a> {
    /// The server, the sender and the recipients.
    pub route: Route<'a>,
    /// The password of the user that the server's address names.
    pub password: Option<&'a SecretString>,
    /// Timeouts, retries and trusted certificates.
    pub network: &'a Network,
}

/// How a server answers each step before a mail; a step that was not reached is `None`.
#[derive(Debug)]
pub struct SmtpProbe {
    /// Whether it answers.
    pub connected: Result<String>,
    /// Whether the connection is encrypted as the address demands.
    pub encrypted: Option<Result<String>>,
    /// Whether it authenticates the user.
    pub authenticated: Option<Result<String>>,
}

impl<'a> Mailer<'a> {
    /// Makes the mailer that the configuration describes.
    ///
    /// # Errors
    /// `config` where no mails are configured.
    pub fn of(config: &'a Config) -> Result<Self> {
        let route = config.mail.route().ok_or_else(|| {
            Error::new(Kind::Config, "no mail is configured")
                .advise("Set `mail.smtp`, `mail.from` and `mail.to`.")
        })?;
        Ok(Self {
            route,
            password: config.secrets.smtp_password.as_ref(),
            network: &config.network,
        })
    }

    /// Sends a mail to all recipients; returns an error for each recipient that was refused while another was accepted.
    ///
    /// Retries transient failures, but never once the server may have accepted the mail: one mail is better than two.
    ///
    /// # Errors
    /// `network`, `server`, `auth`, `permission` (sender or all recipients refused), or `config` (certificate not trusted,
    /// no TLS, no password).
    pub async fn send(&self, email: &Email) -> Result<Vec<Error>> {
        let message = message::compose(&self.route, email)?;
        let delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(20))
            .with_jitter()
            .with_max_times(self.network.retries as usize);
        let sending = async || {
            let mut session = Session::open(self).await?;
            session.authenticate(self).await?;
            session.deliver(&self.route, &message).await
        };
        let sending = sending
            .retry(delays)
            .when(|failed: &Undelivered| failed.may_retry())
            .notify(|failed, _| warn!("{}; retrying", failed.error));
        // Around all attempts, as for a command: what counts is when the job ends.
        let refused = match tokio::time::timeout(LIMIT, sending).await {
            Ok(sent) => sent.map_err(|failed| failed.error)?,
            Err(_) => return Err(failure::too_long(&self.route, LIMIT)),
        };
        let accepted = self.route.to.len() - refused.len();
        info!(
            "sent a mail to {accepted} recipient(s) over {}",
            self.route.smtp
        );
        Ok(refused)
    }

    /// Connects, begins TLS and authenticates, but sends no mail; each step has its own timeout.
    pub async fn probe(&self) -> SmtpProbe {
        session::probe(self).await
    }
}

/// Why a mail was not delivered.
struct Undelivered {
    error: Error,
    /// Whether the server may have accepted the mail nevertheless.
    is_uncertain: bool,
}

impl Undelivered {
    fn may_retry(&self) -> bool {
        self.error.is_transient() && !self.is_uncertain
    }
}

impl From<Error> for Undelivered {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_uncertain: false,
        }
    }
}
