//! Tokens of clients: who holds one, and what it allows.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tracing::{error, info};

use super::pages;
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::{Error, Result};
use crate::http::access::{Access, Caller};
use crate::http::error_response::ErrorResponse;
use crate::http::logged_failure::LoggedFailure;
use crate::http::scopes::Holder;
use crate::server::tokens::file::{self, Holders};
use crate::server::trusted::Trusted;
use crate::shown::one_line;

/// The least time between two looks at whether the file changed: a look costs a request as much as half of its work.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

const NO_TOKEN: &str = "authentication required: log in with `cargo login`";
const NOT_VALID: &str = "the token is not valid";

/// The tokens that are accepted.
pub(super) struct Tokens {
    path: PathBuf,
    /// Whether they guard the mirror, too, and not only what is private and what changes anything.
    guard_mirror: bool,
    /// What the file held when it was last read, and what that means.
    current: ArcSwap<(String, Holders)>,
    failure: LoggedFailure,
    looks: Looks,
}

impl Tokens {
    /// Reads the file. That of `serve.auth` must be there.
    ///
    /// # Errors
    /// `config`, with the line.
    pub(super) fn read(config: &ServeConfig) -> Result<Self> {
        let path = config.tokens_file();
        let guard_mirror = config.serve.auth.is_some();
        let looks = Looks::begin(&path);
        let unread = |error: Error| {
            match guard_mirror {
            true => error.on("serve.auth").advise(
                "Set it to a file that this user may read, with the hash of a token on each line; `crates-ferry token add` makes one.",
            ),
            false => error.advise("Let the user that runs the server read that file."),
        }
        };
        let text = text_of(&path, guard_mirror).map_err(unread)?;
        let holders = file::parse(&text).map_err(|error| error.on(path.display()))?;
        Ok(Self {
            current: ArcSwap::from_pointee((text, holders)),
            path,
            guard_mirror,
            failure: LoggedFailure::default(),
            looks,
        })
    }

    /// Says whether all may read the mirror.
    pub(super) fn is_mirror_open(&self) -> bool {
        !self.guard_mirror
    }

    /// Says whether a token has this name, also one that has expired.
    pub(super) fn has_named(&self, name: &str) -> bool {
        if self.looks.has_changed(&self.path) {
            self.reload(false);
        }
        let current = self.current.load();
        current.1.values().any(|holder| &*holder.name == name)
    }

    /// Reads the file again if it changed. If that fails, the tokens that were read before stay valid, and the failure
    /// is logged once, but always if somebody asked for this.
    pub(super) fn reload(&self, is_asked: bool) {
        if is_asked {
            self.failure.end();
        }
        let read = text_of(&self.path, self.guard_mirror);
        if read.as_ref().ok() == Some(&self.current.load().0) {
            return self.failure.end();
        }
        let parsed = read.and_then(|text| file::parse(&text).map(|holders| (text, holders)));
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

    /// Checks the token of a request, and returns who holds it; `None` where none is needed.
    ///
    /// # Errors
    /// 401, for a page as one by which a browser asks for the token; 403 where it does not allow this.
    pub(super) fn grant(
        &self,
        access: Access,
        headers: &HeaderMap,
        trusted: &Trusted,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<Option<Caller>, ErrorResponse> {
        if !self.guard_mirror && matches!(access, Access::Token | Access::Page) {
            return Ok(None);
        }
        let for_access = |refused: ErrorResponse| match access.is_of_a_page() {
            true => ask_browser(refused),
            false => refused,
        };
        let holder = self.holder(access, headers, trusted, now);
        let holder = holder.map_err(for_access)?;
        let caller = Caller(holder);
        match wanted(access, &caller) {
            None => Ok(Some(caller)),
            Some(scope) if access.is_of_a_page() => {
                Err(lacks(&caller, scope).as_page(pages::error::show))
            }
            Some(scope) => Err(lacks(&caller, scope)),
        }
    }

    /// Finds who holds the token of a request. Its hash is looked up, so that timing reveals nothing about the token.
    fn holder(
        &self,
        access: Access,
        headers: &HeaderMap,
        trusted: &Trusted,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<Arc<Holder>, ErrorResponse> {
        if self.looks.has_changed(&self.path) {
            self.reload(false);
        }
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|given| given.to_str().ok());
        let given = given.ok_or_else(|| unauthorized(NO_TOKEN))?;
        let password = access.is_of_a_page().then(|| basic_password(given));
        let password = password.flatten();
        let given = match &password {
            // Of any user.
            Some(password) => password.expose_secret(),
            // cargo sends the token alone; other clients have the scheme.
            None => given.strip_prefix("Bearer ").unwrap_or(given).trim(),
        };
        if Trusted::is_short_lived(given) && trusted.is_used() {
            return short_lived(trusted, given, now());
        }
        let current = self.current.load();
        let holder = current.1.get(&file::hash(given)).map(Arc::clone);
        let holder = holder.ok_or_else(|| unauthorized(NOT_VALID))?;
        match holder.expires {
            Some(end) if holder.has_expired(now()) => Err(expired(&holder, end)),
            _ => Ok(holder),
        }
    }
}

/// Finds who holds a token that a job of CI got for its own.
fn short_lived(
    trusted: &Trusted,
    given: &str,
    now: Timestamp,
) -> Result<Arc<Holder>, ErrorResponse> {
    if !trusted.has_key() {
        let detail =
            "short-lived tokens are not known yet: the store could not be read; the log says why";
        let unready = ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, detail);
        return Err(unready.with(RETRY_AFTER, 5));
    }
    let holder = trusted.holder(given, now).ok_or_else(revoked)?;
    match holder.expires {
        Some(end) if holder.has_expired(now) => Err(expired(&holder, end)),
        _ => Ok(holder),
    }
}

/// Refuses a short-lived token that is none, or not any more.
pub(super) fn revoked() -> ErrorResponse {
    unauthorized("the short-lived token is not valid, or was revoked")
}

/// Returns the scope that an access takes and a holder lacks.
fn wanted(access: Access, holder: &Holder) -> Option<&'static str> {
    let scopes = &holder.scopes;
    let (has, scope) = match access {
        Access::Public | Access::Itself => return None,
        Access::Token | Access::Page | Access::Private | Access::PrivatePage => {
            (scopes.may_read(), "read")
        }
        Access::PrivateIndex => {
            let any = scopes.may_publish_any() || scopes.may_yank_any();
            (any || scopes.may_read(), "read")
        }
        Access::Publish => (scopes.may_publish_any(), "publish:NAME"),
        Access::Yank => (scopes.may_yank_any(), "yank:NAME"),
        Access::Admin => (scopes.is_admin(), "admin"),
    };
    (!has).then_some(scope)
}

/// Refuses what a token does not allow, and names the scope that it takes, such as `publish:acme-core`.
pub(super) fn lacks(holder: &Holder, scope: &str) -> ErrorResponse {
    let text = format!(
        "{} does not have the scope `{scope}`, which this takes; it has: {}",
        of_whom(holder),
        holder.scopes
    );
    ErrorResponse::for_cargo(StatusCode::FORBIDDEN, one_line(&text).into_owned())
}

fn expired(holder: &Holder, end: Timestamp) -> ErrorResponse {
    let text = format!(
        "{} expired on {end:.0}: log in with another one",
        of_whom(holder)
    );
    unauthorized(one_line(&text).into_owned())
}

fn of_whom(holder: &Holder) -> String {
    match (&holder.job, &*holder.name) {
        (Some(_), project) => format!("the short-lived token of `{project}`"),
        (None, "") => "the token".to_owned(),
        (None, name) => format!("the token `{name}`"),
    }
}

/// When the file was looked at last, and what marked it then: cheap to compare, so that a new or revoked token counts at once.
struct Looks {
    began: Instant,
    /// When to look next, in milliseconds since then.
    next: AtomicU64,
    seen: Mutex<Option<Mark>>,
}

/// What changes with a file's content: device, inode, size, and time of the last change.
type Mark = (u64, u64, u64, i64, i64);

impl Looks {
    fn begin(path: &Path) -> Self {
        Self {
            began: Instant::now(),
            next: AtomicU64::new(0),
            seen: Mutex::new(mark(path)),
        }
    }

    /// Says whether the file is another one than when it was looked at before.
    fn has_changed(&self, path: &Path) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now < self.next.load(Ordering::Relaxed) {
            return false;
        }
        // One thread looks, and the others go on.
        let Ok(mut seen) = self.seen.try_lock() else {
            return false;
        };
        let between = u64::try_from(BETWEEN_LOOKS.as_millis()).unwrap_or(u64::MAX);
        self.next
            .store(now.saturating_add(between), Ordering::Relaxed);
        let mark = mark(path);
        let has_changed = *seen != mark;
        *seen = mark;
        has_changed
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let about = fs::metadata(path).ok()?;
    let (device, inode, size) = (about.dev(), about.ino(), about.size());
    Some((device, inode, size, about.mtime(), about.mtime_nsec()))
}

/// Returns the text of the file. One that nobody has named holds no token before it is made.
fn text_of(path: &Path, is_named: bool) -> Result<String> {
    match fs::exists(path) {
        Ok(false) if !is_named => Ok(String::new()),
        _ => ServeConfig::read_file(path),
    }
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

fn unauthorized(detail: impl Into<Cow<'static, str>>) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::UNAUTHORIZED, detail)
        // cargo first asks for config.json without a token; a 401 with this scheme makes it send one from then on.
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Cargo"))
}
