//! The way of a mail: to a real exim, and to servers that refuse, fall silent, or hang up at every step.

mod delivery;
mod scripted;

use std::time::{Duration, UNIX_EPOCH};

use crates_ferry::config::{Config, Environment, Flags};
use crates_ferry::error::{Error, Kind, Result};
use crates_ferry::notify::smtp::{Email, Mailer};

/// A line of a lone dot, a line too long for a mail, and letters beyond ASCII.
const TEXT: &str = "One\n.\nZwölf Boxkämpfer: ✓\n";

fn email() -> Email {
    Email {
        subject: "An email".to_owned(),
        text: format!("{TEXT}{}\n", "long ".repeat(400)),
        html: "<p>Zwölf</p>".to_owned(),
        thread: "crates-ferry-0123".to_owned(),
        date: UNIX_EPOCH + Duration::from_secs(1_780_000_000),
    }
}

/// Sends an email with these variables.
fn send(variables: &[(String, String)]) -> Result<Vec<Error>> {
    let mirror = ("FERRY_MIRROR_URL".to_owned(), "/no/such/mirror".to_owned());
    let variables = [mirror].into_iter().chain(variables.iter().cloned());
    let config = Config::load(&Flags::default(), &Environment::from_pairs(variables))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(Mailer::of(&config)?.send(&email()))
}

/// Sends an email, which must fail so.
fn fails(variables: &[(String, String)], kind: Kind, says: &str) -> Error {
    let error = send(variables).expect_err("the mail is sent");
    let told = format!("{error} {:?} {:?}", error.causes(), error.advice());
    assert_eq!(error.kind(), kind, "{told}");
    assert!(told.contains(says), "{says}: {told}");
    assert!(error.advice().is_some(), "{told}");
    error
}

/// Replaces variables or adds them.
fn with(variables: Vec<(String, String)>, changed: &[(&str, &str)]) -> Vec<(String, String)> {
    let changed = changed
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    variables.into_iter().chain(changed).collect()
}
