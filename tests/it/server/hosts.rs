//! By which names a server may be reached that has no `serve.public_url`.

use crate::support::raw_http::converse;
use crate::support::server::{HOOK_TOKEN, Server, Site};

/// Asks for `config.json` by this name.
fn asked(server: &Server, host: &str) -> (u16, String) {
    let got = server.get_with("/index/config.json", &[("host", host)]);
    assert_eq!(got.header("vary"), (got.status == 200).then_some("host"));
    (got.status, got.text())
}

#[test]
fn config_json_leads_back_to_the_name_that_was_asked() {
    let site = Site::new();
    let server = site.serve(&[("FERRY_SERVE_HOSTS", "crates.example")]);
    for host in ["localhost:18080", "127.0.0.1:18080", "crates.example"] {
        let json = format!("{{\"dl\":\"http://{host}/api/v1/crates\",\"api\":\"http://{host}\"}}");
        assert_eq!(asked(&server, host), (200, json));
    }
    // A page of the web may lead its own name here.
    for host in ["evil.example", "localhost.evil.example:8080", "192.0.2.1"] {
        let (status, text) = asked(&server, host);
        assert_eq!(status, 421, "{text}");
        assert!(text.contains("serve.hosts"), "{text}");
        assert!(text.contains("serve.public_url"), "{text}");
    }
    // What tells no address is answered whoever asks: monitoring has names of its own.
    let evil = [("host", "evil.example")];
    assert_eq!(server.get_with("/healthz", &evil).status, 200);
}

#[test]
fn a_request_without_a_host_gets_the_address_that_is_listened_on() {
    let site = Site::new();
    let server = site.serve(&[]);
    let (head, body) = converse(&server, "GET /index/config.json HTTP/1.0\r\n\r\n");
    assert!(head.contains("200 ok"), "{head}");
    let url = server.url("");
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(&format!("\"api\":\"{url}\"")), "{body}");
}

#[test]
fn with_a_public_url_the_name_does_not_matter() {
    let site = Site::new();
    let server = site.serve(&[("FERRY_SERVE_PUBLIC_URL", "http://crates.example/base")]);
    for host in ["localhost", "evil.example"] {
        let got = server.get_with("/index/config.json", &[("host", host)]);
        assert_eq!((got.status, got.header("vary")), (200, None));
        assert!(
            got.text()
                .contains("\"api\":\"http://crates.example/base\"")
        );
    }
}

#[test]
fn webhooks_are_not_there_without_a_secret() {
    let site = Site::new();
    let token = [("X-Gitlab-Token", HOOK_TOKEN)];
    let push = br#"{"object_kind":"push","ref":"refs/heads/master"}"#;
    let statuses = |server: &Server| {
        ["/hooks/gitlab", "/hooks/push"]
            .map(|path| server.ask("POST", path, &token, push).unwrap().status)
    };
    let without = site.serve(&[("FERRY_HOOK_TOKEN", "")]);
    assert_eq!(statuses(&without), [404; 2]);
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let got = without.ask(method, "/hooks/push", &[], b"").unwrap();
        let told = (got.status, got.header("allow"));
        assert_eq!(told, (404, None), "{method}");
    }
    drop(without);
    let with = site.serve(&[]);
    assert_eq!(statuses(&with), [202; 2]);
    assert_eq!(with.get("/hooks/push").status, 405);
}
