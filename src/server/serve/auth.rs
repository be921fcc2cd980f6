//! Tokens of clients: the file of `serve.auth` holds their hashes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use tracing::{error, info};

use super::pages;
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::http::access::Caller;
use crate::http::error_response::ErrorResponse;
use crate::http::logged_failure::LoggedFailure;
use crate::index::Checksum;

/// The hashes of the tokens that are accepted, and their names.
///
/// ```text
/// # SHA-256 of the token, then a name, as sha256sum prints them
/// 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  ci
/// ```
///
/// Tokens are long and random, so that SHA-256 does: a slow hash protects what people can remember.
pub(super) struct Tokens {
    path: PathBuf,
    /// What the file held when it was last read, and what that means.
    current: ArcSwap<(String, Names)>,
    failure: LoggedFailure,
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
                "Set it to a file that this user may read, with the hash of a token on each line.",
            )
        };
        let text = ServeConfig::read_file(&path).map_err(unread)?;
        let names = parse(&text).map_err(|error| error.on(path.display()))?;
        Ok(Self {
            current: ArcSwap::from_pointee((text, names)),
            path,
            failure: LoggedFailure::default(),
        })
    }

    /// Reads the file again if it changed. If that fails, the tokens that were read before stay valid, and the failure
    /// is logged once, but always if somebody asked for this.
    pub(super) fn reload(&self, is_asked: bool) {
        if is_asked {
            self.failure.end();
        }
        let read = ServeConfig::read_file(&self.path);
        if read.as_ref().ok() == Some(&self.current.load().0) {
            return self.failure.end();
        }
        let parsed = read.and_then(|text| parse(&text).map(|names| (text, names)));
        match parsed {
            Ok(new) => {
                let tokens = counted(new.1.len(), "token");
                info!("{}: {tokens}", self.path.display());
                self.failure.end();
                self.current.store(Arc::new(new));
            }
            Err(error) => {
                let error = error.to_string();
                if self.failure.is_new(&error) {
                    let path = self.path.display();
                    error!("{path}: {error}; the tokens that were read before stay valid");
                }
            }
        }
    }

    /// Checks the token of a request, and returns its name. Its hash is looked up, so that timing reveals nothing about
    /// the token.
    ///
    /// # Errors
    /// 401.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Caller, ErrorResponse> {
        let given = authorization(headers);
        // cargo sends the token alone; other clients have the scheme.
        let given = given.map(|text| text.strip_prefix("Bearer ").unwrap_or(text).trim());
        let given = given
            .ok_or_else(|| unauthorized("authentication required: log in with `cargo login`"))?;
        let holder = self.holder(given);
        let holder = holder.ok_or_else(|| unauthorized("the token is not valid"))?;
        Ok(Caller(holder))
    }

    /// Checks the token of a request for a page, which may be the password of HTTP Basic, of any user.
    ///
    /// # Errors
    /// 401, as a page, by which a browser asks for the token.
    pub(super) fn check_page(&self, headers: &HeaderMap) -> Result<Caller, ErrorResponse> {
        let Some(password) = authorization(headers).and_then(basic_password) else {
            return self.check(headers).map_err(ask_browser);
        };
        let holder = self.holder(password.expose_secret());
        let refused = || ask_browser(unauthorized("the token is not valid"));
        holder.map(Caller).ok_or_else(refused)
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
                .advise("Each line is the SHA-256 of a token, 64 hexadecimal digits, and a name. Do not write the token itself here.")
        })?;
        // sha256sum puts `*` before the name of a file that it read as binary, and writes `-` for its standard input.
        names.insert(hash, name.trim().trim_start_matches(['*', '-']).into());
    }
    Ok(names)
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(AUTHORIZATION)?;
    given.to_str().ok()
}

/// Returns the password of HTTP Basic (RFC 7617); `None` for another scheme.
fn basic_password(authorization: &str) -> Option<SecretString> {
    let (scheme, given) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = STANDARD.decode(given.trim()).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    // What is no user and password is a wrong password.
    let decoded = SecretString::from(decoded.unwrap_or_default());
    let password = decoded.expose_secret().split_once(':').map(|(_, it)| it);
    Some(SecretString::from(password.unwrap_or_default()))
}

fn ask_browser(refused: ErrorResponse) -> ErrorResponse {
    let scheme = HeaderValue::from_static("Basic realm=\"crates-ferry\", charset=\"UTF-8\"");
    refused
        .as_page(pages::error::show)
        .with(WWW_AUTHENTICATE, scheme)
}

fn unauthorized(detail: &'static str) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::UNAUTHORIZED, detail)
        // cargo first asks for config.json without a token; a 401 with this scheme makes it send one from then on.
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Cargo"))
}
