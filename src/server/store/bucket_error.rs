//! What the errors of a bucket mean, and what to do about them: one table of S3's codes, and what lies below HTTP.
//!
//! object_store's own text names its retries and a URL, and quotes the server's XML; its error has no field for the code.

use std::error::Error as StdError;
use std::{fmt, io};

use crate::error::{Error, Kind};
use crate::git::transport::{PROXY_ADVICE, innermost, refusal, unreachable};

/// The code with which S3 denies access, also to an object that is not there, where the bucket may not be listed.
pub(super) const ACCESS_DENIED: &str = "AccessDenied";
const NO_SUCH_BUCKET: &str = "NoSuchBucket";

const GRANT: &str = "Grant the key s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects.";
const KEYS: &str =
    "Correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary keys, AWS_SESSION_TOKEN.";
const REGION: &str = "Set AWS_REGION to the region of the bucket.";
const ROOM: &str = "Raise the quota, or give the bucket a lifecycle rule that expires objects.";
const REACH: &str =
    "Check AWS_ENDPOINT_URL, whether the server runs, and the proxies and firewalls on the way.";
const LATER: &str = "Try again later. If it fails again, ask the provider of the bucket.";
const ENDPOINT: &str =
    "Set AWS_ENDPOINT_URL to the address of the S3 server; AWS itself needs only AWS_REGION.";

/// S3's codes, and those of its imitators: the kind of failure, what it means, and what to do.
const CODES: &[(&str, Kind, &str, &str)] = &[
    (ACCESS_DENIED, Kind::Permission, "access is denied", GRANT),
    (
        "AllAccessDisabled",
        Kind::Permission,
        "access is denied",
        GRANT,
    ),
    (
        "AccountProblem",
        Kind::Permission,
        "the account is blocked",
        "Ask the provider of the bucket.",
    ),
    (
        "InvalidAccessKeyId",
        Kind::Auth,
        "the access key is not known",
        KEYS,
    ),
    (
        "SignatureDoesNotMatch",
        Kind::Auth,
        "the secret key is wrong",
        KEYS,
    ),
    (
        "ExpiredToken",
        Kind::Auth,
        "the session token has expired",
        KEYS,
    ),
    (
        "InvalidToken",
        Kind::Auth,
        "the session token is not valid",
        KEYS,
    ),
    (
        "RequestTimeTooSkewed",
        Kind::Config,
        "the clocks of server and client differ",
        "Set the clock of this machine.",
    ),
    (
        NO_SUCH_BUCKET,
        Kind::Config,
        "there is no such bucket",
        "Create the bucket, or correct serve.store.",
    ),
    (
        "InvalidBucketName",
        Kind::Config,
        "no bucket can have this name",
        "Correct serve.store.",
    ),
    (
        "AuthorizationHeaderMalformed",
        Kind::Config,
        "the region is wrong",
        REGION,
    ),
    (
        "PermanentRedirect",
        Kind::Config,
        "the bucket is in another region",
        REGION,
    ),
    (
        "TemporaryRedirect",
        Kind::Config,
        "the bucket is in another region",
        REGION,
    ),
    (
        "IllegalLocationConstraintException",
        Kind::Config,
        "the bucket is in another region",
        REGION,
    ),
    ("QuotaExceeded", Kind::Server, "the quota is used up", ROOM),
    (
        "XMinioAdminBucketQuotaExceeded",
        Kind::Server,
        "the quota is used up",
        ROOM,
    ),
    (
        "XMinioStorageFull",
        Kind::Server,
        "the server's disk is full",
        ROOM,
    ),
];

/// A failure of a bucket, which shows cause and advice in its one line: an [`io::Error`] has no other place for them.
#[derive(Debug)]
pub(super) struct BucketError(Error);

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.chain())?;
        match self.0.advice() {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

// Without a source: the line tells the causes.
impl StdError for BucketError {}

impl BucketError {
    /// Translates an error; `place` names bucket and server.
    pub(super) fn of(place: &str, error: &object_store::Error) -> Self {
        Self(translate(place, error))
    }
}

impl From<BucketError> for io::Error {
    fn from(error: BucketError) -> Self {
        Self::other(error)
    }
}

/// Returns the failure that an I/O error of a store carries, with its kind and advice.
pub fn failure(error: io::Error) -> Error {
    let text = error.to_string();
    let inner = error
        .into_inner()
        .map(|inner| inner.downcast::<BucketError>());
    match inner {
        Some(Ok(bucket)) => bucket.0,
        _ => Error::new(Kind::Network, "the bucket failed")
            .because(text)
            .advise(REACH),
    }
}

/// Returns S3's code, where the server sent one.
pub(super) fn code(error: &object_store::Error) -> Option<String> {
    element(&error.to_string(), "Code").map(str::to_owned)
}

/// Says whether the bucket itself is missing: object_store takes that for a missing object, as both are 404.
pub(super) fn is_missing_bucket(error: &object_store::Error) -> bool {
    code(error).as_deref() == Some(NO_SUCH_BUCKET)
}

fn translate(place: &str, error: &object_store::Error) -> Error {
    let told = |kind, what: &str| Error::new(kind, format!("{place}: {what}"));
    let text = error.to_string();
    if let Some(code) = element(&text, "Code") {
        let said = element(&text, "Message").unwrap_or_default();
        let cause = format!("{code}: {said}");
        let cause = cause.trim_end_matches([':', ' ']).to_owned();
        return match CODES.iter().find(|(known, ..)| *known == code) {
            Some((_, kind, what, advice)) => told(*kind, what).because(cause).advise(*advice),
            None => told(Kind::Server, "the server refuses")
                .because(cause)
                .advise(LATER),
        };
    }
    // Where AWS's clients look for credentials if none are set.
    if text.contains("169.254.169.254") {
        return told(Kind::Auth, "there are no credentials")
            .advise("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.");
    }
    let mut causes = std::iter::successors(Some(error as &dyn StdError), |&error| error.source());
    if let Some(sent) = causes.find_map(|e| e.downcast_ref::<reqwest::Error>()) {
        return match refusal(sent) {
            Some(refusal) => told(Kind::Config, "the server's certificate is not trusted")
                .because(refusal.cause)
                .advise(refusal.advice),
            None if sent.is_dns() => told(Kind::Network, unreachable(sent).0)
                .because(innermost(sent))
                .advise(ENDPOINT),
            None if sent.is_timeout() => told(Kind::Network, unreachable(sent).0).advise(REACH),
            None => told(Kind::Network, unreachable(sent).0)
                .because(innermost(sent))
                .advise(REACH),
        };
    }
    // Answers without a body, as those to HEAD.
    match error {
        object_store::Error::PermissionDenied { .. } => of_status(place, 403),
        object_store::Error::Unauthenticated { .. } => of_status(place, 401),
        _ if text.contains("redirect without LOCATION") => {
            told(Kind::Config, "the bucket is in another region").advise(REGION)
        }
        _ => match status(&text) {
            Some(status) => of_status(place, status),
            None => told(Kind::Server, "the request failed")
                .because(innermost(error))
                .advise(LATER),
        },
    }
}

/// Returns the status that object_store names in its text, which is all that its errors tell of it.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("Server returned non-2xx status code: ")?;
    rest.split(' ').next()?.parse().ok()
}

/// Makes the error of an answer that has a status and no code of S3.
fn of_status(place: &str, status: u16) -> Error {
    let (kind, what, advice) = match status {
        401 => (Kind::Auth, "the credentials are not accepted", KEYS),
        403 => (Kind::Permission, "access is denied", GRANT),
        404 => (
            Kind::Config,
            "there is no such bucket, or no S3 server",
            "Create the bucket, or correct serve.store and AWS_ENDPOINT_URL.",
        ),
        407 => (
            Kind::Config,
            "a proxy requires authentication",
            PROXY_ADVICE,
        ),
        429 | 503 => (Kind::Server, "the server is busy", LATER),
        507 => (Kind::Server, "the quota is used up", ROOM),
        500.. => (Kind::Server, "the server failed", LATER),
        _ => (
            Kind::Server,
            "this is no answer of an S3 server",
            "Check AWS_ENDPOINT_URL, and the proxies on the way.",
        ),
    };
    Error::new(kind, format!("{place}: {what} (status {status})")).advise(advice)
}

/// Returns the text of an element of S3's error document, which quotes neither tags nor attributes.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (found, _) = rest.split_once(&format!("</{name}>"))?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        }
    }

    #[test]
    fn each_code_has_its_kind_and_its_cure() {
        for (code, kind, cure) in [
            ("AuthorizationHeaderMalformed", Kind::Config, "AWS_REGION"),
            ("NoSuchBucket", Kind::Config, "serve.store"),
            ("SignatureDoesNotMatch", Kind::Auth, "AWS_SECRET_ACCESS_KEY"),
            ("AccessDenied", Kind::Permission, "s3:ListBucket"),
            ("QuotaExceeded", Kind::Server, "quota"),
        ] {
            let answer = format!(
                "Server returned non-2xx status code: 400 Bad Request: <?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Thus.</Message></Error>"
            );
            let error = translate("s3://crates", &said(&answer));
            assert_eq!(error.kind(), kind, "{code}");
            assert!(
                error.advice().is_some_and(|advice| advice.contains(cure)),
                "{code}"
            );
            assert_eq!(error.causes(), [format!("{code}: Thus.")]);
        }
    }

    #[test]
    fn what_has_no_code_is_told_by_its_status() {
        for (text, kind) in [
            (
                "Received redirect without LOCATION, this normally",
                Kind::Config,
            ),
            (
                "Server returned non-2xx status code: 507 Insufficient Storage: ",
                Kind::Server,
            ),
            (
                "Error performing PUT http://169.254.169.254/latest/api/token",
                Kind::Auth,
            ),
        ] {
            let error = translate("s3://crates", &said(text));
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.advice().is_some(), "{text}");
        }
    }

    #[test]
    fn an_io_error_keeps_kind_and_advice() {
        let error = said("<Code>NoSuchBucket</Code>");
        let error = io::Error::from(BucketError::of("s3://crates", &error));
        assert!(
            error
                .to_string()
                .ends_with("(Create the bucket, or correct serve.store.)")
        );
        assert_eq!(failure(error).kind(), Kind::Config);
    }
}
