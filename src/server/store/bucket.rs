//! A store in a bucket of an S3 server. Uses object_store.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore as _, ObjectStoreExt as _,
    RetryConfig, WriteMultipart,
};
use secrecy::ExposeSecret as _;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use tracing::warn;
use url::Url;

use super::{Content, StoredBytes, StoredFile};
use crate::config::{Network, Secrets};
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Proxies, Trust};

/// The size of a part of a multipart upload, in bytes.
// S3 takes no smaller parts than 5 MiB, the last one excepted.
const PART: usize = 8 << 20;
/// How long aborting an upload may take.
const ABORT: Duration = Duration::from_secs(10);

/// A bucket, and the prefix of all keys in it.
pub struct Bucket {
    client: AmazonS3,
    prefix: Key,
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
            match name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                Ok(key) => {
                    check_variable(name, value.expose_secret())?;
                    builder = builder.with_config(key, value.expose_secret());
                }
                Err(_) => warn!("ignoring {name}: it is no setting of an S3 client"),
            }
        }
        let client = builder
            .with_bucket_name(bucket)
            .with_client_options(client_options(secrets, network))
            .with_http_connector(Connector::new(network)?)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: network.retries as usize,
                retry_timeout: network.idle_timeout,
            })
            .build()
            .map_err(unusable)?;
        Ok(Self {
            client,
            prefix: Key::from(prefix),
        })
    }

    fn key(&self, path: &str) -> Key {
        path.split('/')
            .fold(self.prefix.clone(), |key, part| key.join(part))
    }

    pub(super) async fn get(&self, path: &str) -> io::Result<Option<StoredBytes>> {
        let found = match self.client.get(&self.key(path)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found?,
        };
        let size = found.meta.size;
        let stream = found.into_stream().map_err(io::Error::from);
        Ok(Some(StoredBytes::Stream(size, stream.boxed())))
    }

    pub(super) async fn size(&self, path: &str) -> io::Result<Option<u64>> {
        match self.client.head(&self.key(path)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn put(&self, path: &str, content: Content<'_>) -> io::Result<()> {
        let key = self.key(path);
        match content {
            // Without a condition: servers that store the same file write the same verified bytes.
            Content::Bytes(bytes) => drop(self.client.put(&key, bytes.into()).await?),
            Content::File(from) => self.put_file(&key, from).await?,
        }
        Ok(())
    }

    /// Uploads in parts, which become an object when the upload completes, or never.
    async fn put_file(&self, key: &Key, from: &Path) -> io::Result<()> {
        let upload = self.client.put_multipart(key).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        if let Err(error) = write_parts(&mut upload, from).await {
            // The parts of an upload that is not aborted are stored, and billed, but never listed.
            let aborted = timeout(ABORT, upload.abort()).await;
            if !matches!(aborted, Ok(Ok(()))) {
                warn!("{key}: cannot abort the failed upload; its parts stay in the bucket");
            }
            return Err(error);
        }
        // Aborts the upload itself if it fails.
        upload.finish().await?;
        Ok(())
    }

    pub(super) async fn remove(&self, path: &str) -> io::Result<()> {
        match self.client.delete(&self.key(path)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => Ok(removed?),
        }
    }

    pub(super) async fn list(&self) -> io::Result<Vec<StoredFile>> {
        let skipped = match self.prefix.as_ref() {
            "" => 0,
            prefix => prefix.len() + 1,
        };
        let listed = self.client.list(Some(&self.prefix));
        let files = listed.map_ok(|found| StoredFile {
            path: found
                .location
                .as_ref()
                .get(skipped..)
                .unwrap_or_default()
                .to_owned(),
            size: found.size,
            modified: found.last_modified.into(),
        });
        Ok(files.try_collect().await?)
    }
}

async fn write_parts(upload: &mut WriteMultipart, from: &Path) -> io::Result<()> {
    let mut file = tokio::fs::File::open(from).await?;
    let mut buffer = vec![0; PART];
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        // At most two parts in flight, so that memory stays small however large the file is.
        upload.wait_for_capacity(2).await?;
        upload.write(&buffer[..read]);
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
    fn new(network: &Network) -> Result<Self> {
        let mut tls = Trust::new(network.extra_cas.as_deref())?.client_config()?;
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
