//! Reads the values of the section `serve`; a complaint says what was expected.

use std::path::PathBuf;

use url::Url;

use super::super::values;
use super::{AccessLog, Downloads, OfflineIndex, StoreUrl};

pub(in super::super) fn public_url(text: &str) -> Result<Url, String> {
    const EXPECTED: &str =
        "expected the address that clients use, such as https://crates.example.com";
    let url = Url::parse(text).map_err(|e| format!("{EXPECTED} ({e})"))?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match matches!(url.scheme(), "https" | "http") && is_plain {
        true => Ok(url),
        false => Err(EXPECTED.to_owned()),
    }
}

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

pub(in super::super) fn store(text: &str) -> Result<StoreUrl, String> {
    const EXPECTED: &str = "expected a folder or s3://bucket/prefix";
    if text.contains(char::is_control) {
        return Err(format!("{EXPECTED}, found `{}`", text.escape_debug()));
    }
    if !text.contains("://") {
        return Ok(StoreUrl::Folder(PathBuf::from(text)));
    }
    let url = Url::parse(text).map_err(|e| format!("{EXPECTED} ({e})"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "{EXPECTED} without user and password: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
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

/// Reads a number of bytes, with a unit of 1,000 or 1,024 or none.
pub(in super::super) fn size(text: &str) -> Result<u64, String> {
    let error = || {
        format!(
            "expected a size such as 256MiB or 50GB, found `{}`",
            text.escape_debug()
        )
    };
    let size: bytesize::ByteSize = text.parse().map_err(|_| error())?;
    Ok(size.as_u64())
}

pub(in super::super) fn connections(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err(format!(
            "expected a whole number from 1 to 1024, found `{}`",
            text.escape_debug()
        )),
    }
}

/// An address that stands in a header.
pub(in super::super) fn contact(text: &str) -> Result<String, String> {
    match text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && !text.contains(['(', ')']) {
        true => Ok(text.to_owned()),
        false => Err(
            "expected a mail or web address of printable ASCII characters without parentheses"
                .to_owned(),
        ),
    }
}

pub(in super::super) fn access_log(text: &str) -> Result<AccessLog, String> {
    match text {
        // YAML's own word for it.
        "off" | "false" => Ok(AccessLog::Off),
        "stderr" => Ok(AccessLog::Stderr),
        _ => values::path(text).map(AccessLog::File),
    }
}
