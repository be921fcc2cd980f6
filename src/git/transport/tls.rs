//! Trust in TLS servers: one verifier for all clients of the program, and what each of its refusals means.
//!
//! reqwest and lettre would make verifiers of their own from the certificates of `network.ca_file`, but those take every
//! certificate for an authority: the one that `openssl req -x509` makes for a server by default is marked `CA:TRUE`, and would be
//! refused in its own name (`CaUsedAsEndEntity`). git and curl trust a certificate that is in their file, and so does [`Verifier`].

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};

use crate::error::{Error, Kind, Result};

#[cfg(test)]
mod tests;

const UNREADABLE: &str = "the certificates of `network.ca_file` cannot be read";
const FORM: &str = "Put one or more certificates in PEM form into it, each from -----BEGIN CERTIFICATE----- to \
    -----END CERTIFICATE-----.";

/// The certificates that are trusted besides the system's.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    given: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Reads certificates in PEM form.
    ///
    /// # Errors
    /// `config` where the text is given and holds none, or a damaged one.
    pub fn new(pem: Option<&str>) -> Result<Self> {
        let Some(pem) = pem else {
            return Ok(Self::default());
        };
        let unreadable = || Error::new(Kind::Config, UNREADABLE).advise(FORM);
        // Windows' editors put a mark in front, and `cat` one between two files: it would hide the BEGIN line.
        let pem = pem.replace('\u{feff}', "");
        let given = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unreadable().because(error))?;
        match given.is_empty() {
            true => Err(unreadable().because("it holds no certificate")),
            false => Ok(Self { given }),
        }
    }

    /// Says whether no certificate was given.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Makes the TLS settings of a client that trusts these certificates and the system's.
    ///
    /// # Errors
    /// `config` where there is no certificate at all, or one of those given is damaged.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let mut roots = self.roots()?;
        let system = rustls_native_certs::load_native_certs();
        for error in system.errors {
            tracing::debug!(%error, "a certificate of the system cannot be loaded");
        }
        roots.add_parsable_certificates(system.certs);
        self.with_roots(roots)
    }

    /// Makes the TLS settings of a client that trusts these certificates only, for where the system's need not be loaded.
    ///
    /// # Errors
    /// As for [`Trust::client_config`].
    pub fn own_client_config(&self) -> Result<ClientConfig> {
        self.with_roots(self.roots()?)
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.given {
            roots.add(certificate.clone()).map_err(|error| {
                Error::new(Kind::Config, UNREADABLE)
                    .because(error)
                    .advise(FORM)
            })?;
        }
        Ok(roots)
    }

    fn with_roots(&self, roots: RootCertStore) -> Result<ClientConfig> {
        let verifier = Arc::new(self.verifier(roots)?);
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(config)
    }

    fn verifier(&self, roots: RootCertStore) -> Result<Verifier> {
        // The provider is named here: the default of the process is ambiguous, and rustls panics, if other crates bring a
        // second one.
        let provider = Arc::new(default_provider());
        let ordinary = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| unusable(&error))?;
        Ok(Verifier {
            ordinary,
            given: self.given.clone(),
        })
    }
}

fn unusable(error: &dyn StdError) -> Error {
    Error::new(Kind::Config, "TLS cannot be set up on this machine")
        .because(error.to_string())
        .advise(
            "Install the system's certificates (the package ca-certificates), name them in SSL_CERT_FILE, or check the \
             certificates of `network.ca_file`.",
        )
}

/// Verifies as rustls does, and besides trusts a server's certificate that is byte for byte one of those given.
#[derive(Debug)]
struct Verifier {
    ordinary: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let ordinary = |chain| {
            self.ordinary
                .verify_server_cert(end_entity, chain, server_name, ocsp_response, now)
        };
        if !self.given.iter().any(|given| given == end_entity) {
            return ordinary(intermediates);
        }
        // Without the rest of the chain, so that whatever is refused is this very certificate.
        match ordinary(&[]) {
            Err(error) if is_about_the_issuer(&error) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.ordinary.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.ordinary.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.ordinary.supported_verify_schemes()
    }
}

/// Says whether all that a certificate lacks is an authority that vouches for it. webpki looks at the dates before all of this,
/// and at the names after it.
fn is_about_the_issuer(error: &TlsError) -> bool {
    let TlsError::InvalidCertificate(fault) = error else {
        return false;
    };
    match fault {
        CertificateError::UnknownIssuer => true,
        fault if is_of_another_key(fault) => true,
        fault => is_authority(fault),
    }
}

/// Says whether an authority of the issuer's name is trusted, but has another key: as the certificate before the last renewal has, or
/// the one for `localhost` that Debian's ssl-cert makes.
fn is_of_another_key(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    )
}

/// Says whether the fault is that the server uses an authority's certificate as its own.
fn is_authority(fault: &CertificateError) -> bool {
    let CertificateError::Other(other) = fault else {
        return false;
    };
    matches!(
        other.0.downcast_ref(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

/// Why a server's certificate was refused, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One line about the certificate.
    pub cause: String,
    /// What to do.
    pub advice: &'static str,
}

/// Finds the verifier's refusal among an error and its causes.
pub fn refusal(error: &(dyn StdError + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(TlsError::InvalidCertificate(fault)) = error.downcast_ref() {
            return Some(explain(fault));
        }
        // An I/O error's `source` passes over the very error that it wraps.
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn explain(fault: &CertificateError) -> Refusal {
    use CertificateError as Fault;
    let (cause, advice) = match fault {
        Fault::ExpiredContext { time, not_after } => (
            format!("the certificate expired on {}, and it is {} here", date(*not_after), date(*time)),
            EXPIRED,
        ),
        Fault::Expired => ("the certificate expired".to_owned(), EXPIRED),
        Fault::NotValidYetContext { time, not_before } => (
            format!("the certificate is valid from {} on, and it is {} here", date(*not_before), date(*time)),
            NOT_YET,
        ),
        Fault::NotValidYet => ("the certificate is not valid yet".to_owned(), NOT_YET),
        Fault::NotValidForNameContext { presented, .. } if presented.is_empty() => (
            "the certificate names no host in its subjectAltName".to_owned(),
            "Make the server's certificate anew, with its host as subjectAltName: the subject's CN does not count. For example \
             `openssl req -x509 … -addext subjectAltName=DNS:HOST` (or IP:ADDRESS).",
        ),
        Fault::NotValidForNameContext { expected, presented } => (
            format!(
                "the certificate is for {}, not for {}",
                presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", "),
                expected.to_str()
            ),
            OTHER_NAME,
        ),
        Fault::NotValidForName => (
            "the certificate is for another host".to_owned(),
            OTHER_NAME,
        ),
        Fault::UnknownIssuer => (
            "no trusted authority has signed the certificate".to_owned(),
            "Set `network.ca_file` or SSL_CERT_FILE to the certificate (PEM) of the server's certificate authority, which is not \
             trusted here, or to the server's own. If it is set, the server has another certificate than that file, or \
             does not send its intermediate certificates.",
        ),
        fault if is_authority(fault) => (
            "the server's certificate is made for an authority (CA:TRUE), and is not in `network.ca_file`".to_owned(),
            "Set `network.ca_file` to this very certificate (PEM), or make the server's anew with \
             `-addext basicConstraints=critical,CA:FALSE`.",
        ),
        fault if is_of_another_key(fault) => (
            "an authority of the name that signed the certificate is trusted, but with another key".to_owned(),
            "Set `network.ca_file` to the server's certificate (PEM) as it is now, or to that of its authority: what is in \
             the file, or in the system's, has the same name and another key.",
        ),
        Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. } => (
            "the certificate is not for servers (its extendedKeyUsage lacks serverAuth)".to_owned(),
            "Reissue the server's certificate with `extendedKeyUsage=serverAuth`.",
        ),
        Fault::Revoked => (
            "the certificate is revoked".to_owned(),
            "Reissue the server's certificate. Until then do not trust the server.",
        ),
        fault => (
            format!("the certificate cannot be used: {fault}"),
            "Reissue the server's certificate: X.509 version 3, signed with SHA-256, a key of ECDSA P-256 or RSA 2048 or \
             better. `openssl x509 -text -noout -in FILE` shows it.",
        ),
    };
    Refusal { cause, advice }
}

const OTHER_NAME: &str = "Use a host in the URL that the certificate is for, or make the server's certificate anew with this one in \
     its subjectAltName.";
const EXPIRED: &str =
    "Renew the server's certificate. If it has not expired, correct this machine's clock.";
const NOT_YET: &str =
    "Correct this machine's clock. If it is right, the server's certificate is not valid yet.";

/// Returns a name of a certificate without webpki's word for its kind, as in `DnsName("git.example")`.
fn plain(name: &str) -> &str {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(name, |inner| inner.trim_matches('"'))
}

fn date(time: UnixTime) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(time.as_secs());
    humantime::format_rfc3339_seconds(time).to_string()
}
