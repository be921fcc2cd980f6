//! A real S3 server (s3s-fs) over a folder, which checks signatures and can be told what to refuse.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use hyper::{HeaderMap, Method, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::route::S3Route;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::server::{Server, Site};

const ACCESS_KEY: &str = "access-key";
const SECRET_KEY: &str = "secret-key-of-the-bucket";

/// What a server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    /// Requests whose signature is wrong.
    Forgeries,
    /// Besides them, with `AccessDenied`, objects that are not there: as S3 does for keys that may not list the bucket.
    Absent,
    /// Everything, with this code.
    All(&'static str),
    /// What would be stored, with this code.
    Writes(&'static str),
    /// To list the bucket, with `AccessDenied`.
    Lists,
    /// What has this in its query, with this code.
    Query(&'static str, &'static str),
}

/// A running server with the bucket `crates`; dropping it ends it.
pub struct S3 {
    address: SocketAddr,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl S3 {
    /// Starts a server over a folder.
    pub fn start(folder: &Path) -> Self {
        Self::start_at(folder, "127.0.0.1:0".parse().unwrap())
    }

    /// Starts a server at an address, as one that was stopped and comes back.
    pub fn start_at(folder: &Path, address: SocketAddr) -> Self {
        Self::run(folder, address, Refuses::Forgeries, None, None)
    }

    /// Starts a server that refuses something.
    pub fn refusing(folder: &Path, refuses: Refuses) -> Self {
        Self::run(folder, "127.0.0.1:0".parse().unwrap(), refuses, None, None)
    }

    /// Starts a server whose bucket has these lifecycle rules; s3s-fs itself knows none.
    pub fn with_lifecycle(folder: &Path, rules: &str) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let lifecycle = LifecycleRoute(format!(
            "<LifecycleConfiguration>{rules}</LifecycleConfiguration>"
        ));
        Self::run(folder, address, Refuses::Forgeries, None, Some(lifecycle))
    }

    /// Starts a server with a certificate and its key, in PEM files.
    pub fn with_certificate(folder: &Path, (cert, key): &(PathBuf, PathBuf)) -> Self {
        let cert = CertificateDer::from_pem_file(cert).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let address = "127.0.0.1:0".parse().unwrap();
        Self::run(folder, address, Refuses::Forgeries, Some(tls), None)
    }

    fn run(
        folder: &Path,
        address: SocketAddr,
        refuses: Refuses,
        tls: Option<TlsAcceptor>,
        lifecycle: Option<LifecycleRoute>,
    ) -> Self {
        std::fs::create_dir_all(folder.join("crates")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let asked = Arc::default();
        service.set_access(Gate {
            folder: folder.to_owned(),
            refuses,
            asked: Arc::clone(&asked),
        });
        if let Some(lifecycle) = lifecycle {
            service.set_route(lifecycle);
        }
        let (service, (listening, heard)) = (service.build(), channel());
        let (stop, stopped) = oneshot::channel();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(address).await.unwrap();
                listening.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, service, tls) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: heard.recv().unwrap(),
            scheme,
            asked,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how often it was asked for this operation, such as `ListObjectsV2`.
    pub fn asked_for(&self, operation: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == operation).count()
    }

    /// Returns the variables of a server that keeps its crate files here.
    pub fn variables(&self) -> Vec<(String, String)> {
        [
            ("FERRY_SERVE_STORE", "s3://crates/kept/here".to_owned()),
            (
                "AWS_ENDPOINT_URL",
                format!("{}://{}", self.scheme, self.address),
            ),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Starts a server of this site with this bucket as its store and a data folder of its own, and waits until it is ready.
    pub fn serve(&self, site: &Site, data: &str, pairs: &[(&str, &str)]) -> Server {
        let data = site.folder.path().join(data).display().to_string();
        let mut variables = site.variables_and(&[("FERRY_SERVE_DATA_DIR", &data)]);
        variables.extend(self.variables());
        let pairs = pairs.iter();
        variables.extend(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let server = Server::start(&variables);
        server.wait_until_ready();
        server
    }
}

/// Answers what the lifecycle rules of the bucket are, to those whose signature is right.
struct LifecycleRoute(String);

impl S3Route for LifecycleRoute {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        _: &HeaderMap,
        _: &mut hyper::http::Extensions,
    ) -> bool {
        let query = uri.query().unwrap_or_default();
        *method == Method::GET && query.split('&').any(|part| part == "lifecycle=")
    }

    // As async-trait, which the trait is made with, has it.
    fn call<'route, 'future>(
        &'route self,
        _: S3Request<Body>,
    ) -> Pin<Box<dyn Future<Output = S3Result<S3Response<Body>>> + Send + 'future>>
    where
        'route: 'future,
        Self: 'future,
    {
        let response = S3Response::new(Body::from(self.0.clone()));
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// What decides over each request.
struct Gate {
    folder: PathBuf,
    refuses: Refuses,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    fn decide(&self, cx: &S3AccessContext<'_>) -> Result<(), &'static str> {
        let is_there = || match cx.s3_path().as_object() {
            Some((bucket, key)) => self.folder.join(bucket).join(key).is_file(),
            None => true,
        };
        let is_write = *cx.method() == "PUT" || *cx.method() == "POST";
        let operation = cx.s3_op().name();
        self.asked.lock().unwrap().push(operation.to_owned());
        match self.refuses {
            Refuses::Lists if operation == "ListObjectsV2" => Err("AccessDenied"),
            Refuses::Query(part, code)
                if cx.uri().query().is_some_and(|query| query.contains(part)) =>
            {
                Err(code)
            }
            Refuses::All(code) => Err(code),
            Refuses::Writes(code) if is_write => Err(code),
            Refuses::Absent if !is_write && !is_there() => Err("AccessDenied"),
            _ => Ok(()),
        }
    }
}

impl S3Access for Gate {
    // As async-trait, which the trait is made with, has it.
    fn check<'gate, 'cx, 'of, 'future>(
        &'gate self,
        cx: &'cx mut S3AccessContext<'of>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'future>>
    where
        'gate: 'future,
        'cx: 'future,
        'of: 'future,
        Self: 'future,
    {
        let decided = self
            .decide(cx)
            .map_err(|code| S3Error::new(S3ErrorCode::from_bytes(code.as_bytes()).unwrap()));
        Box::pin(std::future::ready(decided))
    }
}

async fn serve(listener: TcpListener, service: S3Service, tls: Option<TlsAcceptor>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (service, tls) = (service.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => answer(stream, service).await,
                // A client that does not trust the certificate is no failure here.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream, service).await;
                    }
                }
            }
        });
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, service: S3Service) {
    let server = Builder::new(TokioExecutor::new());
    // A client that went away is no failure.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap();
    }
}
