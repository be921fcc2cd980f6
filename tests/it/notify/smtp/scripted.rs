//! Servers that follow a script: they fall silent, hang up, or have a bad moment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crates_ferry::error::Kind;

use super::{fails, send, with};

/// What the server answers to its greeting and to EHLO, MAIL, RCPT, DATA, the mail, and QUIT.
const WELL: [&str; 7] = [
    "220 hello\r\n",
    "250-mail.example\r\n250 8BITMIME\r\n",
    "250 ok\r\n",
    "250 ok\r\n",
    "354 go on\r\n",
    "250 taken\r\n",
    "221 bye\r\n",
];

/// How a connection ends where the script has no answer left.
#[derive(Clone, Copy, PartialEq)]
enum End {
    HangUp,
    Silence,
}

struct Server {
    port: u16,
    /// What each connection has said.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Follows one script for each connection, the last one for all further ones.
    fn follow(scripts: Vec<(Vec<String>, End)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heard);
        // The thread ends with the process of the test; it holds nothing but its port.
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().enumerate() {
                let (answers, end) = scripts[count.min(scripts.len() - 1)].clone();
                shared.lock().unwrap().push(String::new());
                answer(stream.unwrap(), &answers, end, &shared);
            }
        });
        Self { port, heard }
    }

    fn variables(&self) -> Vec<(String, String)> {
        let smtp = format!("smtp://127.0.0.1:{}?tls=none", self.port);
        [
            ("FERRY_MAIL_SMTP", smtp.as_str()),
            ("FERRY_MAIL_FROM", "ferry@mirror.example"),
            ("FERRY_MAIL_TO", "ops@mirror.example"),
            ("FERRY_NETWORK_CONNECT_TIMEOUT", "100ms"),
            ("FERRY_NETWORK_IDLE_TIMEOUT", "100ms"),
            ("FERRY_NETWORK_RETRIES", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn connections(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

fn answer(stream: TcpStream, answers: &[String], end: End, heard: &Mutex<Vec<String>>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut is_mail = false;
    for answer in answers {
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
        is_mail |= answer.starts_with("354");
        if !listen(&mut reader, is_mail, heard) {
            return;
        }
        is_mail = false;
    }
    // Until the other side gives up.
    if end == End::Silence {
        while listen(&mut reader, false, heard) {}
    }
}

/// Reads a command, or a mail with its last dot; says whether there was one.
fn listen(reader: &mut BufReader<TcpStream>, is_mail: bool, heard: &Mutex<Vec<String>>) -> bool {
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(length) if length > 0 => {}
            _ => return false,
        }
        heard.lock().unwrap().last_mut().unwrap().push_str(&line);
        if !is_mail || line == ".\r\n" {
            return true;
        }
    }
}

/// The first so many answers of a server that is well, and perhaps one more.
fn script(count: usize, last: Option<&str>, end: End) -> (Vec<String>, End) {
    let answers = WELL.iter().take(count).copied().chain(last);
    (answers.map(str::to_owned).collect(), end)
}

#[test]
fn a_server_that_falls_silent_or_hangs_up_at_any_step_is_a_failure_that_may_pass() {
    for end in [End::Silence, End::HangUp] {
        for step in 0..6 {
            let server = Server::follow(vec![script(step, None, end)]);
            let error = send(&server.variables()).expect_err("the mail is sent");
            assert_eq!(
                error.kind().exit_code(),
                1,
                "{step}: {error} {:?}",
                error.causes()
            );
            // Once the whole mail has gone out it may have been taken: it is not sent again.
            let tries = if step == 5 { 1 } else { 2 };
            assert_eq!(server.connections(), tries, "{step}: {error}");
        }
    }
}

#[test]
fn a_bad_moment_is_waited_for_and_the_mail_sent_once() {
    let busy = script(2, Some("451 busy\r\n"), End::HangUp);
    let server = Server::follow(vec![busy, script(7, None, End::HangUp)]);
    send(&server.variables()).unwrap();
    let heard = server.heard.lock().unwrap();
    let mails: Vec<bool> = heard.iter().map(|said| said.contains("Subject:")).collect();
    assert_eq!(mails, [false, true]);
}

#[test]
fn a_mail_that_the_server_refuses_at_its_end_is_not_sent_again() {
    let server = Server::follow(vec![script(5, Some("554 spam\r\n"), End::HangUp)]);
    fails(&server.variables(), Kind::Permission, "554 spam");
    assert_eq!(server.connections(), 1);
}

#[test]
fn what_is_no_mail_server_is_told_apart() {
    let server = Server::follow(vec![(
        vec!["HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()],
        End::HangUp,
    )]);
    fails(&server.variables(), Kind::Server, "mail server");
    let endless = "250-more\r\n".repeat(1_000);
    let server = Server::follow(vec![script(1, Some(&endless), End::Silence)]);
    let error = send(&server.variables()).expect_err("the mail is sent");
    assert_eq!(error.kind().exit_code(), 1, "{error}");
}

#[test]
fn a_name_that_the_server_refuses_is_told_by_whichever_command_it_refuses_it() {
    let words = "5.5.2 <c0ffee>: Helo command rejected: need fully-qualified hostname\r\n";
    for (step, code, kind) in [
        (1, "504", Kind::Permission),
        (1, "550", Kind::Permission),
        (2, "501", Kind::Permission),
        (3, "504", Kind::Permission),
        (3, "450", Kind::Server),
    ] {
        let server = Server::follow(vec![script(
            step,
            Some(&format!("{code} {words}")),
            End::HangUp,
        )]);
        fails(&server.variables(), kind, "mail.hello");
    }
    // A refusal in place of the greeting is not about our name, of which the server knows nothing.
    let server = Server::follow(vec![script(0, Some("550 not from there\r\n"), End::HangUp)]);
    let error = fails(&server.variables(), Kind::Permission, "not from there");
    assert!(!error.advice().unwrap().contains("mail.hello"), "{error:?}");
}

#[test]
fn capabilities_are_read_in_small_letters_and_in_their_old_form() {
    for offer in ["auth=login plain", "AUTH=PLAIN", "auth plain", "Auth Plain"] {
        let mut answers = script(7, None, End::HangUp).0;
        answers[1] = format!("250-mail.example\r\n250 {offer}\r\n");
        answers.insert(2, "235 welcome\r\n".to_owned());
        let server = Server::follow(vec![(answers, End::HangUp)]);
        let url = format!("smtp://ferry@127.0.0.1:{}?tls=none", server.port);
        let login = [
            ("FERRY_MAIL_SMTP", url.as_str()),
            ("FERRY_SMTP_PASSWORD", "hunter2hunter2"),
        ];
        send(&with(server.variables(), &login)).unwrap();
        let heard = server.heard.lock().unwrap();
        assert!(heard[0].contains("AUTH PLAIN "), "{offer}: {heard:?}");
    }
    let mut answers = script(2, None, End::HangUp).0;
    answers[1] = "250-mail.example\r\n250 starttls\r\n".to_owned();
    answers.push("454 no key\r\n".to_owned());
    let server = Server::follow(vec![(answers, End::HangUp)]);
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let required = with(server.variables(), &[("FERRY_MAIL_SMTP", &url)]);
    fails(&required, Kind::Server, "refused STARTTLS");
}
