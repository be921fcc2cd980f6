//! Tokens, TLS, and the access log.

use std::process::Command;

use crate::support::server::{Site, ask, sha256};

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
fn tls_speaks_http2_and_takes_a_renewed_certificate() {
    let site = site();
    let (cert, key) = (
        site.folder.path().join("cert.pem"),
        site.folder.path().join("key.pem"),
    );
    let make = || {
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&cert)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        std::fs::read(&cert).unwrap()
    };
    let first = make();
    let variables = site.variables_and(&[
        ("FERRY_SERVE_TLS_CERT", cert.to_str().unwrap()),
        ("FERRY_SERVE_TLS_KEY", key.to_str().unwrap()),
    ]);
    let server = crate::support::server::Server::start(&variables);
    let get = |pem: &[u8], path: &str| {
        let trusted = reqwest::Certificate::from_pem(pem).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([trusted]);
        ask(client, "GET", &server.url(path), &[], b"")
    };
    server.wait_for("ready", || {
        get(&first, "/readyz").is_ok_and(|got| got.status == 200)
    });
    assert_eq!(get(&first, "/index/3/f/foo").unwrap().status, 200);
    let second = make();
    server.wait_for("renewed", || get(&second, "/readyz").is_ok());
    assert_eq!(negotiated(&second, &server).as_deref(), Some(&b"h2"[..]));
}

/// Offers HTTP/2 and HTTP/1.1 over TLS, and returns what the server takes.
fn negotiated(pem: &[u8], server: &crate::support::server::Server) -> Option<Vec<u8>> {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let address = server.url("").trim_start_matches("https://").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    })
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
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let find = |path: &str| lines().into_iter().find(|line| line["path"] == path);
    server.wait_for("logged", || {
        find("/api/v1/crates/foo/1.0.0/download").is_some()
    });
    let entry = find("/index/3/f/foo").unwrap();
    assert_eq!(entry["status"], 200);
    assert_eq!(entry["agent"], "cargo/1");
    assert_eq!(entry["client"], "127.0.0.1");
    let download = find("/api/v1/crates/foo/1.0.0/download").unwrap();
    assert_eq!(
        (download["bytes"].as_u64(), download.get("cut")),
        (Some(5), None)
    );
    assert!(!std::fs::read_to_string(&log).unwrap().contains("secret"));
}
