//! Makes our errors of what a mail server did or said.

use std::error::Error as StdError;
use std::time::Duration;

use lettre::transport::smtp::Error as SmtpError;

use crate::config::Route;
use crate::error::{Error, Kind};

/// What marks an error as one of TLS, for who has to tell it from one of the network.
const CERTIFICATE: &str = "the server's certificate is not accepted";
const HANDSHAKE: &str = "TLS cannot be agreed upon";

/// Explains a failure; `about` says what the server was asked.
pub(super) fn explain(server: &str, about: &str, cause: SmtpError) -> Error {
    match cause.status() {
        Some(code) => {
            let code = code.to_string();
            refused(server, about, &code, &words(&cause))
        }
        None => broken(server, about, cause),
    }
}

/// The server answered, and said no.
fn refused(server: &str, about: &str, code: &str, words: &str) -> Error {
    let text = format!("{server}: refused {about}: {code} {words}");
    let text = text.trim_end().to_owned();
    match code {
        "530" | "534" | "535" | "538" => Error::new(Kind::Auth, text).advise(
            "look at the user that mail.smtp names and at FERRY_SMTP_PASSWORD; some providers want a password made for \
             programs",
        ),
        _ if code.starts_with('4') => {
            Error::new(Kind::Server, text).advise("it may pass; if it stays so, ask whoever runs that server")
        }
        _ => Error::new(Kind::Permission, text)
            .advise("look at mail.from and mail.to, and at what the server lets this user send"),
    }
}

/// The conversation broke off, or never began.
fn broken(server: &str, about: &str, cause: SmtpError) -> Error {
    let innermost = innermost(&cause);
    let lower = innermost.to_lowercase();
    if lower.contains("certificate") || lower.contains("unknownissuer") {
        return Error::new(Kind::Config, format!("{server}: {CERTIFICATE}"))
            .because(innermost)
            .advise(
                "compare the host's name in mail.smtp with its certificate; name a company's own CA in network.ca_file",
            );
    }
    if lower.contains("corrupt message") || lower.contains("handshake") || lower.contains("alert") {
        return Error::new(Kind::Config, format!("{server}: {HANDSHAKE}"))
            .because(innermost)
            .advise("smtps:// is for ports that speak TLS at once (465), smtp:// for those that begin in clear (587, 25)");
    }
    if cause.is_response() {
        return Error::new(Kind::Server, format!("{server}: an unusable answer to {about}"))
            .because(innermost)
            .advise("look whether a mail server listens there; smtps:// and smtp:// have ports of their own");
    }
    let message = match about {
        "connecting" => format!("{server}: cannot connect"),
        _ => format!("{server}: the connection failed while {}", doing(about)),
    };
    Error::new(Kind::Network, message)
        .because(innermost)
        .advise("look at host and port of mail.smtp, and at firewalls between here and there")
}

/// A server that does not answer in time.
pub(super) fn silent(server: &str, about: &str) -> Error {
    Error::new(Kind::Network, format!("{server}: no answer in time while {}", doing(about)))
        .advise("look at host and port of mail.smtp; network.idle_timeout says how long a server may be silent")
}

pub(super) fn too_long(route: &Route<'_>, limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::new(
        Kind::Network,
        format!("{}: the mail took longer than {limit}", route.smtp),
    )
    .advise("ask whoever runs that server")
}

pub(super) fn no_starttls(server: &str) -> Error {
    Error::new(Kind::Config, format!("{server}: it offers no STARTTLS, so nothing is sent")).advise(
        "write smtps:// for a port that speaks TLS at once (465); `?tls=opportunistic` or `?tls=none` at the end of \
         mail.smtp does without",
    )
}

pub(super) fn no_password(server: &str, user: &str) -> Error {
    Error::new(Kind::Config, format!("{server}: FERRY_SMTP_PASSWORD is not set, and mail.smtp names the user {user}"))
        .advise(
            "set it, or leave the user away; in GitLab, a protected variable reaches protected branches and tags only",
        )
}

pub(super) fn no_user(server: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("{server}: FERRY_SMTP_PASSWORD is set, and mail.smtp names no user"),
    )
    .advise("write smtps://USER@HOST in mail.smtp")
}

pub(super) fn password_in_clear(server: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("{server}: the connection is not encrypted, so the password is not sent"),
    )
    .advise("leave `?tls=` in mail.smtp away, or leave the user and FERRY_SMTP_PASSWORD away")
}

pub(super) fn no_mechanism(server: &str) -> Error {
    Error::new(Kind::Config, format!("{server}: it offers no login that takes a password (AUTH PLAIN or LOGIN)"))
        .advise("leave the user and FERRY_SMTP_PASSWORD away, or use the port that is meant for logins (465, 587)")
}

pub(super) fn no_tls_here(server: &str, cause: SmtpError) -> Error {
    Error::new(Kind::Config, format!("{server}: TLS cannot be set up on this machine"))
        .because(innermost(&cause))
        .advise(
            "install the system's certificates (the package ca-certificates), name them in SSL_CERT_FILE, or check the \
             certificates of network.ca_file",
        )
}

/// Says whether TLS is what failed.
pub(super) fn is_about_tls(error: &Error) -> bool {
    let text = error.to_string();
    text.ends_with(CERTIFICATE) || text.ends_with(HANDSHAKE)
}

/// Says whether the server said no, so that the conversation can go on.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), Kind::Permission | Kind::Auth | Kind::Server)
        && error.to_string().contains(": refused ")
}

fn doing(about: &str) -> String {
    match about {
        "connecting" | "STARTTLS" => about.to_owned(),
        _ if about.starts_with("logging in") => about.to_owned(),
        _ => format!("offering {about}"),
    }
}

/// Returns a server's own words on one line.
fn words(cause: &SmtpError) -> String {
    let said = cause.source().map(ToString::to_string).unwrap_or_default();
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let one_line = lines.collect::<Vec<_>>().join(" / ");
    one_line.replace(char::is_control, " ")
}

/// Returns the last cause: those above it only repeat it.
fn innermost(error: &SmtpError) -> String {
    let mut last: &dyn StdError = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
