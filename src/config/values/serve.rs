//! What the section `serve` chooses between: how crate files are served and where they are stored, where requests are logged.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::paths;
use crate::git::url_fault;
use crate::index::CrateName;

/// How crate files are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downloads {
    /// They are fetched once, verified and stored.
    Cache,
    /// Clients are redirected to upstream.
    Redirect,
    /// Those that are stored are served, and nothing is fetched.
    Offline,
}

/// What the index lists while nothing is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflineIndex {
    /// Everything.
    Full,
    /// The versions whose crate files are stored.
    Held,
}

/// Where crate files are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket of an S3 server, below a prefix (which may be empty).
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// What each key begins with, without a slash at either end.
        prefix: String,
    },
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Where each request is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// On stderr.
    Stderr,
    /// At the end of a file.
    File(PathBuf),
}

/// Reads the name of a crate.
pub(in super::super) fn crate_name(text: &str) -> Result<CrateName, String> {
    CrateName::new(text).map_err(|error| format!("expected the name of a crate: {error}"))
}

/// Reads `cache`, `redirect` or `offline`.
pub(in super::super) fn downloads(text: &str) -> Result<Downloads, String> {
    match text {
        "cache" => Ok(Downloads::Cache),
        "redirect" => Ok(Downloads::Redirect),
        "offline" => Ok(Downloads::Offline),
        _ => Err(format!(
            "expected cache, redirect or offline, found `{}`",
            text.escape_debug()
        )),
    }
}

/// Reads `full` or `held`.
pub(in super::super) fn offline_index(text: &str) -> Result<OfflineIndex, String> {
    match text {
        "full" => Ok(OfflineIndex::Full),
        "held" => Ok(OfflineIndex::Held),
        _ => Err(format!(
            "expected full or held, found `{}`",
            text.escape_debug()
        )),
    }
}

/// Reads a folder, `file://…`, or `s3://bucket/prefix`.
pub(in super::super) fn store(text: &str) -> Result<StoreUrl, String> {
    const EXPECTED: &str = "expected a folder or s3://bucket/prefix";
    if text.contains(char::is_control) {
        return Err(format!("{EXPECTED}, found `{}`", text.escape_debug()));
    }
    if !text.contains("://") && text.starts_with("s3:") {
        let bucket = text.trim_start_matches("s3:").trim_start_matches('/');
        return Err(format!(
            "{EXPECTED}, found `{}`: write s3://{}, or ./{0} for a folder of that name",
            text.escape_debug(),
            bucket.escape_debug()
        ));
    }
    if !text.contains("://") {
        return Ok(StoreUrl::Folder(PathBuf::from(text)));
    }
    let url = Url::parse(text).map_err(|e| format!("{EXPECTED} ({})", url_fault(e)))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "{EXPECTED} without user and password: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ));
    }
    if let ("s3", Some(port)) = (url.scheme(), url.port()) {
        let (server, path) = (url.host_str().unwrap_or_default(), url.path());
        return Err(format!(
            "{EXPECTED}, without a server: write s3:/{path}, and set AWS_ENDPOINT_URL to http://{server}:{port} or https://{server}:{port}"
        ));
    }
    match (url.scheme(), url.host_str()) {
        ("file", _) => url
            .to_file_path()
            .map(StoreUrl::Folder)
            .map_err(|()| EXPECTED.to_owned()),
        ("s3", Some(bucket)) if url.query().is_none() && url.fragment().is_none() => {
            Ok(StoreUrl::Bucket {
                bucket: bucket.to_owned(),
                prefix: url.path().trim_matches('/').to_owned(),
            })
        }
        _ => Err(EXPECTED.to_owned()),
    }
}

/// Reads an address that is sent in a header.
pub(in super::super) fn contact(text: &str) -> Result<String, String> {
    // It becomes a comment of the User-Agent (RFC 9110, 10.1.5), which a parenthesis would begin or end.
    match text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && !text.contains(['(', ')']) {
        true => Ok(text.to_owned()),
        false => Err(
            "expected a mail or web address of printable ASCII characters without parentheses"
                .to_owned(),
        ),
    }
}

/// Reads `stderr`, `off`, or the path of a file.
pub(in super::super) fn access_log(text: &str) -> Result<AccessLog, String> {
    match text {
        // In YAML 1.1 a bare `off` is false, so tools that rewrite a file may have written that.
        "off" | "false" => Ok(AccessLog::Off),
        "stderr" => Ok(AccessLog::Stderr),
        _ => paths::path(text).map(AccessLog::File),
    }
}
