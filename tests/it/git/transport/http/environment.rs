//! Trusted certificates: those of the environment, seen in a child process, and those of the configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crates_ferry::error::Kind;
use crates_ferry::git::transport::Limits;
use crates_ferry::git::transport::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::script::{Script, advertisement};
use super::{limits, remote, remote_as, text};

const URL: &str = "HTTP_TRANSPORT_TEST_URL";
const CLEARED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Runs the test below in a process with an environment of its own and returns whether it passed, and its output.
async fn ask_in_child(url: String, variables: Vec<(&'static str, String)>) -> (bool, String) {
    let child = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        // The name of a test begins behind the name of its program.
        let (_program, here) = module_path!().split_once("::").unwrap();
        command.args(["--exact", &format!("{here}::child")]);
        command.args(["--ignored", "--nocapture"]);
        CLEARED.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.env(URL, url).envs(variables).stdin(Stdio::null());
        command.output().unwrap()
    });
    let output = child.await.unwrap();
    let (out, err) = (output.stdout, output.stderr);
    let said = String::from_utf8_lossy(&[out, err].concat()).into_owned();
    (output.status.success(), said)
}

#[tokio::test]
#[ignore = "the tests of this file run it in a process of its own"]
async fn child() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    match remote(&url).advertisement(Service::UploadPack, true).await {
        Ok(reader) => assert_eq!(text(reader).await, "000eversion 2\n0000"),
        Err(error) => panic!(
            "{} {error} {:?} {:?}",
            error.kind(),
            error.causes(),
            error.advice()
        ),
    }
}

#[tokio::test]
async fn a_certificate_file_of_the_environment_is_trusted() {
    let (_folder, certificate, key) = certificate();
    let server = Script::new().await;
    let url = format!("https://localhost:{}/a", server.port());
    let variables = vec![("SSL_CERT_FILE", certificate.display().to_string())];
    let served = serve_tls(&server, &certificate, &key);
    let ((passed, said), _) = tokio::join!(ask_in_child(url, variables), served);
    assert!(passed, "{said}");
}

#[tokio::test]
async fn a_certificate_of_the_configuration_is_trusted_among_several() {
    let ((_a, certificate, key), (_b, other, _)) = (certificate(), certificate());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let trusting = Limits {
        extra_cas: Some(read(&other) + &read(&certificate)),
        ..limits()
    };
    let server = Script::new().await;
    let remote = remote_as(&local(&server), None, &trusting);
    let asking = remote.advertisement(Service::UploadPack, true);
    let (reader, ()) = tokio::join!(asking, serve_tls(&server, &certificate, &key));
    assert_eq!(text(reader.unwrap()).await, "000eversion 2\n0000");
}

#[tokio::test]
async fn a_certificate_as_openssl_makes_it_is_trusted_where_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) =
        crate::support::certificate::make_marked_as_authority(folder.path(), "DNS:localhost");
    let trusting = Limits {
        extra_cas: Some(std::fs::read_to_string(&certificate).unwrap()),
        ..limits()
    };
    let server = Script::new().await;
    let remote = remote_as(&local(&server), None, &trusting);
    let asking = remote.advertisement(Service::UploadPack, true);
    let (reader, ()) = tokio::join!(asking, serve_tls(&server, &certificate, &key));
    assert_eq!(text(reader.unwrap()).await, "000eversion 2\n0000");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_named_with_what_to_do() {
    let (_folder, certificate, key) = certificate();
    let server = Script::new().await;
    let remote = remote(&local(&server));
    let asking = remote.advertisement(Service::UploadPack, true);
    let (reader, ()) = tokio::join!(asking, serve_tls(&server, &certificate, &key));
    let error = reader.err().unwrap();
    assert_eq!(error.kind(), Kind::Config);
    assert!(
        error.causes()[0].contains("certificate"),
        "{:?}",
        error.causes()
    );
    assert!(error.advice().unwrap().contains("`network.ca_file`"));
}

#[test]
fn certificates_that_cannot_be_read_are_a_matter_of_configuration() {
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "no PEM", broken, no_certificate] {
        let network = Limits {
            extra_cas: Some(pem.to_owned()),
            ..limits()
        };
        let url = url::Url::parse("https://git.example/a").unwrap();
        let error = super::HttpRemote::new(&url, None, &network, Arc::default());
        assert_eq!(error.err().unwrap().kind(), Kind::Config, "{pem}");
    }
}

pub(crate) fn local(server: &Script) -> String {
    format!("https://localhost:{}/a", server.port())
}

/// Makes a certificate for `localhost` and its key, in a folder.
pub(crate) fn certificate() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = crate::support::certificate::make(folder.path(), "DNS:localhost");
    (folder, certificate, key)
}

/// Takes one TLS connection and answers with an advertisement, where the client goes on after the handshake.
pub(crate) async fn serve_tls(server: &Script, certificate: &Path, key: &Path) {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let Ok(mut stream) = acceptor.accept(server.accept().await).await else {
        return;
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    stream.write_all(advertisement().as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}
