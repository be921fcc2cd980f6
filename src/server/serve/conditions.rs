//! Conditional requests and content negotiation: entity tags, `If-None-Match`, `If-Modified-Since`, `Accept-Encoding`.
//!
//! The crate `headers` has types for the first three. Its `If-None-Match` takes 72 ns where a comparison of the bytes
//! takes 4, with five more crates, and a debug build of 0.4.2 panics if a client sends a tag with a space in it.

use std::time::SystemTime;

use axum::http::HeaderValue;
use axum::http::header::{
    ACCEPT_ENCODING, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
};

/// An entity tag: 20 bytes as hexadecimal digits, in quotes. It has no allocation: most requests make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag([u8; 42]);

impl Tag {
    /// Makes the tag of content with this id or hash.
    pub(super) fn of(id: &[u8; 20]) -> Self {
        let mut tag = [b'"'; 42];
        // Forty digits have just this room.
        let _ = hex::encode_to_slice(id, &mut tag[1..41]);
        Self(tag)
    }

    /// Returns it as a strong validator.
    pub(super) fn strong(&self) -> HeaderValue {
        header(&self.0)
    }

    /// Returns it as a weak validator, which every encoding shares.
    pub(super) fn weak(&self) -> HeaderValue {
        header(&[b"W/", self.0.as_slice()].concat())
    }
}

/// Makes a header value; digits and quotes are always valid ones.
fn header(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Says whether the client has what this tag names: by `If-None-Match`, else by `If-Modified-Since` (RFC 9110, section
/// 13.2.2).
///
/// A date counts only if it equals ours. "Not later" would not do: an index that was rewound has had later dates.
pub(super) fn is_known(request: &HeaderMap, tag: &Tag, modified: SystemTime) -> bool {
    if let Some(is_named) = is_named(request, &tag.0) {
        return is_named;
    }
    let date = request.get(IF_MODIFIED_SINCE);
    let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    date == Some(modified)
}

/// Says whether `If-None-Match` names this strong validator; `None` if there is no such header.
pub(super) fn is_named(request: &HeaderMap, tag: &[u8]) -> Option<bool> {
    let first = request.get(IF_NONE_MATCH)?;
    // cargo sends back what it got; lists, weak tags and `*` are rare.
    let is_named = first == tag
        || elements(request, IF_NONE_MATCH).any(|element| {
            // The weak comparison of RFC 9110, section 8.8.3.2.
            let element = element.strip_prefix("W/").unwrap_or(element);
            element.as_bytes() == tag || element == "*"
        });
    Some(is_named)
}

/// Says whether `Accept-Encoding` allows gzip.
pub(super) fn accepts_gzip(request: &HeaderMap) -> bool {
    elements(request, ACCEPT_ENCODING).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(is_exclusion)
    })
}

/// Says whether a parameter is `q=0`, which excludes the coding.
fn is_exclusion(parameter: &str) -> bool {
    let quality = parameter
        .split_once('=')
        .filter(|(name, _)| name.eq_ignore_ascii_case("q"));
    quality.is_some_and(|(_, value)| value.parse() == Ok(0.0_f32))
}

/// Returns the elements of a header that is a list, on one line or several. A comma within a quoted tag splits it, too;
/// ours have none.
fn elements(request: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = request.get_all(name).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const ID: [u8; 20] = [0xab; 20];
    const DATE: &str = "Thu, 01 Jan 1970 00:01:00 GMT";

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn knows(lines: &[(HeaderName, &'static str)]) -> bool {
        let minute = UNIX_EPOCH + Duration::from_secs(60);
        is_known(&headers(lines), &Tag::of(&ID), minute)
    }

    #[test]
    fn gzip_is_sent_to_clients_that_accept_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("deflate, gzip", true),
            ("GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("gzip;Q=0.000", false),
            ("br", false),
            ("", false),
        ] {
            let headers = headers(&[(ACCEPT_ENCODING, accepted)]);
            assert_eq!(accepts_gzip(&headers), takes, "{accepted}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
        let two = headers(&[(ACCEPT_ENCODING, "br"), (ACCEPT_ENCODING, "gzip")]);
        assert!(accepts_gzip(&two));
    }

    #[test]
    fn any_of_several_validators_will_do() {
        let tag = "\"abababababababababababababababababababab\"";
        let weak = "W/\"abababababababababababababababababababab\"";
        let several = "\"x\", W/\"abababababababababababababababababababab\"";
        for (asked, known) in [
            (tag, true),
            (weak, true),
            (several, true),
            ("*", true),
            (
                "\"a, b\", \"abababababababababababababababababababab\"",
                true,
            ),
            ("\"ab\"", false),
            ("abababababababababababababababababababab", false),
            ("", false),
        ] {
            assert_eq!(knows(&[(IF_NONE_MATCH, asked)]), known, "{asked}");
        }
        assert!(knows(&[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, tag)]));
        assert_eq!(Tag::of(&ID).strong(), tag);
        assert_eq!(Tag::of(&ID).weak(), weak);
    }

    #[test]
    fn a_date_counts_when_it_is_ours_and_there_is_no_tag() {
        assert!(knows(&[(IF_MODIFIED_SINCE, DATE)]));
        assert!(!knows(&[(
            IF_MODIFIED_SINCE,
            "Thu, 01 Jan 1970 00:01:01 GMT"
        )]));
        assert!(!knows(&[(IF_MODIFIED_SINCE, "yesterday")]));
        assert!(!knows(&[
            (IF_MODIFIED_SINCE, DATE),
            (IF_NONE_MATCH, "\"x\"")
        ]));
        assert!(!knows(&[]));
    }
}
