//! Mails of a server that is killed before it has sent them.

use std::net::TcpListener;

use super::database::Database;
use super::mailed::read;
use super::scene::REFUSE;
use crate::support::exim::{Exim, Options};
use crate::support::server::{Server, Site};

/// A mail server that takes a connection and says nothing.
struct SilentMailServer(TcpListener);

impl SilentMailServer {
    fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        let port = self.0.local_addr().unwrap().port();
        format!("smtp://127.0.0.1:{port}?tls=none")
    }

    /// Kills a server of this site when it is about to send a mail.
    fn kill(&self, server: Server) {
        let connection = self.0.accept().unwrap();
        server.kill();
        drop(connection);
    }
}

/// The variables of a server, first without the address of a mail server.
fn variables(site: &Site, exim: &Exim, database: &Database) -> Vec<(String, String)> {
    let advisories = database.address();
    let mut variables = site.variables_and(&[REFUSE, ("FERRY_POLICY_ADVISORIES", &advisories)]);
    variables.extend(exim.variables());
    variables
}

fn start(variables: &[(String, String)], silent: Option<&SilentMailServer>) -> Server {
    let mut variables = variables.to_vec();
    if let Some(silent) = silent {
        variables.push(("FERRY_MAIL_SMTP".to_owned(), silent.url()));
    }
    let server = Server::start(&variables);
    server.wait_until_ready();
    server
}

fn subjects(mails: &[String]) -> Vec<String> {
    let mut subjects: Vec<_> = mails.iter().map(|mail| read(mail).0).collect();
    subjects.sort();
    subjects
}

/// Says which keys a file of what is known has as still to be told.
fn pending(site: &Site, file: &str) -> Vec<String> {
    let text = std::fs::read(site.data().join(file)).unwrap_or_default();
    let known: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let pending = known["pending"].as_array().cloned().unwrap_or_default();
    let keys = pending.iter().map(|key| key.as_str().unwrap().to_owned());
    keys.collect()
}

/// Has the server notice what is new, kills it before that is mailed, and starts one that can mail it.
fn kill_and_start(
    server: Server,
    silent: &SilentMailServer,
    site: &Site,
    known: &str,
    variables: &[(String, String)],
) -> Server {
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("noticed", || pending(site, known).len() == 1);
    silent.kill(server);
    start(variables, None)
}

/// Checks all mails so far: how the subject of each begins and ends, in order, and who fetched what it is about.
fn check_mails(exim: &Exim, wanted: &[(&str, &str)]) {
    let mails = exim.messages(wanted.len());
    let told = subjects(&mails);
    let is_right = told
        .iter()
        .zip(wanted)
        .all(|(told, (first, last))| told.starts_with(first) && told.ends_with(last));
    assert!(is_right && told.len() == wanted.len(), "{told:?}");
    for mail in &mails {
        let text = read(mail).1;
        assert!(text.contains("by 127.0.0.1"), "{text}");
    }
}

#[test]
fn what_was_noticed_before_a_kill_is_mailed_once_after_it() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mut site = Site::new();
    for name in ["taken", "harmful", "later"] {
        site.publish(name, "1.0.0", name.as_bytes());
    }
    let database = Database::new(&site);
    let variables = variables(&site, &exim, &database);
    let silent = SilentMailServer::start();
    let server = start(&variables, Some(&silent));
    for name in ["taken", "harmful", "later"] {
        assert_eq!(server.download(name, "1.0.0").status, 200);
    }
    site.withdraw("taken", &["1.0.0"]);
    let withdrawn = ("withdrawn: ", ": taken 1.0.0");
    let server = kill_and_start(server, &silent, &site, "withdrawals-known.json", &variables);
    check_mails(&exim, &[withdrawn]);
    server.wait_for("told", || {
        pending(&site, "withdrawals-known.json").is_empty()
    });
    server.kill();

    let server = start(&variables, Some(&silent));
    database.harmful("RUSTSEC-2026-0002", "harmful");
    let server = kill_and_start(server, &silent, &site, "advisories-known.json", &variables);
    check_mails(&exim, &[("advisory: ", ": malicious harmful"), withdrawn]);
    server.wait_for("told", || {
        pending(&site, "advisories-known.json").is_empty()
    });
    server.kill();

    // Neither the next start nor the next refresh sends them again.
    let server = start(&variables, None);
    site.withdraw("later", &["1.0.0"]);
    assert_eq!(server.push_hook().status, 202);
    let told = subjects(&exim.messages(3));
    let is_later = told.iter().any(|told| told.ends_with(": later 1.0.0"));
    assert!(told.len() == 3 && is_later, "{told:?}");
}

#[test]
fn that_an_index_is_held_back_is_mailed_once_after_a_kill() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mut site = Site::new();
    site.publish("harmful", "1.0.0", b"harmful");
    let versions: Vec<_> = (0..51).map(|patch| format!("1.0.{patch}")).collect();
    for version in &versions {
        site.publish("many", version, b"many");
    }
    let database = Database::new(&site);
    let variables = variables(&site, &exim, &database);
    let silent = SilentMailServer::start();
    let server = start(&variables, Some(&silent));
    let versions: Vec<_> = versions.iter().map(String::as_str).collect();
    site.withdraw("many", &versions);
    assert_eq!(server.push_hook().status, 202);
    silent.kill(server);

    let server = start(&variables, None);
    let told = subjects(&exim.messages(1));
    assert!(told[0].starts_with("index held back: "), "{told:?}");
    let state = site.data().join("mails.json");
    server.wait_for("told", || {
        std::fs::read_to_string(&state).is_ok_and(|text| text.contains("index held back"))
    });
    server.kill();
    let server = start(&variables, None);
    assert_eq!(server.download("harmful", "1.0.0").status, 200);
    database.harmful("RUSTSEC-2026-0002", "harmful");
    assert_eq!(server.push_hook().status, 202);
    let told = subjects(&exim.messages(2));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("advisory: "), "{told:?}");
}
