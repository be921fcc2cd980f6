//! The server's certificate, which may be renewed while it runs.

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

/// The keys of the configuration.
const CERT: &str = "serve.tls.cert";
const KEY: &str = "serve.tls.key";

const ADVICE: &str = "serve.tls.cert is the server's certificate, then those of its CAs; serve.tls.key is the key of it without a passphrase. Both are in PEM form.";

/// The certificate and key that new connections get.
pub struct Certificates {
    files: Tls,
    /// What the files held when they were read last.
    current: ArcSwap<Loaded>,
}

struct Loaded {
    texts: (String, String),
    acceptor: TlsAcceptor,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// `config` where they cannot be read, or do not belong together.
    pub fn read(files: Tls) -> Result<Self> {
        let loaded = load(&files)?;
        Ok(Self {
            files,
            current: ArcSwap::from_pointee(loaded),
        })
    }

    /// Takes the files anew where they changed; with an error the old ones stay.
    pub fn reload(&self) {
        let texts = read(&self.files);
        if texts.as_ref().ok() == Some(&self.current.load().texts) {
            return;
        }
        match load(&self.files) {
            Ok(loaded) => {
                self.current.store(Arc::new(loaded));
                info!("the certificate of {} is in use", self.files.cert.display());
            }
            Err(error) => {
                let error = error.chain();
                error!("{error}; the old certificate stays in use");
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
    // The error may repeat nothing of the key.
    let key = PrivateKeyDer::from_pem_slice(texts.1.as_bytes())
        .map_err(|_| unusable(KEY, &files.key, "no private key in PEM form"))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let versions = builder.with_safe_default_protocol_versions();
    let versions =
        versions.map_err(|e| unusable(CERT, &files.cert, "TLS cannot be set up").because(e))?;
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
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Ok(Loaded { texts, acceptor })
}
