//! What the servers answer, and what they log meanwhile.

use super::{all_forms, assert_untold, environment, secrets};
use crate::cli::foreign_text::Says;
use crate::support::crate_host::{Manner, raw};
use crate::support::frames::packet;
use crate::support::server::{Server, Site};
use crate::support::trigger::{Helper, http};

/// Asks the helper for a pipeline.
pub(super) fn trigger(helper: &Helper, secrets: &[(String, String)]) {
    let (_, token) = secrets
        .iter()
        .find(|(name, _)| name == "FERRY_TRIGGER_TOKEN")
        .unwrap();
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", &*bearer)];
    let answer = http("POST", &helper.url("/trigger"), &headers, b"");
    assert_eq!(answer.status, 202, "{answer:?}");
}

const FORMATS: [&str; 2] = ["text", "json"];

#[test]
fn no_form_of_any_secret_is_in_what_serve_answers_and_logs() {
    let secrets = secrets();
    for (secret, format) in secrets.iter().zip(FORMATS.into_iter().cycle()) {
        let says = Says::start(packet(format!("ERR {}\n", all_forms(&secret.1))));
        let url = format!("git://{}/a.git", says.address());
        let site = Site::new();
        let all = [
            site.variables_and(&[
                ("FERRY_UPSTREAM_URL", &url),
                ("FERRY_SERVE_ACCESS_LOG", "stderr"),
            ]),
            environment(&secrets),
        ];
        let server = Server::start_in(format, &all.concat());
        server.wait_for("refused", || {
            server.get("/readyz").text().contains("ERR") || server.log().contains(super::END)
        });
        let paths = [
            "/",
            "/healthz",
            "/readyz",
            "/metrics",
            "/index/config.json",
            "/index/fo/o-/foo-bar",
        ];
        let mut shown: Vec<_> = paths.iter().map(|path| server.get(path).text()).collect();
        shown.push(server.download("foo", "1.0.0").text());
        server.signal("TERM");
        shown.push(server.end().1);
        assert_untold(&shown, secret);
    }
}

#[test]
fn no_form_of_any_secret_is_in_the_error_of_a_download() {
    let secrets = secrets();
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"a crate");
    for (secret, format) in secrets.iter().zip(FORMATS.into_iter().cycle()) {
        // A host may repeat what it was sent in the reason, in a header and in the body.
        let words = all_forms(&secret.1);
        let places = words.replace(' ', "%20");
        let head = format!("302 {words}\r\nlocation: nowhere://{places}\r\nwarning: {words}");
        site.host
            .behave(Manner::Raw(vec![raw(&head, words.as_bytes())]));
        let all = [site.variables(), environment(&secrets)];
        let server = Server::start_in(format, &all.concat());
        server.wait_until_ready();
        let got = server.download("foo", "1.0.0");
        assert!(got.status >= 400, "{got:?}");
        server.signal("TERM");
        assert_untold(&[got.text(), server.end().1, super::END.to_owned()], secret);
    }
}

#[test]
fn no_form_of_any_secret_is_in_what_the_helper_answers_and_logs() {
    let secrets = secrets();
    for (secret, format) in secrets.iter().zip(FORMATS.into_iter().cycle()) {
        let says = Says::start(packet(format!("ERR {}\n", all_forms(&secret.1))));
        let url = format!("git://{}/a.git", says.address());
        let more = [("FERRY_UPSTREAM_URL", &*url), ("FERRY_MIRROR_URL", &url)];
        let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let gitlab = crate::support::gitlab::Gitlab::start();
        let helper = Helper::start_in(
            format,
            &[gitlab.variables(), environment(&secrets), more.to_vec()].concat(),
        );
        helper.wait_for("polled", |status| status["poll_error"].is_string());
        let paths = [
            "/", "/status", "/metrics", "/healthz", "/readyz", "/trigger", "/nothing",
        ];
        let mut shown: Vec<_> = paths
            .iter()
            .map(|path| http("GET", &helper.url(path), &[], b"").body)
            .collect();
        shown.push(helper.stop().1);
        assert_untold(&shown, secret);
    }
}
