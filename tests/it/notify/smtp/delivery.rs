//! A real mail server: protected or not, and with everything that it refuses.

use std::net::TcpListener;

use crates_ferry::error::Kind;
use mail_parser::MessageParser;

use super::{TEXT, fails, send, with};
use crate::support::exim::{Exim, Options, PASSWORD};

const NO_TLS: Options = Options {
    starttls: false,
    implicit: false,
    wants_login: false,
    certified: "IP:127.0.0.1",
    password: PASSWORD,
};

#[test]
fn a_mail_arrives_over_starttls_over_tls_and_over_neither() {
    let implicit = Options {
        implicit: true,
        ..Options::default()
    };
    for options in [Options::default(), implicit, NO_TLS] {
        let Some(exim) = Exim::start(&options) else {
            return;
        };
        let refused = send(&exim.variables()).unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        let raw = &exim.messages(1)[0];
        let mail = MessageParser::default().parse(raw.as_str()).unwrap();
        let text = mail.body_text(0).unwrap().replace("\r\n", "\n");
        assert!(text.starts_with(TEXT) && text.len() > 2_000, "{text}");
        assert!(raw.lines().all(|line| line.len() < 998), "{raw}");
        let protected = exim.log().contains(" X=TLS");
        assert_eq!(protected, options.starttls, "{}", exim.log());
        assert_eq!(exim.log().contains(" A=plain:ferry"), options.wants_login);
    }
}

#[test]
fn an_opportunistic_mail_takes_starttls_where_it_is_offered() {
    for options in [
        NO_TLS,
        Options {
            starttls: true,
            ..NO_TLS
        },
    ] {
        let Some(exim) = Exim::start(&options) else {
            return;
        };
        let url = format!("smtp://127.0.0.1:{}?tls=opportunistic", exim.port());
        send(&with(exim.variables(), &[("FERRY_MAIL_SMTP", &url)])).unwrap();
        exim.messages(1);
        assert_eq!(exim.log().contains(" X=TLS"), options.starttls);
    }
}

#[test]
fn a_strict_server_hears_the_name_that_is_configured_the_senders_domain_or_an_address() {
    let Some(exim) = Exim::start(&NO_TLS) else {
        return;
    };
    for (number, (name, value, heard)) in [
        ("FERRY_MAIL_HELLO", "", "mirror.example"),
        ("FERRY_MAIL_HELLO", "ci.example", "ci.example"),
        ("FERRY_MAIL_HELLO", "[192.0.2.7]", "[192.0.2.7]"),
        ("FERRY_MAIL_HELLO", "2001:db8::7", "[IPv6:2001:db8::7]"),
        (
            "FERRY_MAIL_FROM",
            "ferry@müll.example",
            "xn--mll-hoa.example",
        ),
        ("FERRY_MAIL_FROM", "ferry@localhost", "[127.0.0.1]"),
    ]
    .into_iter()
    .enumerate()
    {
        send(&with(exim.variables(), &[(name, value)])).unwrap();
        exim.messages(number + 1);
        let log = exim.log();
        assert!(log.contains(&format!("({heard})")), "{heard}: {log}");
    }
    let unknown = with(exim.variables(), &[("FERRY_MAIL_HELLO", "c0ffee")]);
    let error = fails(&unknown, Kind::Permission, "that is no name of a host");
    assert!(error.to_string().contains("EHLO c0ffee"), "{error}");
    assert!(error.advice().unwrap().contains("mail.hello"), "{error:?}");
}

#[test]
fn a_name_with_a_comma_is_one_recipients() {
    let Some(exim) = Exim::start(&NO_TLS) else {
        return;
    };
    let to = "\"Ops, Team\" <ops@mirror.example>, night@mirror.example";
    let refused = send(&with(exim.variables(), &[("FERRY_MAIL_TO", to)])).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    let raw = &exim.messages(1)[0];
    let mail = MessageParser::default().parse(raw.as_str()).unwrap();
    let to: Vec<_> = mail.to().unwrap().iter().collect();
    let named = |at: usize| (to[at].name(), to[at].address());
    assert_eq!(named(0), (Some("Ops, Team"), Some("ops@mirror.example")));
    assert_eq!(named(1), (None, Some("night@mirror.example")));
}

#[test]
fn without_starttls_nothing_is_sent_unless_it_is_said_to_be_right() {
    let Some(exim) = Exim::start(&NO_TLS) else {
        return;
    };
    let url = format!("smtp://127.0.0.1:{}", exim.port());
    let variables = with(exim.variables(), &[("FERRY_MAIL_SMTP", &url)]);
    fails(&variables, Kind::Config, "offers no STARTTLS");
    let url = format!("smtp://ferry@127.0.0.1:{}?tls=opportunistic", exim.port());
    let login = [
        ("FERRY_MAIL_SMTP", url.as_str()),
        ("FERRY_SMTP_PASSWORD", "hunter2hunter2"),
    ];
    fails(
        &with(exim.variables(), &login),
        Kind::Config,
        "the password is not sent",
    );
    assert!(exim.messages(0).is_empty());
}

#[test]
fn what_the_server_refuses_is_told_in_its_words() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let mine = |changed: &[(&str, &str)]| with(exim.variables(), changed);
    let wrong = fails(
        &mine(&[("FERRY_SMTP_PASSWORD", "wrong-one")]),
        Kind::Auth,
        "535",
    );
    assert!(!format!("{wrong:?}").contains("wrong-one"), "{wrong:?}");
    fails(
        &mine(&[("FERRY_SMTP_PASSWORD", "")]),
        Kind::Config,
        "FERRY_SMTP_PASSWORD is not set",
    );
    fails(
        &mine(&[(
            "FERRY_MAIL_TO",
            "nobody@mirror.example,nobody2@mirror.example",
        )]),
        Kind::Permission,
        "there is nobody of that name",
    );
    fails(
        &mine(&[("FERRY_MAIL_FROM", "stranger@mirror.example")]),
        Kind::Permission,
        "we do not know you",
    );
    assert!(exim.messages(0).is_empty());
}

#[test]
fn a_refused_recipient_keeps_the_mail_from_nobody_else() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let to = "nobody@mirror.example, Ops <ops@mirror.example>";
    let refused = send(&with(exim.variables(), &[("FERRY_MAIL_TO", to)])).unwrap();
    let [error] = &refused[..] else {
        panic!("{refused:?}");
    };
    assert!(
        error.to_string().contains("nobody@mirror.example"),
        "{error}"
    );
    assert_eq!(exim.messages(1).len(), 1);
}

#[test]
fn a_certificate_that_is_not_trusted_or_not_the_servers_ends_it() {
    let Some(exim) = Exim::start(&Options {
        certified: "DNS:other.example",
        ..Options::default()
    }) else {
        return;
    };
    fails(&exim.variables(), Kind::Config, "subjectAltName");
    let Some(exim) = Exim::start(&Options {
        implicit: true,
        ..Options::default()
    }) else {
        return;
    };
    let untrusted = with(exim.variables(), &[("FERRY_NETWORK_CA_FILE", "")]);
    fails(&untrusted, Kind::Config, "network.ca_file");
}

#[test]
fn a_server_that_is_down_is_a_network_error() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let variables = with(
        Vec::new(),
        &[
            ("FERRY_MAIL_SMTP", &format!("smtp://{nobody}")),
            ("FERRY_MAIL_FROM", "ferry@mirror.example"),
            ("FERRY_MAIL_TO", "ops@mirror.example"),
            ("FERRY_NETWORK_RETRIES", "0"),
        ],
    );
    fails(&variables, Kind::Network, &nobody.to_string());
}
