//! The mails of `sync` and of the trigger helper.

use mail_parser::decoders::html::html_to_text;
use mail_parser::{Message, MessageParser};
use serde_json::json;
use tempfile::TempDir;

use super::{END, all_forms, assert_untold, environment, forms, secrets};
use crate::cli::ferry;
use crate::cli::foreign_text::Says;
use crate::support::exim::{Exim, Options};
use crate::support::frames::packet;
use crate::support::gitlab::{Gitlab, Reply};
use crate::support::trigger::{Helper, http};

/// Starts a mail server whose password is among the secrets.
fn start() -> Option<Exim> {
    let secrets = secrets();
    let (_, password) = secrets
        .into_iter()
        .find(|(name, _)| name == "FERRY_SMTP_PASSWORD")
        .unwrap();
    Exim::start(&Options {
        password: password.leak(),
        ..Options::default()
    })
}

/// The last of so many mails: as it was sent, and what its reader sees of each part.
fn last_mail(exim: &Exim, count: usize) -> Vec<String> {
    let raw = exim.messages(count).pop().unwrap();
    let mail: Message = MessageParser::default().parse(raw.as_bytes()).unwrap();
    let html = mail.body_html(0).unwrap().into_owned();
    let text = mail.body_text(0).unwrap().into_owned();
    let subject = mail.subject().unwrap().to_owned();
    let headers = mail
        .headers_raw()
        .map(|(name, value)| format!("{name}: {value}"));
    let headers: String = headers.collect();
    assert!(
        text.contains("[masked]") && html.contains("[masked]"),
        "{text}"
    );
    vec![html_to_text(&html), html, text, subject, headers, raw]
}

#[test]
fn no_form_of_any_secret_is_in_a_mail_of_a_sync() {
    let Some(exim) = start() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let secrets = secrets();
    for (number, secret) in secrets.iter().enumerate() {
        let server = Says::start(packet(format!("ERR {}\n", all_forms(&secret.1))));
        let url = format!("git://{}/a.git", server.address());
        let output = ferry(folder.path(), &["sync"])
            .envs(environment(&secrets))
            .envs(exim.variables())
            .env("FERRY_MIRROR_URL", &url)
            .env("FERRY_UPSTREAM_URL", &url)
            .output();
        assert!(!output.unwrap().status.success());
        assert_untold(&last_mail(&exim, number + 1), secret);
    }
}

#[test]
fn no_form_of_any_secret_is_in_a_mail_of_the_helper() {
    let Some(exim) = start() else {
        return;
    };
    let secrets = secrets();
    let mut count = 0;
    for (number, secret) in secrets.iter().enumerate() {
        // Of GitLab's message only the beginning is shown: one form each, and each form of some secret.
        for form in forms(&secret.1).iter().skip(number).step_by(10) {
            let gitlab = Gitlab::start();
            let variables = [gitlab.variables(), environment(&secrets), exim.variables()];
            let helper = Helper::start(&variables.concat());
            let message = json!({ "message": format!("denied for {form} {END}") });
            gitlab.reply(Reply::json(404, &message));
            super::pages::trigger(&helper, &secrets);
            count += 1;
            assert_untold(&last_mail(&exim, count), secret);
            let page = http("GET", &helper.url("/"), &[], b"").body;
            let (_, log) = helper.stop();
            assert_untold(&[html_to_text(&page), page, log], secret);
        }
    }
}
