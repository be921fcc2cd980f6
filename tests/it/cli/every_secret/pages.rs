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

/// A host of crate files may repeat what it was sent in the reason, in a header and in the body: so nothing of those is repeated,
/// whether it is a secret or not. Of where it redirects to only scheme, host and port are.
#[test]
fn nothing_that_a_host_of_crate_files_says_is_repeated() {
    const SAID: &str = "sp0ken-by-the-host";
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"a crate");
    for (head, format) in [
        "302 SAID\r\nlocation: nowhere://SAID/SAID\r\nwarning: SAID",
        "302 SAID\r\nlocation: http://127.0.0.1:1/SAID?SAID#SAID",
        "302 SAID\r\nlocation: http://SAID:SAID@127.0.0.1:1/",
        "302 SAID",
        "403 SAID\r\nwww-authenticate: SAID\r\nx-amz-request-id: SAID",
        "404 SAID\r\netag: \"SAID\"",
        "500 SAID\r\nretry-after: SAID\r\nserver: SAID",
    ]
    .into_iter()
    .zip(FORMATS.into_iter().cycle())
    {
        let answer = raw(&head.replace("SAID", SAID), SAID.as_bytes());
        site.host.behave(Manner::Raw(vec![answer]));
        let asked = site.host.requests().len();
        let log = ("FERRY_SERVE_ACCESS_LOG", "stderr");
        let server = Server::start_in(format, &site.variables_and(&[log]));
        server.wait_until_ready();
        let got = server.download("foo", "1.0.0");
        assert!(got.status >= 400, "{head}: {got:?}");
        let paths = [
            "/status",
            "/api/v1/status",
            "/metrics",
            "/crates/foo",
            "/readyz",
        ];
        let mut shown: Vec<_> = paths.iter().map(|path| server.get(path).text()).collect();
        shown.push(format!("{got:?}{}", got.text()));
        server.signal("TERM");
        shown.push(server.end().1);
        let fetched = site.run(&["-vv", "--format", format, "prefetch", "--crate", "foo"]);
        assert!(!fetched.status.success(), "{head}");
        shown.extend([fetched.stdout, fetched.stderr].map(|said| String::from_utf8(said).unwrap()));
        assert!(site.host.requests().len() > asked + 1, "{head}");
        for text in shown {
            assert!(!text.contains(SAID), "{head}: {text}");
        }
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
