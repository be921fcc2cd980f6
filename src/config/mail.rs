//! The section `mail`: a complete route for mails, or none.

use url::Host;

use super::keys::Key;
use super::sections::{self, Mail};
use super::settings::Settings;
use super::values::smtp::{Mailbox, SmtpServer};
use crate::error::{Error, Kind, Result};

/// The keys that make a route: all are given, or none.
const ROUTE: [&str; 3] = ["mail.smtp", "mail.from", "mail.to"];

/// The route that mails take: over this server, from here, to them.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The server that takes the mails.
    pub smtp: &'a SmtpServer,
    /// The sender's address.
    pub from: &'a Mailbox,
    /// The recipients' addresses; at least one.
    pub to: &'a [Mailbox],
    /// The name to say in EHLO, if one is given.
    pub hello: Option<&'a Host>,
}

impl Mail {
    /// Returns the route that mails take, or none where no mails are configured.
    pub fn route(&self) -> Option<Route<'_>> {
        match (&self.smtp, &self.from, self.to.as_slice()) {
            (Some(smtp), Some(from), to @ [_, ..]) => Some(Route {
                smtp,
                from,
                to,
                hello: self.hello.as_ref(),
            }),
            _ => None,
        }
    }
}

/// Reads the section, and refuses half a route: a mirror whose owner believes that failures are mailed must not fail in
/// silence.
pub(super) fn read(settings: &Settings) -> Result<Mail> {
    let mail = Mail::from_settings(settings)?;
    let is_given = [
        mail.smtp.is_some(),
        mail.from.is_some(),
        !mail.to.is_empty(),
    ];
    let with = |wanted: bool| {
        let mut both = ROUTE.iter().zip(is_given);
        both.find(|(_, is_given)| *is_given == wanted)
            .map(|(path, _)| sections::key(path))
    };
    // One of each is enough to say what is wrong and what is missing.
    match (with(true), with(false)) {
        (Some(given), Some(missing)) => Err(half(settings, given, missing)),
        _ => Ok(mail),
    }
}

fn half(settings: &Settings, given: &Key, missing: &Key) -> Error {
    let message = format!("needs {}, which is not set", missing.path);
    let error = Error::new(Kind::Config, message).advise(format!(
        "Set {} by {}. To send no mails, leave out {}.",
        missing.path,
        missing.how_to_set(),
        ROUTE.join(", "),
    ));
    settings.origins().blame(given.path, error)
}
