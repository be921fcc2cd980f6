//! What the manifest in a crate file declares, and whether that is what the request says.
//!
//! cargo reads the index before it downloads a crate, and the manifest after that: two that differ would let a version be resolved
//! with other dependencies than it is built with.

use std::collections::BTreeMap;

use cargo_lock::SourceId;
use semver::VersionReq;
use toml::{Table, Value};

use super::refusal::Refusal;
use super::request::{Dependency, Kind, Metadata};
use super::rules::{Checked, CheckedDependency};
use crate::shown::one_line;

/// The index of crates.io, as cargo calls it in what it publishes.
pub const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

/// The tables of dependencies, each with what they are needed for.
const TABLES: [(&str, Kind); 5] = [
    ("dependencies", Kind::Normal),
    ("dev-dependencies", Kind::Dev),
    ("dev_dependencies", Kind::Dev),
    ("build-dependencies", Kind::Build),
    ("build_dependencies", Kind::Build),
];

/// Reads what a manifest, as cargo rewrote it for a registry, declares, in the form of a request's metadata. A dependency's registry is
/// that of crates.io where the manifest names none, and else what it names.
///
/// # Errors
/// What is wrong with the manifest.
pub fn declared(bytes: &[u8]) -> Result<Metadata, Refusal> {
    let wrong = |why: &str| Refusal::invalid(format!("the Cargo.toml in the crate file {why}"));
    let text = str::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    let document: Table = text.parse().map_err(|error: toml::de::Error| {
        wrong(&format!("is not TOML: {}", one_line(error.message())))
    })?;
    let package = ["package", "project"]
        .iter()
        .find_map(|name| document.get(*name));
    let package = package
        .and_then(Value::as_table)
        .ok_or_else(|| wrong("has no [package]"))?;
    let needed = |key: &str| {
        let text = package.get(key).and_then(Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| wrong(&format!("has no `package.{key}`")))
    };
    let optional = |key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut deps = Vec::new();
    dependencies(&document, None, &mut deps).map_err(|why| wrong(&why))?;
    let targets = document.get("target").and_then(Value::as_table);
    for (target, tables) in targets.into_iter().flatten() {
        if let Some(tables) = tables.as_table() {
            dependencies(tables, Some(target), &mut deps).map_err(|why| wrong(&why))?;
        }
    }
    Ok(Metadata {
        name: needed("name")?,
        vers: needed("version")?,
        deps,
        features: features(&document),
        links: optional("links"),
        rust_version: optional("rust-version"),
    })
}

fn dependencies(
    tables: &Table,
    target: Option<&str>,
    found: &mut Vec<Dependency>,
) -> Result<(), String> {
    for (table, kind) in TABLES {
        let listed = tables.get(table).and_then(Value::as_table);
        for (name, value) in listed.into_iter().flatten() {
            found.push(dependency(name, value, target, kind)?);
        }
    }
    Ok(())
}

fn dependency(
    name: &str,
    value: &Value,
    target: Option<&str>,
    kind: Kind,
) -> Result<Dependency, String> {
    let empty = Table::new();
    let (table, version) = match value {
        Value::String(version) => (&empty, Some(version.as_str())),
        Value::Table(table) => (table, table.get("version").and_then(Value::as_str)),
        _ => {
            return Err(format!(
                "has a dependency `{}` that is no table",
                one_line(name)
            ));
        }
    };
    let text = |key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
    let is_set = |keys: [&str; 2]| keys.iter().find_map(|key| table.get(*key)?.as_bool());
    let listed = table.get("features").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(Value::as_str);
    let package = text("package");
    Ok(Dependency {
        explicit_name_in_toml: package.is_some().then(|| name.to_owned()),
        name: package.unwrap_or_else(|| name.to_owned()),
        version_req: version.unwrap_or("*").to_owned(),
        features: listed.map(str::to_owned).collect(),
        optional: is_set(["optional", "optional"]).unwrap_or(false),
        default_features: is_set(["default-features", "default_features"]).unwrap_or(true),
        target: target.map(str::to_owned),
        kind,
        registry: Some(text("registry-index").unwrap_or_else(|| CRATES_IO.to_owned())),
    })
}

fn features(document: &Table) -> BTreeMap<String, Vec<String>> {
    let table = document.get("features").and_then(Value::as_table);
    let listed = table.into_iter().flatten();
    let features = listed.map(|(name, values)| {
        let values = values.as_array().into_iter().flatten();
        let values = values.filter_map(Value::as_str).map(str::to_owned);
        (name.clone(), values.collect())
    });
    features.collect()
}

/// Checks that a manifest declares what the request says.
///
/// # Errors
/// The first difference.
pub fn check_agreement(said: &Checked, declared: &Metadata) -> Result<(), Refusal> {
    let differs = |what: String| {
        Refusal::invalid(format!(
            "the Cargo.toml in the crate file does not agree with the request: {what}"
        ))
    };
    if declared.name != said.name.as_str() {
        let (ours, theirs) = (one_line(&declared.name), &said.name);
        return Err(differs(format!(
            "it is of `{ours}`, and the request of `{theirs}`"
        )));
    }
    if declared.vers != said.version.as_str() {
        let (ours, theirs) = (one_line(&declared.vers), &said.version);
        return Err(differs(format!(
            "it has the version {ours}, and the request {theirs}"
        )));
    }
    if features_of(&said.features) != features_of(&declared.features) {
        return Err(differs("they have other features".to_owned()));
    }
    if declared.links != said.links {
        return Err(differs("they have other `links`".to_owned()));
    }
    let mut wanted: Vec<_> = said.dependencies.iter().map(Comparable::said).collect();
    let mut found: Vec<_> = declared.deps.iter().map(Comparable::declared).collect();
    wanted.sort_by(|one, other| one.key().cmp(&other.key()));
    found.sort_by(|one, other| one.key().cmp(&other.key()));
    let mut pairs = wanted.iter().zip(&found);
    if let Some((said, _)) = pairs.find(|(said, declared)| !said.is_same(declared)) {
        let name = one_line(said.name);
        return Err(differs(format!(
            "the dependency `{name}` is another one, or differs"
        )));
    }
    match wanted.len() == found.len() {
        true => Ok(()),
        false => Err(differs(format!(
            "it has {} dependencies, and the request {}",
            found.len(),
            wanted.len()
        ))),
    }
}

fn features_of(features: &BTreeMap<String, Vec<String>>) -> BTreeMap<&str, Vec<&str>> {
    let sorted = features
        .iter()
        .map(|(name, values)| (name.as_str(), sorted(values)));
    sorted.collect()
}

fn sorted(texts: &[String]) -> Vec<&str> {
    let mut texts: Vec<_> = texts.iter().map(String::as_str).collect();
    texts.sort_unstable();
    texts
}

/// A dependency as both sides have it.
struct Comparable<'a> {
    name: &'a str,
    package: &'a str,
    requirement: Option<VersionReq>,
    features: Vec<&'a str>,
    flags: (bool, bool),
    target: Option<&'a str>,
    kind: Kind,
    registry: Option<&'a str>,
    /// Whether the manifest names the registry: it does for this one.
    is_named: bool,
}

impl<'a> Comparable<'a> {
    fn said(of: &'a CheckedDependency) -> Self {
        Self {
            name: &of.name,
            package: of.package.as_str(),
            requirement: Some(of.meaning.clone()),
            features: sorted(&of.features),
            flags: (of.is_optional, of.has_default_features),
            target: of.target.as_deref(),
            kind: of.kind,
            registry: of.registry.as_deref(),
            is_named: of.registry.is_none(),
        }
    }

    fn declared(of: &'a Dependency) -> Self {
        Self {
            name: of.explicit_name_in_toml.as_deref().unwrap_or(&of.name),
            package: &of.name,
            requirement: VersionReq::parse(&of.version_req).ok(),
            features: sorted(&of.features),
            flags: (of.optional, of.default_features),
            target: of.target.as_deref(),
            kind: of.kind,
            registry: of.registry.as_deref(),
            is_named: false,
        }
    }

    fn key(&self) -> (Kind, Option<&str>, &str) {
        (self.kind, self.target, self.name)
    }

    /// Says whether the manifest's dependency is the same as this one, which the request has.
    fn is_same(&self, declared: &Self) -> bool {
        let has_same_registry = match (self.registry, declared.registry) {
            (Some(said), Some(declared)) => is_same_registry(said, declared),
            // The manifest names this registry by the address at which the publisher reached it, which may be any.
            (None, Some(declared)) => !is_crates_io(declared),
            (_, None) => self.is_named,
        };
        self.key() == declared.key()
            && self.package == declared.package
            && self.requirement == declared.requirement
            && self.features == declared.features
            && self.flags == declared.flags
            && has_same_registry
    }
}

/// Says whether an address is that of crates.io's index, in git or sparse.
pub fn is_crates_io(address: &str) -> bool {
    let source = match address.starts_with("sparse+") {
        true => format!("{}/", address.trim_end_matches('/')),
        false => format!("registry+{}", address.trim_end_matches('/')),
    };
    SourceId::from_url(&source).is_ok_and(|source| source.is_default_registry())
}

fn is_same_registry(one: &str, other: &str) -> bool {
    let bare = |address: &str| {
        let address = address.strip_prefix("sparse+").unwrap_or(address);
        address.trim_end_matches('/').to_owned()
    };
    bare(one) == bare(other) || is_crates_io(one) && is_crates_io(other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::server::private::rules::check;

    #[test]
    fn the_address_of_crates_io_is_known_with_and_without_a_slash() {
        for address in [CRATES_IO.to_owned(), format!("{CRATES_IO}/")] {
            assert!(is_crates_io(&address), "{address}");
        }
        for other in [
            "sparse+https://crates.example.com/index/",
            "https://github.com/rust-lang/crates.io-index-archive",
            "sparse+",
            "",
        ] {
            assert!(!is_crates_io(other), "{other}");
        }
    }

    const MANIFEST: &str = r#"
[package]
name = "a"
version = "1.0.0"
links = "z"

[dependencies.b]
version = "1"
features = ["y", "x"]
registry-index = "sparse+http://127.0.0.1:1/private/index/"

[dependencies.renamed]
version = ">=2, <3"
package = "c"
optional = true
default-features = false

[target."cfg(unix)".build-dependencies]
d = "0.1"

[features]
default = ["f"]
f = ["dep:renamed"]
"#;

    fn said() -> serde_json::Value {
        serde_json::json!({
            "name": "a", "vers": "1.0.0", "links": "z", "features": {"default": ["f"], "f": ["dep:renamed"]},
            "deps": [
                {"name": "c", "version_req": ">=2, <3", "explicit_name_in_toml": "renamed", "optional": true,
                 "default_features": false, "registry": "https://github.com/rust-lang/crates.io-index"},
                {"name": "d", "version_req": "^0.1", "kind": "build", "target": "cfg(unix)",
                 "registry": "https://github.com/rust-lang/crates.io-index"},
                {"name": "b", "version_req": "^1", "features": ["x", "y"]}
            ]
        })
    }

    fn agree(said: serde_json::Value, manifest: &str) -> Result<(), String> {
        let said = check(serde_json::from_value(said).unwrap()).unwrap();
        let agreed =
            declared(manifest.as_bytes()).and_then(|declared| check_agreement(&said, &declared));
        agreed.map_err(|refused| refused.detail)
    }

    #[test]
    fn what_cargo_sends_agrees() {
        assert_eq!(agree(said(), MANIFEST), Ok(()));
    }

    #[test]
    fn each_difference_is_refused() {
        for (from, to) in [
            ("name = \"a\"", "name = \"b\""),
            ("version = \"1.0.0\"", "version = \"1.0.1\""),
            ("links = \"z\"", "links = \"y\""),
            ("version = \"1\"", "version = \"2\""),
            ("\"y\", \"x\"", "\"y\""),
            (
                "registry-index = \"sparse+http://127.0.0.1:1/private/index/\"",
                "",
            ),
            ("optional = true", ""),
            ("default-features = false", ""),
            ("package = \"c\"", "package = \"e\""),
            ("d = \"0.1\"", ""),
            ("d = \"0.1\"", "d = \"0.1\"\ne = \"1\""),
            ("build-dependencies", "dependencies"),
            ("cfg(unix)", "cfg(windows)"),
            ("f = [\"dep:renamed\"]", "f = []"),
        ] {
            assert!(MANIFEST.contains(from), "{from}");
            let refused = agree(said(), &MANIFEST.replace(from, to)).unwrap_err();
            assert!(refused.contains("does not agree"), "{from} {to}: {refused}");
        }
        let mut with_registry = said();
        with_registry["deps"][0]["registry"] = "https://other.example/index".into();
        assert!(agree(with_registry, MANIFEST).is_err());
    }

    proptest! {
        #[test]
        fn no_manifest_makes_the_reader_panic(text in "\\PC*", key in "[a-z.-]{0,9}") {
            let _ = declared(text.as_bytes());
            let _ = agree(said(), &MANIFEST.replace("version", &key));
        }
    }
}
