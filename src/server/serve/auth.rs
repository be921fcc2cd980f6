//! Who may use the server: tokens, of which a file holds the hashes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use tracing::{error, info};

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::http::access::Caller;
use crate::http::error_response::ErrorResponse;
use crate::index::Checksum;

/// The hashes of tokens, and whose they are.
///
/// ```text
/// # SHA-256 of the token, then a name, as sha256sum prints them
/// 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  ci
/// ```
///
/// Tokens are long and random, so that a plain hash is as good as a slow one.
pub(super) struct Tokens {
    path: PathBuf,
    current: ArcSwap<(String, Names)>,
}

type Names = HashMap<Checksum, Arc<str>>;

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// `config`, with the line.
    pub(super) fn read(path: PathBuf) -> Result<Self> {
        let unread = |error: Error| {
            error.on("serve.auth").advise(
                "Set it to a file that this user may read, with a token's hash on each line.",
            )
        };
        let text = ServeConfig::read_file(&path).map_err(unread)?;
        let names = parse(&text).map_err(|error| error.on(path.display()))?;
        Ok(Self {
            current: ArcSwap::from_pointee((text, names)),
            path,
        })
    }

    /// Takes the file anew where it changed; with an error the old one counts on.
    pub(super) fn reload(&self) {
        let read = ServeConfig::read_file(&self.path);
        if read.as_ref().ok() == Some(&self.current.load().0) {
            return;
        }
        let parsed = read.and_then(|text| parse(&text).map(|names| (text, names)));
        match parsed {
            Ok(new) => {
                info!("{}: {} tokens", self.path.display(), new.1.len());
                self.current.store(Arc::new(new));
            }
            Err(error) => error!(
                "{}: {error}; the tokens read before count on",
                self.path.display()
            ),
        }
    }

    /// Checks the token of a request.
    ///
    /// # Errors
    /// 401.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Caller, ErrorResponse> {
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        // cargo sends the token alone.
        let given = given.map(|text| text.strip_prefix("Bearer ").unwrap_or(text).trim());
        let given =
            given.ok_or_else(|| unauthorized("this server takes a token: see `cargo login`"))?;
        let holder = self.holder(given);
        let holder = holder.ok_or_else(|| unauthorized("the token is not known here"))?;
        Ok(Caller(holder))
    }

    fn holder(&self, token: &str) -> Option<Arc<str>> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let current = self.current.load();
        current.1.get(&Checksum::from_bytes(hash)).cloned()
    }
}

fn parse(text: &str) -> Result<Names> {
    let mut names = Names::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (hash, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let hash: Checksum = hash.parse().map_err(|error| {
            let line = number + 1;
            Error::new(Kind::Config, format!("line {line} does not begin with a hash"))
                .because(error)
                .advise("Each line is the SHA-256 of a token, 64 hexadecimal digits, and a name. The token itself must not stand here.")
        })?;
        names.insert(hash, name.trim().trim_start_matches(['*', '-']).into());
    }
    Ok(names)
}

fn unauthorized(detail: &'static str) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::UNAUTHORIZED, detail)
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Cargo"))
}
