//! Sends mails over SMTP: the only module that knows the mail library.

mod failure;
mod message;
mod session;

use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use secrecy::SecretString;
use tracing::{info, warn};

use crate::config::{Config, Network, Route};
use crate::error::{Error, Kind, Result};
use session::Session;

/// How long a mail may take, all tries together: it must not hold up a job that has failed already.
const LIMIT: Duration = Duration::from_secs(120);

/// A mail as it is meant: what it says, twice, and which mails it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The subject, without line breaks.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML.
    pub html: String,
    /// The same for all mails that belong together: letters, digits and `-` only.
    pub thread: String,
    /// When it was written.
    pub date: SystemTime,
}

/// What is needed to send mails.
#[derive(Debug, Clone, Copy)]
pub struct Post<'a> {
    /// Over which server, from whom, to whom.
    pub route: Route<'a>,
    /// The password of the user that the server's address names.
    pub password: Option<&'a SecretString>,
    /// Time limits, retries and trusted certificates.
    pub network: &'a Network,
}

/// How far a server lets us come, without a mail. A step that was not reached is `None`.
#[derive(Debug)]
pub struct Greeting {
    /// Whether it answers.
    pub connected: Result<String>,
    /// Whether the connection is protected as the address demands.
    pub encrypted: Option<Result<String>>,
    /// Whether it accepts the user.
    pub authenticated: Option<Result<String>>,
}

impl<'a> Post<'a> {
    /// Takes the way of mails from the configuration.
    ///
    /// # Errors
    /// `config` where no mails are wanted.
    pub fn of(config: &'a Config) -> Result<Self> {
        let route = config.mail.route().ok_or_else(|| {
            Error::new(Kind::Config, "no mail is configured")
                .advise("set mail.smtp, mail.from and mail.to")
        })?;
        Ok(Self {
            route,
            password: config.secrets.smtp_password.as_ref(),
            network: &config.network,
        })
    }

    /// Sends a mail to all recipients; returns an error for each that was refused while another was accepted.
    ///
    /// Tries again after failures that may pass, but never once the server may have taken the mail.
    ///
    /// # Errors
    /// `network`, `server`, `auth`, `permission` (sender or all recipients refused), or `config` (certificate not trusted,
    /// no TLS, no password).
    pub async fn send(&self, letter: &Letter) -> Result<Vec<Error>> {
        let message = message::compose(&self.route, letter)?;
        let delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(20))
            .with_jitter()
            .with_max_times(self.network.retries as usize);
        let sending = async || {
            let mut session = Session::open(self).await?;
            session.log_in(self).await?;
            session.deliver(&self.route, &message).await
        };
        let sending = sending
            .retry(delays)
            .when(|failed: &Undelivered| failed.may_retry())
            .notify(|failed, _| warn!("{}; trying again", failed.error));
        let refused = match tokio::time::timeout(LIMIT, sending).await {
            Ok(sent) => sent.map_err(|failed| failed.error)?,
            Err(_) => return Err(failure::too_long(&self.route, LIMIT)),
        };
        let accepted = self.route.to.len() - refused.len();
        info!("mailed {accepted} recipient(s) over {}", self.route.smtp);
        Ok(refused)
    }

    /// Connects, protects the connection and logs in, and mails nothing; each step is bounded by itself.
    pub async fn greet(&self) -> Greeting {
        session::greet(self).await
    }
}

/// Why a mail was not delivered.
struct Undelivered {
    error: Error,
    /// Whether the server may have taken the mail all the same.
    is_uncertain: bool,
}

impl Undelivered {
    fn may_retry(&self) -> bool {
        self.error.kind().is_transient() && !self.is_uncertain
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
