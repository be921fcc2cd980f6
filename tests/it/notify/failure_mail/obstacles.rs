//! A mail that cannot be sent changes nothing else.

use super::{PROTECTED, Post, mails, stderr};

/// Runs a failing sync whose mail cannot be sent; returns what the log says.
fn fails_in_vain(post: &Post, variables: &[(&str, &str)]) -> String {
    let output = post.run(&["--format", "json", "sync"], variables);
    assert_eq!(output.status.code(), Some(3));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["error"]["kind"], "permission");
    let log = stderr(&output);
    assert!(log.contains("ERROR cannot send the mail: "), "{log}");
    assert!(log.contains("error[permission]: ") || object["error"]["message"].is_string());
    log
}

#[test]
fn a_mail_that_cannot_be_sent_hides_nothing() {
    let Some(post) = Post::new() else { return };
    post.refuse(PROTECTED);
    let wrong_password = fails_in_vain(&post, &[("FERRY_SMTP_PASSWORD", "wrong-password")]);
    assert!(
        !wrong_password.contains("wrong-password"),
        "{wrong_password}"
    );
    let down = fails_in_vain(
        &post,
        &[
            ("FERRY_MAIL_SMTP", "smtp://127.0.0.1:1?tls=none"),
            ("FERRY_SMTP_PASSWORD", ""),
        ],
    );
    assert!(down.contains("127.0.0.1:1"), "{down}");
    mails(&post.exim, 0);
}

#[test]
fn a_failure_whose_mail_was_not_sent_is_mailed_by_the_next_run() {
    let Some(post) = Post::new() else { return };
    post.refuse(PROTECTED);
    let state = ("FERRY_MAIL_STATE", "mail.json");
    fails_in_vain(&post, &[state, ("FERRY_SMTP_PASSWORD", "wrong-password")]);
    assert_eq!(post.sync(&[state]).0, 3);
    mails(&post.exim, 1);
}
