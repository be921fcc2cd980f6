//! Makes the mail of a letter: RFC 5322 headers, and the body as text and as HTML.

use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox as Header, MultiPart, SinglePart};
use lettre::{Address, Message};

use super::Letter;
use crate::config::{Mailbox, Route};
use crate::error::{Error, Kind, Result};

/// A mail as it goes to the server.
pub(super) struct Composed {
    /// Who sends it, and who gets it.
    pub(super) envelope: Envelope,
    /// Headers and body.
    pub(super) bytes: Vec<u8>,
}

pub(super) fn compose(route: &Route<'_>, letter: &Letter) -> Result<Composed> {
    let domain = &route.from.domain;
    let thread = format!("<{}@{domain}>", letter.thread);
    let mut builder = Message::builder()
        .from(header(route.from, Some("crates-ferry"))?)
        .subject(&letter.subject)
        .date(letter.date)
        .message_id(Some(format!("<{}@{domain}>", unique())))
        // The same in all mails about a mirror, so that readers show them together.
        .references(thread.clone())
        .in_reply_to(thread)
        .user_agent(concat!("crates-ferry/", env!("CARGO_PKG_VERSION")).to_owned());
    for (name, value) in [
        // RFC 3834: no answers from holidays.
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
    ] {
        let name = HeaderName::new_from_ascii_str(name);
        builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    for recipient in route.to {
        builder = builder.to(header(recipient, None)?);
    }
    let bodies = MultiPart::alternative()
        .singlepart(part(ContentType::TEXT_PLAIN, &letter.text))
        .singlepart(part(ContentType::TEXT_HTML, &letter.html));
    let message = builder.multipart(bodies).map_err(unmade)?;
    Ok(Composed {
        envelope: message.envelope().clone(),
        bytes: message.formatted(),
    })
}

/// Quoted-printable keeps every line short and the raw mail readable.
fn part(kind: ContentType, text: &str) -> SinglePart {
    SinglePart::builder()
        .header(kind)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(text.to_owned())
}

fn header(mailbox: &Mailbox, usual_name: Option<&str>) -> Result<Header> {
    let address = Address::new(&mailbox.local, &mailbox.domain).map_err(unmade)?;
    let name = mailbox.name.as_deref().or(usual_name).map(str::to_owned);
    Ok(Header::new(name, address))
}

fn unique() -> String {
    let mut bytes = [0; 16];
    // Without randomness the id is not unique, and the mail goes out all the same.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    hex::encode(bytes)
}

fn unmade(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Config, "the mail cannot be written")
        .because(cause)
        .advise("look at mail.from and mail.to")
}
