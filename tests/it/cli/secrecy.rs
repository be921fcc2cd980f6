//! No secret is among what the program writes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::{ferry, run, stderr, stdout};
use crate::support::server::Site;

/// Arguments, the private key's variable, the mirror's, and `ferry.yml`.
type Case<'a> = (
    &'a [&'a str],
    (&'a str, &'a str),
    (&'a str, &'a str),
    &'a str,
);

const MARKER: &str = "hunter2hunter2";

#[test]
fn no_secret_is_ever_shown() {
    let address = format!("https://me:{MARKER}@mirror.invalid/a");
    let key = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{MARKER}\n-----END OPENSSH PRIVATE KEY-----\n"
    );
    let secrets = [
        ("FERRY_MIRROR_TOKEN", MARKER),
        ("SSH_KEY_PASSPHRASE", MARKER),
        ("CI_JOB_TOKEN", MARKER),
        ("CI_SERVER_HOST", "mirror.invalid"),
        ("FERRY_UPSTREAM_URL", "/no/such/upstream"),
    ];
    let file = format!("mirror: {{ url: '{address}' }}");
    let bad_file = format!("mirror: {address}");
    let cases: [Case; 7] = [
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            (
                "FERRY_MIRROR_URL",
                "ftp://me:hunter2hunter2@mirror.invalid/a",
            ),
            "",
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", MARKER),
            ("FERRY_MIRROR_URL", "/no/such/mirror"),
            "",
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            (
                "FERRY_MIRROR_URL",
                "ssh://me:hunter2hunter2@mirror.invalid/a",
            ),
            "",
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            ("FERRY_MIRROR_URL", "/no/such/mirror"),
            "",
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            ("FERRY_MIRROR_URL", ""),
            &file,
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            ("FERRY_MIRROR_URL", ""),
            &bad_file,
        ),
        (
            &["sync", "--mirror", &address],
            ("SSH_PRIVATE_KEY", &key),
            ("FERRY_MIRROR_URL", ""),
            "",
        ),
    ];
    for (arguments, private_key, mirror, ferry_yml) in cases {
        for format in ["text", "json"] {
            let arguments = [arguments, &["-vv", "--format", format]].concat();
            let variables = [&secrets[..], &[private_key, mirror]].concat();
            let output = run(&arguments, &variables, ferry_yml);
            assert!(!output.status.success(), "{output:?}");
            let shown = stdout(&output) + &stderr(&output);
            assert!(shown.contains("error"), "{shown}");
            assert!(
                !shown.contains(MARKER),
                "{arguments:?} {mirror:?} {ferry_yml}\n{shown}"
            );
        }
    }
}

/// An HTTP server that refuses every request and repeats its credentials, as they are and decoded.
struct Echo {
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving =
            thread::spawn(
                move || {
                    while refuse(listener.accept().unwrap().0, status).is_some() {}
                },
            );
        let serving = Some(serving);
        Self { address, serving }
    }
}

/// Refuses one request; `None` if the connection ends without one.
fn refuse(mut stream: TcpStream, status: &str) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let basic = lines.find_map(|line| line.strip_prefix("authorization: Basic "));
    let basic = basic.unwrap_or_default();
    let decoded = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    let body = format!("denied for {basic} = {decoded}");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).unwrap();
    Some(())
}

impl Drop for Echo {
    fn drop(&mut self) {
        // A connection without a request ends it.
        drop(TcpStream::connect(self.address).unwrap());
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

#[test]
fn a_secret_that_a_server_repeats_is_masked_wherever_it_would_be_shown() {
    let folder = TempDir::new().unwrap();
    let basic = STANDARD.encode(format!("oauth2:{MARKER}"));
    // The first status is final. The second is retried, and the log says why, with the address: somebody took it for the
    // place of a token.
    for (status, retries, commands) in [
        ("403 Forbidden", "0", &["sync", "init", "check"][..]),
        ("503 Service Unavailable", "1", &["sync"]),
    ] {
        let echo = Echo::start(status);
        let mirror = format!("http://{}/{MARKER}/a.git", echo.address);
        let upstream = format!("http://oauth2:{MARKER}@{}/{MARKER}/b.git", echo.address);
        let variables = [
            ("FERRY_MIRROR_TOKEN", MARKER),
            ("FERRY_MIRROR_URL", &mirror),
            ("FERRY_UPSTREAM_URL", &upstream),
            ("FERRY_NETWORK_RETRIES", retries),
        ];
        for (command, format) in commands.iter().flat_map(|c| [(c, "text"), (c, "json")]) {
            let arguments = ["-vv", "--format", format, "--report", "report", command];
            let output = ferry(folder.path(), &arguments).envs(variables).output();
            let output = output.unwrap();
            let report = std::fs::read_to_string(folder.path().join("report")).unwrap();
            let shown = [stdout(&output), stderr(&output), report].concat();
            assert!(
                shown.contains("denied for ") && shown.contains("[masked]"),
                "{command} {format}: {shown}"
            );
            assert_eq!(retries == "1", shown.contains("retrying"), "{shown}");
            for secret in [MARKER, &basic, &basic[12..]] {
                assert!(!shown.contains(secret), "{command} {format}: {shown}");
            }
        }
    }
}

#[test]
fn clients_learn_no_secret_that_upstream_repeats() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", MARKER.as_bytes());
    let echo = Echo::start("403 Forbidden");
    let upstream = format!("http://oauth2:{MARKER}@{}/{MARKER}/b.git", echo.address);
    let index = site.index.path().display().to_string();
    let token = ("FERRY_MIRROR_TOKEN", MARKER);
    let server = site.serve(&[
        ("FERRY_UPSTREAM_URL", &upstream),
        ("FERRY_SERVE_INDEX", &index),
        token,
    ]);
    let got = server.download("foo", "1.0.0");
    assert_eq!(got.status, 502);
    let detail = got.detail();
    // Somebody took the address for the place of a token.
    assert!(
        detail.contains("/[masked]/b.git") && !detail.contains(MARKER),
        "{detail}"
    );
    drop(server);
    // A crate file is what its checksum says, whatever it holds.
    let got = site.serve(&[token]).download("foo", "1.0.0");
    assert!(got.is_whole && got.body == MARKER.as_bytes());
}
