//! Turns failures of an SMTP session into errors with advice.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use lettre::transport::smtp::Error as SmtpError;
use tokio_rustls::rustls::pki_types::InvalidDnsNameError;

use crate::config::Route;
use crate::error::{Error, Kind};
use crate::git::transport::{Refusal, refusal};

/// The ends of messages by which [`is_about_tls`] recognises an error.
const CERTIFICATE: &str = "the server's certificate is not trusted";
const HANDSHAKE: &str = "the TLS handshake failed";

/// What to do about a name that the server does not accept in EHLO.
const HELLO_ADVICE: &str = "Set `mail.hello` to the name that DNS has for this machine, or to one that the administrator of \
                            that server allows.";

/// What lettre's parser says before the words that it cannot read.
const NO_REPLY: &str = "error Tag at: ";

/// Explains a failure; `about` is what the server was asked.
pub(super) fn explain(server: &str, about: &str, cause: SmtpError) -> Error {
    match cause.status() {
        Some(code) => {
            let code = code.to_string();
            refused(server, about, &code, &reply_text(&cause))
        }
        None => broken(server, about, innermost(&cause), cause.is_response()),
    }
}

/// Explains why EHLO failed; `name` is what we said in it.
pub(super) fn no_hello(server: &str, about: &str, name: &str, cause: SmtpError) -> Error {
    match cause.status() {
        Some(_) => explain(server, &format!("EHLO {name}"), cause),
        None => explain(server, about, cause),
    }
}

/// The server replied with a refusal.
fn refused(server: &str, about: &str, code: &str, reply: &str) -> Error {
    let refused = match about {
        "connecting" => "the connection",
        about => about,
    };
    let text = format!("{server}: refused {refused}: {code} {reply}");
    let text = text.trim_end().to_owned();
    // Some servers refuse the name of EHLO only when they know the recipient (`smtpd_delay_reject` of Postfix), and one that
    // is in no DNS for now (450).
    let is_hello = about.starts_with("EHLO ") && code.starts_with('5');
    if is_hello || reply.to_ascii_uppercase().contains("HELO") {
        let kind = match code.starts_with('4') {
            true => Kind::Server,
            false => Kind::Permission,
        };
        return Error::new(kind, text).advise(HELLO_ADVICE);
    }
    match code {
        // RFC 4954: authentication is required, is too weak, has failed, needs encryption.
        "530" | "534" | "535" | "538" if !about.starts_with("authenticating") => {
            Error::new(Kind::Auth, text).advise(
                "Name the user in `mail.smtp` (smtps://USER@HOST) and set FERRY_SMTP_PASSWORD: this server wants a login.",
            )
        }
        "530" | "534" | "535" | "538" => Error::new(Kind::Auth, text).advise(
            "Check the user in `mail.smtp` and FERRY_SMTP_PASSWORD. Some providers want an app password.",
        ),
        // RFC 5321: 4yz is a transient failure, 5yz a permanent one.
        _ if code.starts_with('4') => Error::new(Kind::Server, text).advise(
            "The refusal is temporary. If it persists, ask the administrator of that server.",
        ),
        _ => Error::new(Kind::Permission, text).advise(
            "Check `mail.from` and `mail.to`, and which senders and recipients the server allows this user.",
        ),
    }
}

/// The connection could not be made.
pub(super) fn unreachable(
    server: &str,
    cause: impl Into<Box<dyn StdError + Send + Sync>>,
) -> Error {
    Error::new(Kind::Network, format!("{server}: cannot connect"))
        .because(cause)
        .advise("Check host and port in `mail.smtp`, and the firewalls on the way.")
}

/// No address was found for the host, or none of them takes a connection; `cause` says which.
pub(super) fn not_connected(server: &str, cause: Error) -> Error {
    cause.on(server).advise(
        "Check host and port in `mail.smtp`, this machine's DNS, the firewalls on the way, and `network.connect_timeout`.",
    )
}

/// TLS has no form for the server's name.
pub(super) fn no_host_name(server: &str, cause: InvalidDnsNameError) -> Error {
    Error::new(
        Kind::Config,
        format!("{server}: the host cannot be verified by TLS"),
    )
    .because(cause)
    .advise("Use a host name or an IP address in `mail.smtp`.")
}

/// The TLS handshake failed.
pub(super) fn no_handshake(server: &str, about: &str, cause: &io::Error) -> Error {
    match refusal(cause) {
        Some(Refusal { cause, advice }) => {
            Error::new(Kind::Config, format!("{server}: {CERTIFICATE}"))
                .because(cause)
                .advise(advice)
        }
        None => broken(server, about, innermost(cause), false),
    }
}

/// The session broke off, or never began; `is_reply` says that the server said something else than SMTP.
///
/// rustls's messages tell a handshake that failed from a connection that was cut.
fn broken(server: &str, about: &str, innermost: String, is_reply: bool) -> Error {
    let lower = innermost.to_lowercase();
    // A server that begins in clear text sends `220 …`, which rustls calls a corrupt message.
    if lower.contains("corrupt message") || lower.contains("handshake") || lower.contains("alert") {
        return Error::new(Kind::Config, format!("{server}: {HANDSHAKE}"))
            .because(innermost)
            .advise(
                "Use smtps:// for a port that speaks TLS from the first byte (465), smtp:// for one that begins in clear \
                 text (587, 25).",
            );
    }
    if is_reply {
        return Error::new(
            Kind::Server,
            format!("{server}: invalid reply while {}", doing(about)),
        )
        .because(shown_reply(&innermost))
        .advise(
            "Check that a mail server listens there. smtps:// and smtp:// have different ports.",
        );
    }
    let message = match about {
        "connecting" => format!("{server}: cannot connect"),
        _ => format!("{server}: connection lost while {}", doing(about)),
    };
    Error::new(Kind::Network, message)
        .because(innermost)
        .advise("Check host and port in `mail.smtp`, and the firewalls on the way.")
}

/// The server did not reply in time.
pub(super) fn timed_out(server: &str, about: &str) -> Error {
    Error::new(Kind::Network, format!("{server}: timed out while {}", doing(about))).advise(
        "Check host and port in `mail.smtp`. `network.idle_timeout` says how long a server may be silent.",
    )
}

pub(super) fn too_long(route: &Route<'_>, limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::new(
        Kind::Network,
        format!("{}: the mail was not sent within {limit}", route.smtp),
    )
    .advise("Ask the administrator of that server.")
}

pub(super) fn no_starttls(server: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("{server}: the server offers no STARTTLS, so nothing was sent"),
    )
    .advise(
        "Use smtps:// if the port speaks TLS from the first byte (465). To send without TLS, end `mail.smtp` with \
         `?tls=opportunistic` or `?tls=none`.",
    )
}

pub(super) fn no_password(server: &str, user: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("{server}: FERRY_SMTP_PASSWORD is not set, but mail.smtp names the user {user}"),
    )
    .advise(
        "Set FERRY_SMTP_PASSWORD, or remove the user from `mail.smtp`. In GitLab, jobs see protected variables only on \
         protected branches and tags.",
    )
}

pub(super) fn no_user(server: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("{server}: FERRY_SMTP_PASSWORD is set, but mail.smtp names no user"),
    )
    .advise("Name the user in `mail.smtp`: smtps://USER@HOST.")
}

pub(super) fn password_in_clear(server: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("{server}: the connection is not encrypted, so the password is not sent"),
    )
    .advise("Remove `?tls=` from `mail.smtp`, or remove the user and FERRY_SMTP_PASSWORD.")
}

pub(super) fn no_mechanism(server: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("{server}: the server offers no password authentication (AUTH PLAIN or LOGIN)"),
    )
    .advise(
        "Remove the user and FERRY_SMTP_PASSWORD, or use the port for submissions (465 or 587).",
    )
}

/// Says whether TLS is what failed.
pub(super) fn is_about_tls(error: &Error) -> bool {
    let text = error.to_string();
    text.ends_with(CERTIFICATE) || text.ends_with(HANDSHAKE)
}

/// Says whether the server refused a command, so that the session can go on.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), Kind::Permission | Kind::Auth | Kind::Server)
        && error.to_string().contains(": refused ")
}

/// Returns what the server said where its reply is none, without the parser's words.
fn shown_reply(text: &str) -> String {
    match text.strip_prefix(NO_REPLY) {
        Some(said) => format!("the server says {}", said.trim()),
        None => text.to_owned(),
    }
}

fn doing(about: &str) -> String {
    match about {
        "connecting" => about.to_owned(),
        _ if about.starts_with("authenticating") => about.to_owned(),
        _ => format!("sending {about}"),
    }
}

/// Returns the text of a server's reply on one line.
fn reply_text(cause: &SmtpError) -> String {
    let reply = cause.source().map(ToString::to_string).unwrap_or_default();
    let lines = reply.lines().map(str::trim).filter(|line| !line.is_empty());
    let one_line = lines.collect::<Vec<_>>().join(" / ");
    one_line.replace(char::is_control, " ")
}

/// Returns the last cause: the errors above it only repeat it.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::row;

    #[test]
    fn each_failure_of_the_mail_server_advises_what_mends_it() {
        let server = "smtp://mail.example:587";
        let cut = || io::Error::from(io::ErrorKind::ConnectionReset);
        let other = |words: &str| io::Error::other(words.to_owned());
        let errors = [
            ("no connection", unreachable(server, cut())),
            (
                "a cut",
                broken(server, "the mail", cut().to_string(), false),
            ),
            (
                "no TLS",
                no_handshake(server, "connecting", &other("corrupt message")),
            ),
            (
                "no SMTP",
                broken(server, "connecting", "hello".into(), true),
            ),
            ("silence", timed_out(server, "the mail")),
            ("535", refused(server, "authenticating", "535", "no")),
            ("451", refused(server, "the mail", "451", "later")),
            (
                "550",
                refused(server, "the recipient a@b.example", "550", "no"),
            ),
            ("no STARTTLS", no_starttls(server)),
            ("no password", no_password(server, "ferry")),
            ("no user", no_user(server)),
            ("in clear", password_in_clear(server)),
            ("no mechanism", no_mechanism(server)),
        ];
        let rows = errors.iter().map(|(cause, error)| row(cause, error));
        insta::assert_snapshot!(rows.collect::<String>());
    }
}
