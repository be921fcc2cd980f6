//! Tokens, TLS, and the access log.

use serde_json::json;

use crate::support::certificate;
use crate::support::server::{Server, Site, sha256};

const TOKEN: &str = "a-long-random-token";

fn site() -> Site {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"bytes");
    site
}

#[test]
fn without_a_known_token_nothing_is_served() {
    let site = site();
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, format!("# CI\n{}  ci\n", sha256(TOKEN.as_bytes()))).unwrap();
    let server = site.serve(&[("FERRY_SERVE_AUTH", tokens.to_str().unwrap())]);
    let paths = [
        "/index/config.json",
        "/index/3/f/foo",
        "/api/v1/crates/foo/1.0.0/download",
    ];
    for path in paths {
        for headers in [&[][..], &[("authorization", "wrong")]] {
            let got = server.get_with(path, headers);
            assert_eq!(
                (got.status, got.header("www-authenticate")),
                (401, Some("Cargo")),
                "{path}"
            );
            assert!(!got.detail().is_empty());
        }
        for shown in [TOKEN.to_owned(), format!("Bearer {TOKEN}")] {
            assert_eq!(
                server.get_with(path, &[("authorization", &shown)]).status,
                200,
                "{path}"
            );
        }
    }
    let config = server.get_with("/index/config.json", &[("authorization", TOKEN)]);
    assert!(config.text().contains("\"auth-required\":true"));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.get(path).status, 200);
    }
    server.wait_for("logged", || server.log().contains("\"caller\":\"ci\""));
    assert!(!server.log().contains(TOKEN));
}

#[test]
fn strangers_learn_no_addresses_from_the_health_checks() {
    let site = site();
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, format!("{}  ci\n", sha256(TOKEN.as_bytes()))).unwrap();
    let pairs = [
        ("FERRY_SERVE_REFRESH", "10ms"),
        ("FERRY_SERVE_STALE_AFTER", "200ms"),
        ("FERRY_SERVE_AUTH", tokens.to_str().unwrap()),
    ];
    let server = site.serve(&pairs);
    std::fs::rename(site.index.path(), site.folder.path().join("away.git")).unwrap();
    let index = site.index.path().display().to_string();
    server.wait_for("stale", || {
        server.get("/readyz").text().contains("the log says why")
    });
    assert!(!server.get("/readyz").text().contains(&index));
    drop(server);
    // Where everybody may read everything, it says more.
    let server = Server::start(&site.variables_and(&pairs[..2]));
    server.wait_for("stale", || server.get("/readyz").text().contains(&index));
}

#[test]
fn the_access_log_believes_a_forwarded_address_of_trusted_proxies_alone() {
    let site = site();
    let forwarded = [("x-forwarded-for", "203.0.113.9, 198.51.100.7")];
    for (trusted, client) in [("", "127.0.0.1"), ("10.0.0.1, 127.0.0.0/8", "198.51.100.7")] {
        let server = site.serve(&[("FERRY_SERVE_TRUSTED_PROXIES", trusted)]);
        drop(server.get_with("/index/3/f/foo", &forwarded));
        let is_logged = |line: &str| line.contains("/index/3/f/foo");
        server.wait_for("logged", || server.log().lines().any(is_logged));
        let log = server.log();
        let line = log.lines().find(|line| is_logged(line)).unwrap();
        let wanted = format!("\"client\":\"{client}\"");
        assert!(
            line.contains(&wanted) && !line.contains("203.0.113.9"),
            "{line}"
        );
    }
}

#[test]
fn a_path_tells_which_methods_it_takes() {
    let site = site();
    let server = site.serve(&[]);
    for (path, methods) in [
        ("/index/config.json", "GET, HEAD, OPTIONS"),
        ("/index/3/f/foo", "GET, HEAD, OPTIONS"),
        ("/api/v1/crates/foo/1.0.0/download", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/hooks/gitlab", "POST, OPTIONS"),
    ] {
        for (method, status) in [("OPTIONS", 204), ("DELETE", 405)] {
            let got = server.ask(method, path, &[], b"").unwrap();
            let allowed = (got.status, got.header("allow"));
            assert_eq!(allowed, (status, Some(methods)), "{method} {path}");
        }
    }
    let nowhere = server.ask("OPTIONS", "/elsewhere", &[], b"").unwrap();
    assert_eq!((nowhere.status, nowhere.header("allow")), (404, None));
}

#[test]
fn head_answers_as_get_does_without_a_body() {
    let site = site();
    let server = site.serve(&[]);
    drop(server.download("foo", "1.0.0"));
    for path in [
        "/index/config.json",
        "/index/3/f/foo",
        "/index/3/b/bar",
        "/api/v1/crates/foo/1.0.0/download",
        "/healthz",
    ] {
        let (get, head) = (
            server.get(path),
            server.ask("HEAD", path, &[], b"").unwrap(),
        );
        assert_eq!(head.status, get.status, "{path}");
        let lengths = [&get, &head].map(|got| got.header("content-length").map(str::to_owned));
        assert_eq!(lengths[0], lengths[1], "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
    }
}

#[test]
fn a_file_of_tokens_that_holds_a_token_is_refused_without_showing_it() {
    let site = site();
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, format!("{TOKEN} ci\n")).unwrap();
    let output = site.run_with(
        &[("FERRY_SERVE_AUTH", tokens.to_str().unwrap())],
        &["serve"],
    );
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("line 1") && !text.contains(TOKEN), "{text}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_key_and_with_what_to_do() {
    let site = site();
    let (cert, key) = certificate::make(site.folder.path(), "IP:127.0.0.1");
    let text = site.folder.path().join("text");
    std::fs::write(&text, "no PEM\n").unwrap();
    let nowhere = site.folder.path().join("nowhere");
    for (cert, key, named, bad) in [
        (&nowhere, &key, "serve.tls.cert", &nowhere),
        (&cert, &nowhere, "serve.tls.key", &nowhere),
        (&text, &key, "serve.tls.cert", &text),
        (&cert, &text, "serve.tls.key", &text),
    ] {
        let variables = [
            ("FERRY_SERVE_TLS_CERT", cert.to_str().unwrap()),
            ("FERRY_SERVE_TLS_KEY", key.to_str().unwrap()),
        ];
        let output = site.run_with(&variables, &["serve"]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let (message, advice) = said.split_once("help: ").unwrap();
        assert!(message.contains(bad.to_str().unwrap()), "{said}");
        assert!(message.contains(named) && advice.contains(named), "{said}");
    }
}

#[test]
fn a_renewed_certificate_is_taken_without_a_restart() {
    let site = site();
    let make = || certificate::make(site.folder.path(), "IP:127.0.0.1");
    let (cert, key) = make();
    let server = site.serve(&[
        ("FERRY_SERVE_TLS_CERT", cert.to_str().unwrap()),
        ("FERRY_SERVE_TLS_KEY", key.to_str().unwrap()),
    ]);
    assert_eq!(server.get("/index/3/f/foo").status, 200);
    // Half of the pair is no pair: the old one stays in use, and nobody is refused.
    let before = std::fs::read(&cert).unwrap();
    std::fs::write(&cert, "no certificate").unwrap();
    server.signal("HUP");
    server.wait_for("told", || server.log().contains("stays in use"));
    std::fs::write(&cert, before).unwrap();
    assert_eq!(server.get("/index/3/f/foo").status, 200);
    // Clients trust what lies there now.
    make();
    server.signal("HUP");
    server.wait_until_ready();
    assert_eq!(server.get("/index/3/f/foo").status, 200);
}

#[test]
fn each_request_is_a_line_of_json() {
    let site = site();
    let log = site.folder.path().join("access.log");
    let server = site.serve(&[("FERRY_SERVE_ACCESS_LOG", log.to_str().unwrap())]);
    drop(server.get_with("/index/3/f/foo?token=secret", &[("user-agent", "cargo/1")]));
    drop(server.download("foo", "1.0.0"));
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&log).unwrap();
        // The last line may not be written to its end yet.
        let written = text.rfind('\n').map_or("", |end| &text[..end]);
        written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let find = |path: &str| lines().into_iter().find(|line| line["path"] == path);
    server.wait_for("logged", || {
        find("/api/v1/crates/foo/1.0.0/download").is_some()
    });
    let entry = find("/index/3/f/foo").unwrap();
    assert_eq!(entry["status"], 200);
    // As each line of the log has them with `--format json`.
    assert_eq!(
        (&entry["level"], &entry["message"]),
        (&json!("info"), &json!("request"))
    );
    let time = entry["time"].as_str().unwrap();
    time.parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time.len(), "2026-05-28T20:26:40.120Z".len(), "{time}");
    assert_eq!(entry["agent"], "cargo/1");
    assert_eq!(entry["client"], "127.0.0.1");
    let download = find("/api/v1/crates/foo/1.0.0/download").unwrap();
    assert_eq!(
        (download["bytes"].as_u64(), download.get("cut")),
        (Some(5), None)
    );
    assert!(!std::fs::read_to_string(&log).unwrap().contains("secret"));
}

#[test]
fn a_log_that_is_moved_away_goes_on_in_a_new_file() {
    let site = site();
    let (log, moved) = (
        site.folder.path().join("access.log"),
        site.folder.path().join("access.log.1"),
    );
    let server = site.serve(&[("FERRY_SERVE_ACCESS_LOG", log.to_str().unwrap())]);
    let has = |path: &std::path::Path, text: &str| {
        std::fs::read_to_string(path).is_ok_and(|log| log.contains(text))
    };
    server.get("/before");
    server.wait_for("logged", || has(&log, "/before"));
    std::fs::rename(&log, &moved).unwrap();
    server.get("/after");
    server.wait_for("logged", || has(&log, "/after"));
    assert!(!has(&moved, "/after") && !has(&log, "/before"));
    // Whoever moves it may put a new one there, too.
    std::fs::rename(&log, &moved).unwrap();
    std::fs::write(&log, "").unwrap();
    server.get("/last");
    server.wait_for("logged", || has(&log, "/last"));
    assert!(!has(&moved, "/last"));
}

#[test]
fn what_caches_in_between_may_keep_is_said() {
    let site = site();
    let of = |server: &crate::support::server::Server, path: &str| {
        let got = server.get_with(path, &[("authorization", TOKEN)]);
        got.header("cache-control").unwrap_or_default().to_owned()
    };
    let download = "/api/v1/crates/foo/1.0.0/download";
    let server = site.serve(&[]);
    for path in ["/index/config.json", "/index/3/f/foo"] {
        assert_eq!(of(&server, path), "public, max-age=60", "{path}");
    }
    assert_eq!(of(&server, download), "public, max-age=31536000, immutable");
    assert_eq!(of(&server, "/index/3/b/bar"), "no-store");
    drop(server);
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, format!("{}  ci\n", sha256(TOKEN.as_bytes()))).unwrap();
    let server = site.serve(&[("FERRY_SERVE_AUTH", tokens.to_str().unwrap())]);
    for path in ["/index/config.json", "/index/3/f/foo"] {
        assert_eq!(of(&server, path), "private, max-age=60", "{path}");
    }
    assert_eq!(
        of(&server, download),
        "private, max-age=31536000, immutable"
    );
    // A token that is no longer listed is refused without a restart.
    std::fs::write(&tokens, "# nobody\n").unwrap();
    server.wait_for("refused", || {
        let asked = [("authorization", TOKEN)];
        server.get_with("/index/3/f/foo", &asked).status == 401
    });
}

#[test]
fn a_file_of_the_configuration_that_is_not_there_is_told_with_its_key_and_what_to_do() {
    let site = Site::new();
    let right = site.folder.path().join("cert.pem");
    std::fs::write(&right, "").unwrap();
    let cert = ("FERRY_SERVE_TLS_CERT", right.to_str().unwrap());
    let none = "/no/such/file";
    for (pairs, says) in [
        (vec![("FERRY_SERVE_AUTH", none)], "serve.auth: cannot read"),
        (vec![("FERRY_SERVE_ACCESS_LOG", none)], "serve.access_log: "),
        (vec![cert, ("FERRY_SERVE_TLS_KEY", none)], "serve.tls.key"),
    ] {
        let output = site.run_with(&pairs, &["serve"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(none) && said.contains(says), "{said}");
        assert!(said.contains("help: "), "{said}");
    }
}
