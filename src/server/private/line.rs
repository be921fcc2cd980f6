//! The line of the index that a published version becomes, as crates.io writes it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::request::Kind;
use super::rules::{Checked, CheckedDependency};
use crate::index::Checksum;

/// The format of a line whose features only newer versions of cargo understand.
const WITH_NEW_FEATURES: u32 = 2;

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    vers: &'a str,
    deps: Vec<LineDependency<'a>>,
    cksum: String,
    features: BTreeMap<&'a str, &'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    features2: Option<BTreeMap<&'a str, &'a [String]>>,
    yanked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rust_version: Option<&'a str>,
    pubtime: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<u32>,
}

#[derive(Serialize)]
struct LineDependency<'a> {
    name: &'a str,
    req: &'a str,
    features: &'a [String],
    optional: bool,
    default_features: bool,
    target: Option<&'a str>,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a str>,
}

/// Makes the line of a version that is published at this time (`yyyy-mm-ddThh:mm:ssZ`), without a line break at its end.
pub fn line(of: &Checked, checksum: &Checksum, published: &str, is_yanked: bool) -> String {
    let is_new = |values: &[String]| {
        let mut values = values.iter();
        values.any(|value| value.starts_with("dep:") || value.contains("?/"))
    };
    let features = of.features.iter();
    let features = features.map(|(name, values)| (name.as_str(), values.as_slice()));
    let (new, old): (BTreeMap<_, _>, BTreeMap<_, _>) =
        features.partition(|(_, values)| is_new(values));
    let has_new = !new.is_empty();
    let line = Line {
        name: of.name.as_str(),
        vers: of.version.as_str(),
        deps: of.dependencies.iter().map(dependency).collect(),
        cksum: checksum.to_string(),
        features: old,
        features2: has_new.then_some(new),
        yanked: is_yanked,
        links: of.links.as_deref(),
        rust_version: of.rust_version.as_deref(),
        pubtime: published,
        v: has_new.then_some(WITH_NEW_FEATURES),
    };
    // Texts, numbers and maps of texts always become JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

fn dependency(of: &CheckedDependency) -> LineDependency<'_> {
    let is_renamed = of.name != of.package.as_str();
    LineDependency {
        name: &of.name,
        req: &of.requirement,
        features: &of.features,
        optional: of.is_optional,
        default_features: of.has_default_features,
        target: of.target.as_deref(),
        kind: of.kind,
        registry: of.registry.as_deref(),
        package: is_renamed.then_some(of.package.as_str()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::index::entry;
    use crate::server::private::rules::check;

    fn made(json: serde_json::Value) -> String {
        let checked = check(serde_json::from_value(json).unwrap()).unwrap();
        line(
            &checked,
            &Checksum::from_bytes([0xab; 32]),
            "2026-01-02T03:04:05Z",
            false,
        )
    }

    #[test]
    fn a_published_version_becomes_a_line_as_crates_io_writes_it() {
        let made = made(serde_json::json!({
            "name": "Foo", "vers": "1.0.0+b", "links": "z", "rust_version": "1.70",
            "features": {"a": ["b"], "n": ["dep:x"], "w": ["x?/y"]},
            "deps": [
                {"name": "bar", "version_req": "^1", "features": ["f"], "optional": true, "default_features": false,
                 "target": "cfg(unix)", "kind": "build", "registry": "https://h.example/index", "explicit_name_in_toml": "x"},
                {"name": "own", "version_req": "^2"}
            ]
        }));
        let cksum = "ab".repeat(32);
        let wanted = format!(
            "{{\"name\":\"Foo\",\"vers\":\"1.0.0+b\",\"deps\":[\
             {{\"name\":\"x\",\"req\":\"^1\",\"features\":[\"f\"],\"optional\":true,\"default_features\":false,\
             \"target\":\"cfg(unix)\",\"kind\":\"build\",\"registry\":\"https://h.example/index\",\"package\":\"bar\"}},\
             {{\"name\":\"own\",\"req\":\"^2\",\"features\":[],\"optional\":false,\"default_features\":true,\
             \"target\":null,\"kind\":\"normal\"}}],\"cksum\":\"{cksum}\",\"features\":{{\"a\":[\"b\"]}},\
             \"features2\":{{\"n\":[\"dep:x\"],\"w\":[\"x?/y\"]}},\"yanked\":false,\"links\":\"z\",\"rust_version\":\"1.70\",\
             \"pubtime\":\"2026-01-02T03:04:05Z\",\"v\":2}}"
        );
        assert_eq!(made, wanted);
        let listed = entry::find(made.as_bytes(), "1.0.0+b").unwrap();
        assert_eq!(listed.name.as_str(), "Foo");
    }

    #[test]
    fn a_line_without_new_features_has_the_old_format() {
        let made = made(serde_json::json!({"name": "a", "vers": "1.0.0"}));
        assert!(
            !made.contains("features2") && !made.contains("\"v\""),
            "{made}"
        );
    }
}
