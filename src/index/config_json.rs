//! Reads and makes the `config.json` at an index's root, which tells cargo where crate files and the API are.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};

/// The file's name, at the root of an index.
pub const CONFIG_JSON: &str = "config.json";

/// What a `config.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConfigJson {
    /// Where crate files are, perhaps with markers such as `{crate}`.
    pub dl: String,
    /// Where the web API is; a registry may have none.
    #[serde(default)]
    pub api: Option<String>,
    /// Whether every request needs a token.
    #[serde(default, rename = "auth-required")]
    pub auth_required: bool,
}

/// Reads a mirror's `config.json`.
///
/// # Errors
/// [`Kind::Config`] where it is not JSON, not an object, or has no `dl`.
pub fn points_to(bytes: &[u8]) -> Result<ConfigJson> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(Kind::Config, "the mirror's config.json cannot be used")
            .because(error)
            .advise("Commit a config.json with `dl` and `api` to the mirror; cargo cannot read an index without one.")
    })
}

/// Makes a mirror's `config.json` from upstream's, with the mirror's own `dl` and `api` where given.
///
/// Upstream's other keys stay, in their order; where neither is given its bytes stay as they are.
///
/// # Errors
/// [`Kind::UpstreamConfig`] where upstream's is not a JSON object; [`Kind::Config`] where the result would lack `dl`.
pub fn ours(upstream: &[u8], dl: Option<&str>, api: Option<&str>) -> Result<Vec<u8>> {
    // Keeps the order of the keys (serde_json's feature `preserve_order`), so that a diff shows our keys alone.
    let mut keys: Map<String, Value> = serde_json::from_slice(upstream).map_err(|error| {
        Error::new(
            Kind::UpstreamConfig,
            "upstream's config.json is not a JSON object",
        )
        .because(error)
        .advise("Check that `upstream.url` and `upstream.branch` name an index of crates.")
    })?;
    for (key, value) in [("dl", dl), ("api", api)] {
        if let Some(value) = value {
            keys.insert(key.to_owned(), Value::from(value));
        }
    }
    if !keys.get("dl").is_some_and(Value::is_string) {
        return Err(Error::new(
            Kind::Config,
            "upstream's config.json has no `dl`, and none is configured",
        )
        .advise("Give `mirror.dl` (`--dl`, FERRY_MIRROR_DL), the URL under which crate files are served."));
    }
    // The same bytes are the same blob and the same root tree, so `init` has neither to send.
    if dl.is_none() && api.is_none() {
        return Ok(upstream.to_vec());
    }
    let mut bytes = serde_json::to_vec_pretty(&keys).map_err(|error| {
        Error::new(
            Kind::UpstreamConfig,
            "the mirror's config.json cannot be written",
        )
        .because(error)
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const UPSTREAM: &[u8] = br#"{"zeta":[1], "dl":"https://files.example","auth-required":false,"api":"https://up.example"}"#;

    #[test]
    fn own_addresses_replace_upstreams_and_every_other_key_stays_in_its_place() {
        let made = ours(
            UPSTREAM,
            Some("https://dl.example"),
            Some("https://api.example"),
        )
        .unwrap();
        let wanted = r#"{
  "zeta": [
    1
  ],
  "dl": "https://dl.example",
  "auth-required": false,
  "api": "https://api.example"
}
"#;
        assert_eq!(String::from_utf8(made).unwrap(), wanted);
    }

    #[test]
    fn an_address_that_is_not_given_stays_upstreams() {
        let made = points_to(&ours(UPSTREAM, Some("https://dl.example"), None).unwrap()).unwrap();
        assert_eq!(made.dl, "https://dl.example");
        assert_eq!(made.api.as_deref(), Some("https://up.example"));
        assert!(!made.auth_required);
    }

    #[test]
    fn without_addresses_of_its_own_the_mirror_takes_upstreams_bytes() {
        assert_eq!(ours(UPSTREAM, None, None).unwrap(), UPSTREAM);
    }

    #[test]
    fn an_upstream_config_that_is_no_json_object_is_refused_with_the_reason() {
        for bytes in [&b""[..], b"<html>", b"[]", b"\"dl\"", b"{\"dl\":1", b"\xff"] {
            let error = ours(bytes, Some("https://dl.example"), None).unwrap_err();
            assert_eq!(error.kind(), Kind::UpstreamConfig);
            assert_eq!(error.causes().len(), 1);
        }
    }

    #[test]
    fn a_result_without_dl_is_refused() {
        for bytes in [&b"{}"[..], b"{\"dl\":null}", b"{\"dl\":7}"] {
            let error = ours(bytes, None, Some("https://api.example")).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.advice().unwrap().contains("mirror.dl"));
            assert!(ours(bytes, Some("https://dl.example"), None).is_ok());
        }
    }

    #[test]
    fn a_mirrors_config_says_where_it_points() {
        let read = points_to(br#"{"dl":"https://dl.example","auth-required":true}"#).unwrap();
        let wanted = ConfigJson {
            dl: "https://dl.example".to_owned(),
            api: None,
            auth_required: true,
        };
        assert_eq!(read, wanted);
        assert_eq!(points_to(b"{}").unwrap_err().kind(), Kind::Config);
    }
}
