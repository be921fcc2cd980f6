//! What goes wrong: where a server is asked for, and what it does.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::sides::Side;
use crate::support::certificate;
use crate::support::faulty::{self, Fault};
use crate::support::upstream::Upstream;

/// One cause: its name, and the address of a server that shows it.
pub struct Cause {
    /// What is wrong.
    pub name: String,
    /// Scheme of HTTP, host and port.
    pub address: String,
    /// The file of the certificates that are trusted, if there is one.
    pub trusts: Option<PathBuf>,
    /// Whether the server says nothing.
    pub is_silence: bool,
}

/// The servers, and all that the programs need besides.
pub struct Causes {
    /// Everything is in here.
    pub folder: TempDir,
    tls: Vec<(&'static str, u16, Option<PathBuf>)>,
    silent: u16,
}

impl Causes {
    /// Makes the certificates, and starts the servers that are the same for all sides.
    pub fn prepare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        // Of a name that no authority of the system has.
        let made = |name: &str, names: &str, [from, to]: [&str; 2]| {
            certificate::make_for_dates(&place(name), names, from, to)
        };
        let (here, now) = ("IP:127.0.0.1", ["20200101000000Z", "22000101000000Z"]);
        let stranger = made("stranger", here, now);
        let expired = made("expired", here, ["20200101000000Z", "20210101000000Z"]);
        let future = made("future", here, ["22000101000000Z", "22010101000000Z"]);
        let elsewhere = made("elsewhere", "DNS:elsewhere.example", now);
        let mut tls = Vec::new();
        for (name, pair, is_trusted) in [
            ("TLS: an unknown authority", &stranger, false),
            ("TLS: expired, and known", &expired, true),
            ("TLS: expired, and unknown", &expired, false),
            ("TLS: not valid yet, and known", &future, true),
            ("TLS: not valid yet, and unknown", &future, false),
            ("TLS: the name of another host", &elsewhere, true),
        ] {
            let trusts = is_trusted.then(|| pair.0.clone());
            tls.push((name, faulty::start(Fault::shows(pair)), trusts));
        }
        Upstream::create(folder.path(), "index.git").publish_many("crate", 1);
        let silent = faulty::start(Fault::Silent);
        Self {
            folder,
            tls,
            silent,
        }
    }

    /// Returns the folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the causes that a side can meet.
    pub fn of(&self, side: Side) -> Vec<Cause> {
        let cause = |name: &str, address: String| Cause {
            name: name.to_owned(),
            address,
            trusts: None,
            is_silence: name == "silence",
        };
        if side == Side::GitlabReads {
            return answers(side);
        }
        let mut causes = vec![
            cause(
                "the name is not found",
                "http://no-such-host.invalid:81".to_owned(),
            ),
            cause("the connection is refused", "http://127.0.0.1:1".to_owned()),
            cause("silence", format!("http://127.0.0.1:{}", self.silent)),
        ];
        if side.speaks_tls() {
            causes.extend(self.tls.iter().map(|(name, port, trusts)| Cause {
                name: (*name).to_owned(),
                address: format!("https://127.0.0.1:{port}"),
                trusts: trusts.clone(),
                is_silence: false,
            }));
        }
        causes.extend(answers(side));
        causes
    }
}

fn answers(side: Side) -> Vec<Cause> {
    let started = |(name, fault)| Cause {
        name,
        address: format!("http://127.0.0.1:{}", faulty::start(fault)),
        trusts: None,
        is_silence: false,
    };
    side.answers().into_iter().map(started).collect()
}
