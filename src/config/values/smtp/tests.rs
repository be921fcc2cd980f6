#![allow(clippy::unwrap_used)]

use super::*;

fn server(host: &str, port: u16, tls: SmtpTls, user: Option<&str>) -> SmtpServer {
    SmtpServer {
        host: host.to_owned(),
        port,
        tls,
        user: user.map(str::to_owned),
    }
}

#[test]
fn addresses_of_servers_are_taken_apart() {
    let cases = [
        (
            "smtps://user@smtp.example.com",
            server("smtp.example.com", 465, SmtpTls::Implicit, Some("user")),
        ),
        (
            "smtp://smtp.example.com",
            server("smtp.example.com", 587, SmtpTls::Required, None),
        ),
        (
            "smtp://ops%40example.com@smtp.example.com:25?tls=opportunistic",
            server(
                "smtp.example.com",
                25,
                SmtpTls::Opportunistic,
                Some("ops@example.com"),
            ),
        ),
        (
            "smtp://ops@example.com@smtp.example.com/?tls=required",
            server(
                "smtp.example.com",
                587,
                SmtpTls::Required,
                Some("ops@example.com"),
            ),
        ),
        (
            "smtp://[::1]:2525?tls=none",
            server("::1", 2525, SmtpTls::None, None),
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(smtp_server(text).as_ref(), Ok(&wanted), "{text}");
    }
}

#[test]
fn what_is_no_address_of_a_server_is_refused_with_the_reason() {
    for (text, reason) in [
        ("smtp.example.com:587", "smtps://user@host"),
        ("http://smtp.example.com", "http:// is neither"),
        ("smtp://", "no host"),
        (
            "smtp://x.example?tls=none&tls=required",
            "`tls` is given twice",
        ),
        (
            "smtps://user:hunter2@smtp.example.com",
            "FERRY_SMTP_PASSWORD",
        ),
        ("smtps://smtp.example.com?tls=none", "first byte"),
        ("smtp://smtp.example.com?tls=maybe", "tls=maybe"),
        ("smtp://smtp.example.com?ssl=1", "`ssl`"),
        ("smtp://smtp.example.com/inbox", "nothing after the port"),
    ] {
        let said = smtp_server(text).unwrap_err();
        assert!(said.contains(reason), "{text}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_shown_address_names_no_user() {
    let shown = smtp_server("smtp://ops@[::1]").unwrap().to_string();
    assert_eq!(shown, "smtp://[::1]:587");
}

#[test]
fn mail_addresses_may_have_a_name() {
    let plain = mailbox("ops@example.com").unwrap();
    assert_eq!(
        (plain.name.as_deref(), plain.address().as_str()),
        (None, "ops@example.com")
    );
    let named = mailbox("Mirror Ops <ops@example.com>").unwrap();
    assert_eq!(named.name.as_deref(), Some("Mirror Ops"));
    assert_eq!(named.to_string(), "Mirror Ops <ops@example.com>");
    for bad in [
        "",
        "ops",
        "ops@",
        "@example.com",
        "a@b@c",
        "x\r\nBcc: y@example.com",
    ] {
        assert!(mailbox(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_comma_in_a_quoted_name_does_not_end_an_address() {
    for (text, wanted) in [
        ("ops@a.example", &["ops@a.example"][..]),
        (
            "ops@a.example , Night <n@a.example>",
            &["ops@a.example", "Night <n@a.example>"],
        ),
        (
            "\"Ops, Team\" <ops@a.example>,n@a.example",
            &["Ops, Team <ops@a.example>", "n@a.example"],
        ),
        ("Zwölf, <ops@a.example>", &[]),
        ("Zwölf <ops@a.example>", &["Zwölf <ops@a.example>"]),
        ("ops@a.example,", &["ops@a.example"]),
        ("O'Neil, ops@a.example", &[]),
    ] {
        let found = split(text)
            .iter()
            .map(|text| mailbox(text))
            .collect::<Result<Vec<_>, _>>();
        let shown = found.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(shown.unwrap_or_default(), wanted, "{text}");
    }
}

#[test]
fn the_name_of_ehlo_is_a_domain_or_an_address() {
    for (text, wanted) in [
        ("ci.example", "ci.example"),
        ("MÜLL.example", "xn--mll-hoa.example"),
        ("c0ffee", "c0ffee"),
        ("192.0.2.7", "192.0.2.7"),
        ("[192.0.2.7]", "192.0.2.7"),
        ("[IPv6:2001:db8::7]", "[2001:db8::7]"),
        ("2001:db8::7", "[2001:db8::7]"),
    ] {
        let read = hello(text).map(|host| host.to_string());
        assert_eq!(read.as_deref(), Ok(wanted), "{text}");
    }
    for text in [
        "",
        "a b",
        "a\r\nMAIL",
        "ops@x.example",
        "https://x.example",
        "[x]",
    ] {
        assert!(hello(text).is_err(), "{text:?}");
    }
}
