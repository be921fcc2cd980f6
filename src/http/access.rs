//! Access to paths, and the authentication that it takes.

use std::ops::Deref;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::Method;
use axum::http::request::Parts;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::error_response::ErrorResponse;
use super::scopes::Holder;

/// Who may use a path. Webhooks have their own rule: see [`Route::webhook`](super::routes::Route::webhook).
///
/// Where a server has scopes, a token needs the one that is named; which crates it allows, the handler asks, by the
/// [`Caller`] that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone who can connect.
    Public,
    /// Everyone with a valid token that may read; without configured tokens, everyone.
    Token,
    /// The same, for a page that a browser shows: it may send the token as the password of HTTP Basic. Browsers send that
    /// by themselves, also with what another site makes them ask for: only [`Route::page`](super::routes::Route::page),
    /// which reads, grants this.
    Page,
    /// A valid token that may read, always: what is there is nobody else's.
    Private,
    /// The same, for a page: see [`Route::private_page`](super::routes::Route::private_page).
    PrivatePage,
    /// A valid token that may read, publish or yank: cargo reads the index before it does either.
    PrivateIndex,
    /// A valid token that may publish some crate.
    Publish,
    /// A valid token that may yank versions of some crate.
    Yank,
    /// A valid token that may do everything.
    Admin,
    /// Any valid token, to do something with itself.
    Itself,
}

impl Access {
    /// Says whether it is for a page that a browser shows.
    pub const fn is_of_a_page(self) -> bool {
        matches!(self, Self::Page | Self::PrivatePage)
    }

    /// Says whether it is enough for what changes something for others.
    pub const fn is_for_changes(self) -> bool {
        matches!(
            self,
            Self::Publish | Self::Yank | Self::Admin | Self::Itself
        )
    }
}

/// Whether a request carried what its path demands. Each kind has a rate limit of its own: otherwise whoever knows no token
/// could use up the limit of those who do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// It did, or its path demands nothing.
    Authenticated,
    /// Its token, secret or signature is missing or not valid.
    Stranger,
}

/// Authentication, as the state of a server implements it: `serve` has a file of hashes, the trigger helper one secret.
pub trait Authenticate: Clone + Send + Sync + 'static {
    /// Limits the rate of requests, once it is known who sends them.
    ///
    /// # Errors
    /// 429.
    fn admit(&self, _method: &Method, _client: Client) -> Result<(), ErrorResponse> {
        Ok(())
    }

    /// Checks the token of a request for a path that is not [`Access::Public`], and returns who holds it, where the server knows.
    ///
    /// # Errors
    /// 401 without a valid token, on a page so that a browser asks for it; 403 for one that does not allow this.
    fn grant(&self, access: Access, request: &Parts) -> Result<Option<Caller>, ErrorResponse>;

    /// Looks once more, before something is changed, whether a token is valid that was granted access: for tokens of which another
    /// server may know more. `None` where there is nothing to look at.
    fn confirm(&self, _caller: &Caller) -> Option<BoxFuture<'static, Result<(), ErrorResponse>>> {
        None
    }

    /// Returns the secret that it shares with the hosts that send webhooks.
    fn hook_secret(&self) -> Option<&SecretString>;
}

/// Who holds the token that a request carried, and what it allows.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Holder>);

impl Deref for Caller {
    type Target = Holder;

    fn deref(&self) -> &Holder {
        &self.0
    }
}

/// Compares in constant time. Both are hashed first, so that the time does not depend on their lengths either.
pub fn is_secret(secret: &SecretString, given: &[u8]) -> bool {
    let hash = |bytes: &[u8]| digest(&SHA256, bytes);
    let (secret, given) = (hash(secret.expose_secret().as_bytes()), hash(given));
    verify_slices_are_equal(secret.as_ref(), given.as_ref()).is_ok()
}
