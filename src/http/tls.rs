//! The server's certificate, which is reloaded when it is renewed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use tracing::{error, info};

use crate::config::{ServeConfig, Tls};
use crate::error::{Error, Kind, Result};
use crate::http::logged_failure::LoggedFailure;

/// The keys of the configuration.
const CERT: &str = "serve.tls.cert";
const KEY: &str = "serve.tls.key";

const ADVICE: &str = "Set serve.tls.cert to a file in PEM form with the server's certificate and then those of its CAs, and serve.tls.key to one with the certificate's key, without a passphrase.";

/// The certificate and key for new connections.
pub struct Certificates {
    files: Tls,
    /// What the files held when they were last read.
    current: ArcSwap<Loaded>,
    failure: LoggedFailure,
}

struct Loaded {
    texts: (String, String),
    acceptor: TlsAcceptor,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// `config` if they cannot be read, or do not belong together.
    pub fn read(files: Tls) -> Result<Self> {
        let loaded = load(&files)?;
        Ok(Self {
            files,
            current: ArcSwap::from_pointee(loaded),
            failure: LoggedFailure::default(),
        })
    }

    /// Reads the files again if they changed. If that fails, the certificate that was read before stays in use, and the
    /// failure is logged once, but always if somebody asked for this.
    pub fn reload(&self, is_asked: bool) {
        if is_asked {
            self.failure.end();
        }
        // A renewal replaces the two files one after the other. A certificate and a key that do not match are refused
        // by `load`, and the next round reads them again.
        let texts = read(&self.files);
        if texts.as_ref().ok() == Some(&self.current.load().texts) {
            return self.failure.end();
        }
        match load(&self.files) {
            Ok(loaded) => {
                self.failure.end();
                self.current.store(Arc::new(loaded));
                info!("reloaded the certificate {}", self.files.cert.display());
            }
            Err(error) => {
                let error = error.chain();
                if self.failure.is_new(&error) {
                    error!("{error}; the old certificate stays in use");
                }
            }
        }
    }

    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let acceptor = self.current.load().acceptor.clone();
        acceptor.accept(stream).await
    }
}

fn read(files: &Tls) -> Result<(String, String)> {
    let read = |key: &str, path: &Path| {
        let advice = format!("Set {key} to a file in PEM form that this user may read.");
        ServeConfig::read_file(path).map_err(|error| error.on(key).advise(advice))
    };
    Ok((read(CERT, &files.cert)?, read(KEY, &files.key)?))
}

fn load(files: &Tls) -> Result<Loaded> {
    let texts = read(files)?;
    let unusable = |key: &str, path: &Path, what: &str| {
        Error::new(Kind::Config, format!("{key}: {}: {what}", path.display())).advise(ADVICE)
    };
    let no_chain = || unusable(CERT, &files.cert, "no certificate in PEM form");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(texts.0.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| no_chain().because(e))?;
    if chain.is_empty() {
        return Err(no_chain());
    }
    // The parser's error is left out: it might repeat a part of the key.
    let key = PrivateKeyDer::from_pem_slice(texts.1.as_bytes())
        .map_err(|_| unusable(KEY, &files.key, "no private key in PEM form"))?;
    // Named here: the default of the process is ambiguous, and rustls panics, if the features of other crates bring
    // a second provider.
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let versions = builder.with_safe_default_protocol_versions();
    let versions =
        versions.map_err(|e| unusable(CERT, &files.cert, "cannot set up TLS").because(e))?;
    let mut config = versions
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| {
            unusable(
                CERT,
                &files.cert,
                "the certificate cannot be used with its key",
            )
            .because(e)
        })?;
    // Over TLS a client speaks HTTP/2 only if ALPN agrees on it (RFC 9113, section 3.2); the server's order decides.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Ok(Loaded { texts, acceptor })
}
