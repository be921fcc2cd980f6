//! Access to paths, and the authentication that it takes.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::Method;
use axum::http::request::Parts;
use secrecy::{ExposeSecret, SecretString};

use super::error_response::ErrorResponse;

/// Who may use a path. Webhooks have their own rule: see [`Route::webhook`](super::routes::Route::webhook).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone who can connect.
    Public,
    /// Everyone with a valid token; without configured tokens, everyone.
    Token,
    /// The same, for a page that a browser shows: it may send the token as the password of HTTP Basic. Browsers send that
    /// by themselves, also with what another site makes them ask for: only [`Route::page`](super::routes::Route::page),
    /// which reads, grants this.
    Page,
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

    /// Checks the token of a request, and returns its name, if tokens have names.
    ///
    /// # Errors
    /// 401.
    fn token(&self, request: &Parts) -> Result<Option<Caller>, ErrorResponse>;

    /// Checks the token of a request for a page.
    ///
    /// # Errors
    /// 401, by which a browser asks for the token.
    fn page_token(&self, request: &Parts) -> Result<Option<Caller>, ErrorResponse> {
        self.token(request)
    }

    /// Returns the secret that it shares with the hosts that send webhooks.
    fn hook_secret(&self) -> Option<&SecretString>;
}

/// The name of the token that a request carried.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<str>);

/// Compares in constant time. Both are hashed first, so that the time does not depend on their lengths either.
pub fn is_secret(secret: &SecretString, given: &[u8]) -> bool {
    let hash = |bytes: &[u8]| digest(&SHA256, bytes);
    let (secret, given) = (hash(secret.expose_secret().as_bytes()), hash(given));
    verify_slices_are_equal(secret.as_ref(), given.as_ref()).is_ok()
}
