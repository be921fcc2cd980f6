//! `check` and the mail server.

use serde_json::Value;

use super::{Post, mails};

fn check(post: &Post, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, Value) {
    let arguments = [&["--format", "json", "check"], arguments].concat();
    let output = post.run(&arguments, variables);
    let object = serde_json::from_slice(&output.stdout);
    let object = object.unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), object)
}

fn status<'a>(object: &'a Value, name: &str) -> &'a str {
    let probes = object["probes"].as_array().unwrap();
    let probe = probes.iter().find(|probe| probe["name"] == name);
    let probe = probe.unwrap_or_else(|| panic!("no probe {name} in {object:#}"));
    probe["status"].as_str().unwrap()
}

#[test]
fn check_connects_to_the_mail_server_and_mails_only_when_asked() {
    let Some(post) = Post::new() else { return };
    let (code, object) = check(&post, &[], &[]);
    assert_eq!(code, 0, "{object:#}");
    for name in ["smtp", "smtp tls", "smtp login"] {
        assert_eq!(status(&object, name), "passed", "{name}");
    }
    assert_eq!(status(&object, "test mail"), "skipped");
    mails(&post.exim, 0);
    let (code, object) = check(&post, &["--mail"], &[]);
    assert_eq!((code, status(&object, "test mail")), (0, "passed"));
    let mail = &mails(&post.exim, 1)[0];
    assert!(mail.subject.starts_with("test mail: "), "{}", mail.subject);
}

#[test]
fn check_says_what_keeps_mails_from_being_sent() {
    let Some(post) = Post::new() else { return };
    let (code, object) = check(
        &post,
        &["--mail"],
        &[("FERRY_SMTP_PASSWORD", "wrong-password")],
    );
    assert_eq!(code, 1);
    assert_eq!(status(&object, "smtp tls"), "passed");
    assert_eq!(status(&object, "smtp login"), "failed");
    assert_eq!(status(&object, "test mail"), "skipped");
    let untrusted = [("FERRY_NETWORK_CA_FILE", "")];
    let (code, object) = check(&post, &[], &untrusted);
    assert_eq!((code, status(&object, "smtp tls")), (1, "failed"));
    assert_eq!(status(&object, "smtp login"), "skipped");
    let nowhere = [("FERRY_MAIL_SMTP", "smtp://127.0.0.1:1")];
    let (code, object) = check(&post, &[], &nowhere);
    assert_eq!((code, status(&object, "smtp")), (1, "failed"));
    mails(&post.exim, 0);
}

#[test]
fn check_without_mail_says_so_and_fails_only_where_a_mail_was_asked_for() {
    let Some(post) = Post::new() else { return };
    let without = [
        ("FERRY_MAIL_SMTP", ""),
        ("FERRY_MAIL_FROM", ""),
        ("FERRY_MAIL_TO", ""),
    ];
    let (code, object) = check(&post, &[], &without);
    assert_eq!((code, status(&object, "smtp")), (0, "skipped"));
    let (code, object) = check(&post, &["--mail"], &without);
    assert_eq!((code, status(&object, "test mail")), (1, "failed"));
}
