//! A store in a bucket of an S3 server. Uses object_store.

use std::future::ready;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore as _, ObjectStoreExt as _, PutMode,
    RetryConfig, WriteMultipart,
};
use secrecy::ExposeSecret as _;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use tracing::warn;
use url::Url;

use super::bucket_error::{ACCESS_DENIED, BucketError, code, is_missing_bucket};
use super::{Content, StoredBytes, StoredFile};
use crate::config::{AWS_CA_BUNDLE, Network, Secrets};
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Proxies, Trust};

/// The size of a part of a multipart upload, in bytes.
// S3 takes no smaller parts than 5 MiB, the last one excepted.
const PART: usize = 8 << 20;
/// An object that no server stores.
const PROBE: &str = ".crates-ferry-probe";
/// How many files of one crate are listed: ten requests.
const OF_ONE_CRATE: usize = 10_000;
/// How long aborting an upload may take.
const ABORT: Duration = Duration::from_secs(10);

/// A bucket, and the prefix of all keys in it.
pub struct Bucket {
    pub(super) client: AmazonS3,
    /// Sends what `client` has no call for.
    pub(super) http: HttpClient,
    pub(super) prefix: Key,
    /// The bucket and its server, as errors name them.
    pub(super) place: String,
    /// It was logged that the server denies what may be an object that is not there.
    has_warned: AtomicBool,
}

impl Bucket {
    pub(super) fn new(
        bucket: &str,
        prefix: &str,
        secrets: &Secrets,
        network: &Network,
    ) -> Result<Self> {
        let unusable = |error: object_store::Error| {
            Error::new(Kind::Config, format!("cannot use the bucket {bucket}"))
                .because(error)
                .advise("Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL.")
        };
        let mut builder = AmazonS3Builder::new();
        for (name, value) in &secrets.aws {
            // The certificates are the connector's.
            if name == AWS_CA_BUNDLE {
                continue;
            }
            match name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                Ok(key) => {
                    check_variable(name, value.expose_secret())?;
                    builder = builder.with_config(key, value.expose_secret());
                }
                Err(_) => warn!("ignoring {name}: it is no setting of an S3 client"),
            }
        }
        let connector = Connector::new(secrets, network)?;
        let options = client_options(secrets, network);
        let http = connector.connect(&options).map_err(unusable)?;
        let client = builder
            .with_bucket_name(bucket)
            .with_client_options(options)
            .with_http_connector(connector)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: network.retries as usize,
                retry_timeout: network.idle_timeout,
            })
            .build()
            .map_err(unusable)?;
        Ok(Self {
            client,
            http,
            prefix: Key::from(prefix),
            place: place(bucket, secrets),
            has_warned: AtomicBool::new(false),
        })
    }

    /// Asks for an object that is not there, which shows whether server, bucket and credentials can be used.
    pub(super) async fn probe(&self) -> io::Result<()> {
        match self.client.get(&self.key(PROBE)).await {
            Ok(_) => Ok(()),
            Err(error) => self.absent_or::<()>(error).map(drop),
        }
    }

    fn key(&self, path: &str) -> Key {
        path.split('/')
            .fold(self.prefix.clone(), |key, part| key.join(part))
    }

    pub(super) async fn get(&self, path: &str) -> io::Result<Option<StoredBytes>> {
        let found = match self.client.get(&self.key(path)).await {
            Ok(found) => found,
            Err(error) => return self.absent_or(error),
        };
        let size = found.meta.size;
        let place = self.place.clone();
        let stream = found.into_stream();
        let stream = stream.map_err(move |error| BucketError::of(&place, &error).into());
        Ok(Some(StoredBytes::Stream(size, stream.boxed())))
    }

    pub(super) async fn size(&self, path: &str) -> io::Result<Option<u64>> {
        match self.client.head(&self.key(path)).await {
            Ok(found) => Ok(Some(found.size)),
            // The answer to a HEAD has no body, and so no code: only a GET is told what the 403 is about.
            Err(error @ object_store::Error::PermissionDenied { .. }) => {
                let asked = self.client.get_range(&self.key(path), 0..1).await;
                self.absent_or(asked.err().unwrap_or(error))
            }
            Err(error) => self.absent_or(error),
        }
    }

    pub(super) async fn modified(&self, path: &str) -> io::Result<Option<SystemTime>> {
        match self.client.head(&self.key(path)).await {
            Ok(found) => Ok(Some(found.last_modified.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Tells an object that is not there from a failure.
    fn absent_or<T>(&self, error: object_store::Error) -> io::Result<Option<T>> {
        match &error {
            object_store::Error::NotFound { .. } if !is_missing_bucket(&error) => Ok(None),
            // S3 answers so for an object that does not exist to those who may not list the bucket.
            object_store::Error::PermissionDenied { .. }
                if code(&error).as_deref() == Some(ACCESS_DENIED) =>
            {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    let error = self.failed(error);
                    warn!("{error}; until then each object that is denied counts as absent");
                }
                Ok(None)
            }
            _ => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: object_store::Error) -> io::Error {
        BucketError::of(&self.place, &error).into()
    }

    pub(super) async fn put(&self, path: &str, content: Content<'_>) -> io::Result<()> {
        let key = self.key(path);
        match content {
            // Without a condition: servers that store the same file write the same verified bytes.
            Content::Bytes(bytes) => {
                let put = self.client.put(&key, bytes.into()).await;
                put.map_err(|error| self.failed(error))?;
            }
            Content::File(from) => self.put_file(&key, from).await?,
        }
        Ok(())
    }

    pub(super) async fn create_new(&self, path: &str, bytes: Bytes) -> io::Result<bool> {
        let created = self
            .client
            .put_opts(&self.key(path), bytes.into(), PutMode::Create.into())
            .await;
        match created {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            created => created.map(|_| true).map_err(|error| self.failed(error)),
        }
    }

    pub(super) async fn set_aside(&self, path: &str, to: &str) -> io::Result<()> {
        // S3 has no rename: the object is copied, and then removed.
        match self.client.rename(&self.key(path), &self.key(to)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            renamed => renamed.map_err(|error| self.failed(error)),
        }
    }

    pub(super) async fn names_from(&self, folder: &str, first: &str) -> io::Result<Vec<String>> {
        let folder = self.key(folder);
        let offset = folder.clone().join(first);
        let listed = self.client.list_with_offset(Some(&folder), &offset);
        let names = listed.map_ok(|found| {
            let parts = found.location.prefix_match(&folder).into_iter().flatten();
            let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
            parts.join("/")
        });
        let listed = names.try_collect().await;
        listed.map_err(|error| self.failed(error))
    }

    /// Uploads in parts, which become an object when the upload completes, or never.
    async fn put_file(&self, key: &Key, from: &Path) -> io::Result<()> {
        let upload = self.client.put_multipart(key).await;
        let upload = upload.map_err(|error| self.failed(error))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        if let Err(error) = self.write_parts(&mut upload, from).await {
            // The parts of an upload that is not aborted are stored, and billed, but never listed.
            let aborted = timeout(ABORT, upload.abort()).await;
            if !matches!(aborted, Ok(Ok(()))) {
                warn!("{key}: cannot abort the failed upload; its parts stay in the bucket");
            }
            return Err(error);
        }
        // Aborts the upload itself if it fails.
        let finished = upload.finish().await;
        finished.map(drop).map_err(|error| self.failed(error))
    }

    pub(super) async fn remove(&self, path: &str) -> io::Result<()> {
        match self.client.delete(&self.key(path)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => removed.map_err(|error| self.failed(error)),
        }
    }

    pub(super) async fn list(&self) -> io::Result<Vec<StoredFile>> {
        self.below(&self.prefix).try_collect().await
    }

    /// Lists all files, one after the other: a bucket may have more than memory should take.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn list_each(&self, mut each: impl FnMut(StoredFile)) -> io::Result<()> {
        let listed = self.below(&self.prefix);
        let listed = listed.try_for_each(|file| {
            each(file);
            ready(Ok(()))
        });
        listed.await
    }

    /// Lists the files of one crate's folder, the first 10,000 of them.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn list_folder(&self, folder: &str) -> io::Result<Vec<StoredFile>> {
        let folder = self.key(folder);
        let listed = self.below(&folder).take(OF_ONE_CRATE);
        listed.try_collect().await
    }

    fn below(&self, prefix: &Key) -> impl Stream<Item = io::Result<StoredFile>> {
        let skipped = match self.prefix.as_ref() {
            "" => 0,
            prefix => prefix.len() + 1,
        };
        let listed = self.client.list(Some(prefix));
        let files = listed.map_ok(move |found| StoredFile {
            path: found
                .location
                .as_ref()
                .get(skipped..)
                .unwrap_or_default()
                .to_owned(),
            size: found.size,
            modified: found.last_modified.into(),
        });
        files.map_err(|error| self.failed(error))
    }

    async fn write_parts(&self, upload: &mut WriteMultipart, from: &Path) -> io::Result<()> {
        let mut file = tokio::fs::File::open(from).await?;
        let mut buffer = vec![0; PART];
        loop {
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            // At most two parts in flight, so that memory stays small however large the file is.
            let room = upload.wait_for_capacity(2).await;
            room.map_err(|error| self.failed(error))?;
            upload.write(&buffer[..read]);
        }
    }
}

/// Names a bucket and, where it is not AWS's, its server.
fn place(bucket: &str, secrets: &Secrets) -> String {
    let is_endpoint = |(name, _): &&(String, secrecy::SecretString)| {
        matches!(
            name.as_str(),
            "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_S3" | "AWS_ENDPOINT"
        )
    };
    // Checked to carry no password.
    match secrets.aws.iter().find(is_endpoint) {
        Some((_, server)) => format!("s3://{bucket} at {}", server.expose_secret()),
        None => format!("s3://{bucket}"),
    }
}

/// Refuses addresses that object_store takes and panics over with the first request.
fn check_variable(name: &str, value: &str) -> Result<()> {
    let is_address = name.contains("_ENDPOINT") || name.ends_with("_FULL_URI");
    let checked = match name {
        "AWS_REGION" | "AWS_DEFAULT_REGION" => check_region(value),
        _ if is_address => check_address(value),
        _ => Ok(()),
    };
    checked.map_err(|(why, advice)| {
        Error::new(Kind::Config, format!("the variable {name} {why}")).advise(advice)
    })
}

/// Says what is wrong with an address, and what to do.
fn check_address(text: &str) -> Result<(), (String, String)> {
    let expected = "must begin with https:// or http://";
    let url = Url::parse(text).ok();
    let has_user = |url: &Url| !url.username().is_empty() || url.password().is_some();
    match url {
        Some(url) if has_user(&url) => Err((
            "must not carry a user and a password".to_owned(),
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.".to_owned(),
        )),
        Some(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => Ok(()),
        // `HOST:PORT` is read as a scheme and a path.
        _ if text.contains(['@', '/']) || text.is_empty() => Err((
            expected.to_owned(),
            "Set it to an address such as https://s3.example.com.".to_owned(),
        )),
        _ => Err((
            format!("is `{text}`, and {expected}"),
            format!(
                "Set it to https://{text}, or to http://{text} where the server has no certificate."
            ),
        )),
    }
}

/// A region becomes a part of the server's name.
fn check_region(text: &str) -> Result<(), (String, String)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    match text.chars().all(is_part) {
        true => Ok(()),
        false => Err((
            "is not the name of a region".to_owned(),
            "Set it to a name such as eu-central-1; any will do for a server of your own."
                .to_owned(),
        )),
    }
}

fn client_options(secrets: &Secrets, network: &Network) -> ClientOptions {
    let is_plain = |(name, value): &(String, secrecy::SecretString)| {
        name.starts_with("AWS_ENDPOINT") && value.expose_secret().starts_with("http://")
    };
    ClientOptions::new()
        .with_allow_http(secrets.aws.iter().any(is_plain))
        .with_connect_timeout(network.connect_timeout)
}

/// Makes the HTTP clients of a bucket. object_store's own take certificates of authorities only, and not the verifier of
/// [`Trust`].
#[derive(Debug)]
struct Connector {
    tls: ClientConfig,
    connect_timeout: Duration,
    idle_timeout: Duration,
    timeout: Duration,
    proxies: Proxies,
}

impl Connector {
    fn new(secrets: &Secrets, network: &Network) -> Result<Self> {
        let given = [network.extra_cas.clone(), secrets.aws_cas()?];
        let cas: Vec<_> = given.into_iter().flatten().collect();
        let cas = (!cas.is_empty()).then(|| cas.join("\n"));
        let mut tls = Trust::new(cas.as_deref())?.client_config()?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls,
            connect_timeout: network.connect_timeout,
            idle_timeout: network.idle_timeout,
            timeout: network.timeout,
            proxies: network.proxies.clone(),
        })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Of the options only what object_store itself changes for the services that it gets credentials from.
        let option = |key| options.get_config_value(&key);
        let allows_http = option(ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let connect_timeout = option(ClientConfigKey::ConnectTimeout)
            .and_then(|text| humantime::parse_duration(&text).ok())
            .unwrap_or(self.connect_timeout);
        // No limit for a whole answer but `network.timeout`, and none of the encodings that change its length.
        let client = self
            .proxies
            .apply(reqwest::Client::builder())
            .http1_only()
            .tls_backend_preconfigured(self.tls.clone())
            .https_only(!allows_http)
            .connect_timeout(connect_timeout)
            .read_timeout(self.idle_timeout)
            .timeout(self.timeout)
            .build()
            .map_err(|error| object_store::Error::Generic {
                store: "S3",
                source: Box::new(error),
            })?;
        Ok(HttpClient::new(client))
    }
}
