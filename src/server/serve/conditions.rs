//! What a client says it has, and what it takes: validators and encodings.

use std::time::SystemTime;

use axum::http::HeaderValue;
use axum::http::header::{
    ACCEPT_ENCODING, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
};

/// An entity tag: 20 bytes as hexadecimal digits, in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag([u8; 42]);

impl Tag {
    /// Makes the tag of content that has this id, or hash.
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

    /// Returns it as a weak validator, which stands for any encoding.
    pub(super) fn weak(&self) -> HeaderValue {
        header(&[b"W/", self.0.as_slice()].concat())
    }
}

/// Digits and quotes may stand in a header.
fn header(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Says whether the client has what this tag names: by `If-None-Match`, else by `If-Modified-Since`.
///
/// A date counts when it is just the one that we gave: an earlier state of the index may have a later one.
pub(super) fn is_known(asked: &HeaderMap, tag: &Tag, modified: SystemTime) -> bool {
    if let Some(is_named) = is_named(asked, &tag.0) {
        return is_named;
    }
    let date = asked.get(IF_MODIFIED_SINCE);
    let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    date == Some(modified)
}

/// Says whether `If-None-Match` names this strong validator; `None` where there is no such header.
pub(super) fn is_named(asked: &HeaderMap, tag: &[u8]) -> Option<bool> {
    let first = asked.get(IF_NONE_MATCH)?;
    // Mostly it is just this.
    let is_named = first == tag
        || parts(asked, IF_NONE_MATCH).any(|part| {
            let part = part.strip_prefix("W/").unwrap_or(part);
            part.as_bytes() == tag || part == "*"
        });
    Some(is_named)
}

/// Says whether `Accept-Encoding` admits gzip.
pub(super) fn takes_gzip(asked: &HeaderMap) -> bool {
    parts(asked, ACCEPT_ENCODING).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(is_refusal)
    })
}

/// Says whether a parameter is a quality of nothing.
fn is_refusal(parameter: &str) -> bool {
    let quality = parameter
        .split_once('=')
        .filter(|(name, _)| name.eq_ignore_ascii_case("q"));
    quality.is_some_and(|(_, value)| value.parse() == Ok(0.0_f32))
}

/// Returns what stands between the commas of a header, however many lines it has.
fn parts(asked: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = asked.get_all(name).into_iter();
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
    fn gzip_is_sent_to_those_who_take_it() {
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
            assert_eq!(takes_gzip(&headers), takes, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
        let two = headers(&[(ACCEPT_ENCODING, "br"), (ACCEPT_ENCODING, "gzip")]);
        assert!(takes_gzip(&two));
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
