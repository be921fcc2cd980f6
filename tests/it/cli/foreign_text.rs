//! What a server says is shown, and neither obeyed by a terminal nor taken for a line of ours.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use super::{ferry, stderr, stdout};
use crate::support::frames::packet;

/// Clears a terminal, sets its title, turns the direction of writing, goes back to the start of the line, and begins a new one.
const NASTY: &str = "\u{1b}[2J\u{1b}]0;mine\u{7}\u{202e}gpj\u{2066}\u{200b}\u{9b}1m\rover\nerror[forged]: x\n  help: forged";

/// A server of `git://` that says the same in each connection, whatever it is asked.
pub(super) struct Says {
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

impl Says {
    pub(super) fn start(words: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let mut length = [0; 4];
            loop {
                let mut stream = listener.accept().unwrap().0;
                if stream.read_exact(&mut length).is_err() {
                    return;
                }
                let words = words.clone();
                // A command has several connections at once.
                thread::spawn(move || say(stream, &words));
            }
        });
        let serving = Some(serving);
        Self { address, serving }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers one connection, until the other side closes it.
fn say(mut stream: TcpStream, words: &[u8]) {
    // The client may have hung up.
    let _ = stream.write_all(words);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

impl Drop for Says {
    fn drop(&mut self) {
        // A connection without a request ends it.
        drop(TcpStream::connect(self.address).unwrap());
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

/// Fails if a terminal would do anything with a text but show its lines, or if one of them is the server's.
fn is_harmless(shown: &str, what: &str) {
    let obeyed = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}".contains(c);
    assert!(!shown.contains(obeyed), "{what}: {shown:?}");
    for line in shown.lines() {
        let line = line.trim_start();
        let forged = line.starts_with("error[forged]") || line.starts_with("help: forged");
        assert!(!forged, "{what}: {shown}");
    }
}

#[test]
fn what_a_server_says_is_shown_and_not_obeyed() {
    let id = "1".repeat(40);
    let cases = [
        ("a refusal", packet(format!("ERR {NASTY}"))),
        (
            "an object format",
            [
                packet("version 2\n"),
                packet("fetch=shallow filter\n"),
                packet(format!("object-format={NASTY}\n")),
                b"0000".to_vec(),
            ]
            .concat(),
        ),
        (
            "the branch of HEAD",
            [
                packet("version 2\n"),
                packet("ls-refs\n"),
                packet("fetch=shallow filter\n"),
                b"0000".to_vec(),
                packet(format!(
                    "{id} HEAD symref-target:refs/heads/{}\n",
                    &NASTY[..22]
                )),
                packet(format!("{id} refs/heads/master\n")),
                b"0000".to_vec(),
            ]
            .concat(),
        ),
        ("garbage", packet(NASTY)),
    ];
    let folder = TempDir::new().unwrap();
    for (what, words) in cases {
        let server = Says::start(words);
        let url = format!("git://{}/a.git", server.address);
        let variables = [
            ("FERRY_MIRROR_URL", &*url),
            ("FERRY_UPSTREAM_URL", &url),
            ("FERRY_NETWORK_RETRIES", "1"),
        ];
        for (command, format) in ["sync", "check"]
            .into_iter()
            .flat_map(|c| [(c, "text"), (c, "json")])
        {
            let arguments = ["-vv", "--format", format, "--report", "report", command];
            let output = ferry(folder.path(), &arguments)
                .envs(variables)
                .output()
                .unwrap();
            let what = format!("{what}, {command}, {format}");
            // The packet trace shows what came, harmless.
            assert!(stderr(&output).contains("gpj"), "{what}: {output:?}");
            is_harmless(&stdout(&output), &what);
            is_harmless(&stderr(&output), &what);
            let report = std::fs::read_to_string(folder.path().join("report")).unwrap();
            is_harmless(&report, &what);
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            let texts = texts(&report);
            texts.iter().for_each(|text| is_harmless(text, &what));
        }
    }
}

/// Returns every text in a JSON value.
fn texts(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(values) => values.iter().flat_map(texts).collect(),
        serde_json::Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
