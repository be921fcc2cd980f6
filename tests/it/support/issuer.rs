//! A stand-in for a host of CI that signs the OIDC tokens of its jobs: with real keys, on loopback.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A key that signs, and its id.
pub struct SigningKey {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// Makes a key of RSA, for RS256.
    pub fn rsa(id: &str) -> Self {
        Self::new(
            id,
            Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        )
    }

    /// Makes a key of the curve P-256, for ES256.
    pub fn ec(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::new(id, Pair::Ec(pair.unwrap()))
    }

    /// Makes a key of Ed25519, for EdDSA.
    pub fn ed(id: &str) -> Self {
        Self::new(id, Pair::Ed(Ed25519KeyPair::generate().unwrap()))
    }

    fn new(id: &str, pair: Pair) -> Self {
        Self {
            id: id.to_owned(),
            pair,
        }
    }

    /// Returns the algorithm that goes with it.
    pub fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// Returns the public key, as a set of keys has it.
    pub fn public(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                json!({"kty": "RSA", "n": text(n.big_endian_without_leading_zero()), "e": text(e.big_endian_without_leading_zero())})
            }
            Pair::Ec(pair) => {
                // Uncompressed: 4, and both coordinates.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
        };
        key["kid"] = self.id.clone().into();
        key["use"] = "sig".into();
        key
    }

    /// Returns the public key of RSA as a file of PEM has it: what a confused server would take for a secret.
    pub fn public_pem(&self) -> String {
        let Pair::Rsa(pair) = &self.pair else {
            panic!("no key of RSA");
        };
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }

    /// Signs claims, as a token.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.id});
        self.sign_with(&header, claims)
    }

    /// Signs claims, with a header of its own.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let message = text.as_bytes();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Pair::Ec(pair) => pair
                .sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Returns header and claims of a token, without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Signs claims by HS256, with this secret.
pub fn sign_by_secret(id: &str, claims: &Value, secret: &[u8]) -> String {
    let text = unsigned(&json!({"alg": "HS256", "typ": "JWT", "kid": id}), claims);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// What the host answers to each path.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This, with 200.
    Json(Value),
    /// Such a status, and where to.
    Status(u16, String),
    /// So many bytes, none of which is JSON.
    Endless(usize),
    /// Nothing, while the connection stays open.
    Silence,
}

/// A running host.
pub struct Issuer {
    /// What it calls itself.
    pub url: String,
    answers: Arc<Mutex<Vec<(String, Answer)>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/oauth/discovery/keys";

impl Issuer {
    /// Starts a host with these keys.
    pub fn start(keys: &[&SigningKey]) -> Self {
        Self::run(keys, None)
    }

    /// Starts a host that speaks TLS, with this certificate and its key.
    pub fn start_tls(keys: &[&SigningKey], cert: &Path, key: &Path) -> Self {
        let cert = CertificateDer::from_pem_file(cert).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![cert], key).unwrap();
        Self::run(keys, Some(Arc::new(config)))
    }

    fn run(keys: &[&SigningKey], tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let issuer = Self {
            url,
            answers: Arc::default(),
            requests: Arc::default(),
        };
        let answers = Arc::clone(&issuer.answers);
        let requests = Arc::clone(&issuer.requests);
        // Ends with the test's process: it waits in the system.
        std::thread::spawn(move || {
            // Connections that get no answer stay open.
            let mut open = Vec::new();
            for stream in listener.incoming().flatten() {
                match &tls {
                    None => open.extend(serve(stream, &answers, &requests)),
                    Some(config) => {
                        let session = ServerConnection::new(Arc::clone(config)).unwrap();
                        drop(serve(
                            StreamOwned::new(session, stream),
                            &answers,
                            &requests,
                        ));
                    }
                }
            }
        });
        issuer
            .describe(&json!({"issuer": issuer.url, "jwks_uri": format!("{}{KEYS}", issuer.url)}));
        issuer.set_keys(keys);
        issuer
    }

    /// Has these keys from now on.
    pub fn set_keys(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
        self.answer_keys(Answer::Json(json!({"keys": keys})));
    }

    /// Describes itself so.
    pub fn describe(&self, description: &Value) {
        self.answer(DISCOVERY, Answer::Json(description.clone()));
    }

    /// Answers so who asks for the description.
    pub fn answer_discovery(&self, answer: Answer) {
        self.answer(DISCOVERY, answer);
    }

    /// Answers so who asks for the keys.
    pub fn answer_keys(&self, answer: Answer) {
        self.answer(KEYS, answer);
    }

    /// Answers so who asks for a path.
    pub fn answer(&self, path: &str, answer: Answer) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(known, _)| known != path);
        answers.push((path.to_owned(), answer));
    }

    /// Returns the paths that were asked for.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the claims of a job of GitLab, with an id of their own.
    pub fn claims(&self, id: &str) -> Value {
        let now = Timestamp::now().as_second();
        json!({
            "iss": self.url, "aud": "crates-ferry", "iat": now, "nbf": now - 5, "exp": now + 300, "jti": id,
            "sub": "project_path:rust/core:ref_type:branch:ref:main", "project_path": "rust/core", "project_id": "17",
            "ref": "main", "ref_type": "branch", "ref_protected": "true", "pipeline_source": "push", "job_id": "301"
        })
    }
}

/// Answers a request, and returns the connection if it is to get no answer.
fn serve<S: Read + Write>(
    stream: S,
    answers: &Mutex<Vec<(String, Answer)>>,
    requests: &Mutex<Vec<String>>,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    // It ends with an empty line; a client that trusts nobody sends none.
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).unwrap_or(0) == 0 {
            return None;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    requests.lock().unwrap().push(path.clone());
    let answers = answers.lock().unwrap().clone();
    let answer = answers.into_iter().find(|(known, _)| *known == path);
    let answer = answer.map_or(Answer::Status(404, String::new()), |(_, answer)| answer);
    let (status, location, body) = match answer {
        Answer::Json(value) => (200, String::new(), value.to_string().into_bytes()),
        Answer::Status(status, location) => (status, location, Vec::new()),
        Answer::Endless(length) => (200, String::new(), vec![b' '; length]),
        Answer::Silence => return Some(stream.into_inner()),
    };
    let location = match location.is_empty() {
        true => location,
        false => format!("location: {location}\r\n"),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} so\r\n{location}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let stream = stream.get_mut();
    // A client may have left.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    let _ = stream.flush();
    None
}
