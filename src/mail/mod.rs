//! Sends mails over SMTP: the only module that knows the mail library.

use std::time::SystemTime;

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
