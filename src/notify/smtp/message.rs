//! Makes the message of an email: RFC 5322 headers, and the body as text and as HTML.

use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox as Header, MessageBuilder, MultiPart, SinglePart};

use super::Email;
use crate::config::{Mailbox, Route};
use crate::error::{Error, Kind, Result};

/// A message as it goes to the server.
pub(super) struct Message {
    /// The sender and the recipients.
    pub(super) envelope: Envelope,
    /// Headers and body.
    pub(super) bytes: Vec<u8>,
}

pub(super) fn compose(route: &Route<'_>, email: &Email) -> Result<Message> {
    let domain = &route.from.domain;
    let thread = format!("<{}@{domain}>", email.thread);
    let mut builder = MessageBuilder::new()
        .from(header(route.from, Some("crates-ferry"))?)
        .subject(&email.subject)
        .date(email.date)
        .message_id(Some(format!("<{}@{domain}>", unique())))
        // The same in all mails about a mirror, so that mail clients show them as one thread.
        .references(thread.clone())
        .in_reply_to(thread)
        .user_agent(concat!("crates-ferry/", env!("CARGO_PKG_VERSION")).to_owned());
    for (name, value) in [
        // RFC 3834, and what Exchange reads in its place: no out-of-office replies.
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
    ] {
        let name = HeaderName::new_from_ascii_str(name);
        builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    for recipient in route.to {
        builder = builder.to(header(recipient, None)?);
    }
    // Plain text first: a client shows the last part that it can (RFC 2046, 5.1.4).
    let bodies = MultiPart::alternative()
        .singlepart(part(ContentType::TEXT_PLAIN, &email.text))
        .singlepart(part(ContentType::TEXT_HTML, &email.html));
    let message = builder.multipart(bodies).map_err(invalid)?;
    Ok(Message {
        envelope: message.envelope().clone(),
        bytes: message.formatted(),
    })
}

/// Makes one of the bodies. Quoted-printable keeps every line within what SMTP allows, and the raw mail readable.
fn part(kind: ContentType, text: &str) -> SinglePart {
    SinglePart::builder()
        .header(kind)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(text.to_owned())
}

fn header(mailbox: &Mailbox, usual_name: Option<&str>) -> Result<Header> {
    let address = Address::new(&mailbox.local, &mailbox.domain).map_err(invalid)?;
    let name = mailbox.name.as_deref().or(usual_name).map(str::to_owned);
    Ok(Header::new(name, address))
}

fn unique() -> String {
    let mut bytes = [0; 16];
    // A Message-ID that is not unique is better than no mail.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    hex::encode(bytes)
}

fn invalid(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Config, "cannot write the mail")
        .because(cause)
        .advise("Check `mail.from` and `mail.to`.")
}
