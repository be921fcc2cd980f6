//! Whom the program trusts in its container.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::Value;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::container::{Image, RESTRICTED};
use crate::support::certificate;
use crate::support::ferry::Ferry;

/// Takes one connection, in which it says that it has no repository; says whether the client trusted it so far.
fn serve_once(listener: TcpListener, folder: &Path) -> JoinHandle<bool> {
    use std::io::{Read, Write};
    let chain = vec![CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let session = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(session, socket);
        let mut head = [0; 4];
        if stream.read_exact(&mut head).is_err() {
            return false;
        }
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).unwrap();
        &head == b"GET "
    })
}

#[test]
fn a_company_ca_is_trusted_where_it_is_mounted_and_only_there() {
    let Some(image) = Image::built() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    certificate::make(folder.path(), "DNS:localhost");
    let mounted = |place: &str| {
        let file = folder.path().join("cert.pem");
        format!("{}:{place}:ro", file.display())
    };
    let (system, own) = (
        mounted("/etc/ssl/certs/ca-certificates.crt"),
        mounted("/ferry/ca.pem"),
    );
    let by_name = ("FERRY_NETWORK_CA_FILE", "/ferry/ca.pem");
    let nowhere = ("FERRY_NETWORK_CA_FILE", "");
    let cases = [
        (vec![], nowhere, false),
        (vec!["--volume", &system], nowhere, true),
        (vec!["--volume", &own], by_name, true),
    ];
    for (mounts, (name, value), trusts) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("https://localhost:{port}/a");
        let ferry = Ferry::new(url.clone(), url).with(name, value);
        let server = serve_once(listener, folder.path());
        let options = [&RESTRICTED[..], &mounts].concat();
        let output = image.run(&options, &ferry, &["--format", "json", "sync"]);
        assert_eq!(server.join().unwrap(), trusts, "{mounts:?}: {output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let names_certificate = told["error"]["causes"].to_string().contains("certificate");
        assert_eq!(names_certificate, !trusts, "{told:#}");
    }
}
