//! What may be published: the rules of crates.io for names, versions, dependencies and features.

use std::collections::BTreeMap;

use semver::{Version, VersionReq};
use url::Url;

use super::refusal::Refusal;
use super::request::{Dependency, Kind, Metadata};
use crate::index::{CrateName, CrateVersion};
use crate::shown::one_line;

/// The most dependencies, features, and values of a feature.
const DEPENDENCIES: usize = 1000;
const FEATURES: usize = 1000;
/// The longest texts, in bytes.
const TARGET: usize = 500;
const LINKS: usize = 100;
const FEATURE: usize = 200;
const ADDRESS: usize = 500;

/// Names of the standard library's own crates, and those that Windows takes for devices: an index with such a file cannot be checked
/// out there.
const RESERVED: &[&str] = &[
    "alloc",
    "core",
    "proc_macro",
    "std",
    "test",
    "aux",
    "com1",
    "com2",
    "com3",
    "com4",
    "com5",
    "com6",
    "com7",
    "com8",
    "com9",
    "con",
    "lpt1",
    "lpt2",
    "lpt3",
    "lpt4",
    "lpt5",
    "lpt6",
    "lpt7",
    "lpt8",
    "lpt9",
    "nul",
    "prn",
];

/// A version whose metadata keeps the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The crate.
    pub name: CrateName,
    /// The version.
    pub version: CrateVersion,
    /// Its dependencies.
    pub dependencies: Vec<CheckedDependency>,
    /// Its features, and what each enables.
    pub features: BTreeMap<String, Vec<String>>,
    /// The native library that it links.
    pub links: Option<String>,
    /// The oldest Rust that it builds with.
    pub rust_version: Option<String>,
}

/// A dependency that keeps the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedDependency {
    /// The name by which the manifest calls it.
    pub name: String,
    /// The crate.
    pub package: CrateName,
    /// The requirement, as it was written.
    pub requirement: String,
    /// What it means.
    pub meaning: VersionReq,
    /// The features that it enables.
    pub features: Vec<String>,
    /// Whether it is optional.
    pub is_optional: bool,
    /// Whether it enables the default features.
    pub has_default_features: bool,
    /// The platform that it is for.
    pub target: Option<String>,
    /// What it is needed for.
    pub kind: Kind,
    /// The index of the registry that it comes from; `None` for this one.
    pub registry: Option<String>,
}

/// Checks the metadata of a version.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(metadata: Metadata) -> Result<Checked, Refusal> {
    let name = check_name(&metadata.name)?;
    let version = CrateVersion::new(&metadata.vers).map_err(|why| {
        let text = one_line(&metadata.vers);
        Refusal::invalid(format!("`{text}` cannot be a version: {why}"))
    })?;
    if metadata.deps.len() > DEPENDENCIES {
        let text = format!("a crate has at most {DEPENDENCIES} dependencies here");
        return Err(Refusal::invalid(text));
    }
    let dependencies = metadata.deps.into_iter().map(check_dependency);
    let dependencies = dependencies.collect::<Result<_, _>>()?;
    check_features(&metadata.features)?;
    Ok(Checked {
        name,
        version,
        dependencies,
        features: metadata.features,
        links: metadata.links.map(check_links).transpose()?,
        rust_version: metadata.rust_version.map(check_rust_version).transpose()?,
    })
}

/// Checks the name of a crate that is to be published: stricter than what is read of an index.
///
/// # Errors
/// The rule that it breaks.
pub fn check_name(text: &str) -> Result<CrateName, Refusal> {
    let shown = one_line(text);
    // First: what else a name may begin with in an index does not help.
    if !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        let text = format!("`{shown}` cannot be the name of a crate: it begins with a letter");
        return Err(Refusal::invalid(text));
    }
    let name = CrateName::new(text).map_err(|why| {
        Refusal::invalid(format!("`{shown}` cannot be the name of a crate: {why}"))
    })?;
    let folded = crate::index::folded(text);
    if RESERVED.contains(&folded.as_str()) {
        let text = format!("`{shown}` cannot be the name of a crate: it is reserved");
        return Err(Refusal::invalid(text));
    }
    Ok(name)
}

/// Says what two versions have in common of which a crate has only one: all but the build metadata.
pub fn without_build(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

fn check_dependency(given: Dependency) -> Result<CheckedDependency, Refusal> {
    let shown = one_line(&given.name).into_owned();
    let refused = |why: &str| Refusal::invalid(format!("the dependency `{shown}` {why}"));
    let package =
        CrateName::new(&given.name).map_err(|why| refused(&format!("has no valid name: {why}")))?;
    let name = match given.explicit_name_in_toml {
        None => given.name,
        Some(name) => {
            CrateName::new(&name)
                .map_err(|why| refused(&format!("has no valid name in the manifest: {why}")))?;
            name
        }
    };
    let meaning = VersionReq::parse(&given.version_req)
        .map_err(|why| refused(&format!("has a requirement that cannot be read: {why}")))?;
    if meaning == VersionReq::STAR {
        return Err(refused(
            "has the requirement `*`, which this registry does not take, as crates.io does not: name a version",
        ));
    }
    if let Some(other) = given
        .features
        .iter()
        .find(|feature| !is_feature_value(feature))
    {
        return Err(refused(&format!(
            "enables `{}`, which cannot be a feature",
            one_line(other)
        )));
    }
    if given
        .target
        .as_ref()
        .is_some_and(|target| !is_plain(target, TARGET))
    {
        return Err(refused("is for a target that cannot be read"));
    }
    if let Some(registry) = &given.registry {
        check_registry(registry).map_err(|why| refused(&why))?;
    }
    Ok(CheckedDependency {
        name,
        package,
        requirement: given.version_req,
        meaning,
        features: given.features,
        is_optional: given.optional,
        has_default_features: given.default_features,
        target: given.target,
        kind: given.kind,
        registry: given.registry,
    })
}

/// Refuses what is no address of an index: it goes into the index, and to everybody who reads it.
fn check_registry(text: &str) -> Result<(), String> {
    let shown = one_line(text);
    let url =
        (text.len() <= ADDRESS).then(|| Url::parse(text.strip_prefix("sparse+").unwrap_or(text)));
    let Some(Ok(url)) = url else {
        return Err("comes from a registry whose address cannot be read".to_owned());
    };
    if !matches!(url.scheme(), "https" | "http" | "ssh" | "git" | "file") {
        return Err(format!(
            "comes from `{shown}`, which is no address of a registry's index"
        ));
    }
    match url.password() {
        None => Ok(()),
        // Not shown: it is a secret, which all readers of the index would see.
        Some(_) => Err("comes from a registry whose address has a password in it".to_owned()),
    }
}

fn check_features(features: &BTreeMap<String, Vec<String>>) -> Result<(), Refusal> {
    let many = || {
        Refusal::invalid(format!(
            "a crate has at most {FEATURES} features here, and each as many values"
        ))
    };
    if features.len() > FEATURES {
        return Err(many());
    }
    for (name, values) in features {
        if !is_feature(name) {
            let name = one_line(name);
            return Err(Refusal::invalid(format!(
                "`{name}` cannot be the name of a feature"
            )));
        }
        if values.len() > FEATURES {
            return Err(many());
        }
        if let Some(value) = values.iter().find(|value| !is_feature_value(value)) {
            let value = one_line(value);
            let text = format!("the feature `{name}` enables `{value}`, which cannot be a feature");
            return Err(Refusal::invalid(text));
        }
    }
    Ok(())
}

/// Says whether a text is the name of a feature, as crates.io takes it.
fn is_feature(text: &str) -> bool {
    let is_part =
        |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '+' | '.');
    let begins = text.starts_with(|first: char| first.is_alphanumeric() || first == '_');
    begins && text.len() <= FEATURE && text.chars().all(is_part)
}

/// Says whether a text is what a feature may enable: `feature`, `dep:name`, `name/feature`, `name?/feature`.
fn is_feature_value(text: &str) -> bool {
    if let Some(name) = text.strip_prefix("dep:") {
        return CrateName::new(name).is_ok();
    }
    match text.split_once('/') {
        None => is_feature(text),
        Some((name, feature)) => {
            let name = name.strip_suffix('?').unwrap_or(name);
            CrateName::new(name).is_ok() && is_feature(feature)
        }
    }
}

fn check_links(links: String) -> Result<String, Refusal> {
    match is_plain(&links, LINKS) {
        true => Ok(links),
        false => Err(Refusal::invalid("`links` cannot be read")),
    }
}

/// Checks an oldest Rust: `1.70`, `1.70.0`.
fn check_rust_version(text: String) -> Result<String, Refusal> {
    let parts: Vec<_> = text.split('.').collect();
    let is_number = |part: &&str| part.parse::<u32>().is_ok() && !part.starts_with('+');
    // With a pre-release a whole version is needed.
    let is_one = (1..=3).contains(&parts.len()) && parts.iter().all(is_number)
        || text.len() <= 64 && Version::parse(&text).is_ok();
    match is_one {
        true => Ok(text),
        false => Err(Refusal::invalid(format!(
            "`{}` cannot be a rust-version",
            one_line(&text.chars().take(LINKS).collect::<String>())
        ))),
    }
}

fn is_plain(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn of(json: serde_json::Value) -> Result<Checked, String> {
        check(serde_json::from_value(json).unwrap()).map_err(|refused| refused.detail)
    }

    #[test]
    fn a_name_or_version_that_crates_io_refuses_is_refused() {
        for name in [
            "",
            "1a",
            "_a",
            "-a",
            "a b",
            "a/../b",
            "ä",
            "core",
            "Proc-Macro",
            "NUL",
            &"a".repeat(65),
        ] {
            let refused = of(serde_json::json!({"name": name, "vers": "1.0.0"})).unwrap_err();
            assert!(
                refused.contains("cannot be the name of a crate"),
                "{refused}"
            );
        }
        for version in ["", "1", "1.0", "v1.0.0", "1.0.0/..", "01.0.0"] {
            let refused = of(serde_json::json!({"name": "a", "vers": version})).unwrap_err();
            assert!(refused.contains("cannot be a version"), "{refused}");
        }
        assert!(of(serde_json::json!({"name": "A-b_1", "vers": "1.0.0-rc.1+b.2"})).is_ok());
        assert_eq!(without_build("1.0.0-rc.1+b+c"), "1.0.0-rc.1");
    }

    #[test]
    fn a_dependency_that_nobody_can_take_is_refused() {
        let with = |dependency: serde_json::Value| {
            of(serde_json::json!({"name": "a", "vers": "1.0.0", "deps": [dependency]}))
        };
        for (dependency, why) in [
            (
                serde_json::json!({"name": "b c", "version_req": "^1"}),
                "no valid name",
            ),
            (
                serde_json::json!({"name": "b", "version_req": "one"}),
                "requirement that cannot be read",
            ),
            (
                serde_json::json!({"name": "b", "version_req": "*"}),
                "name a version",
            ),
            (
                serde_json::json!({"name": "b", "version_req": "^1", "features": ["a b"]}),
                "cannot be a feature",
            ),
            (
                serde_json::json!({"name": "b", "version_req": "^1", "explicit_name_in_toml": "../c"}),
                "in the manifest",
            ),
            (
                serde_json::json!({"name": "b", "version_req": "^1", "target": "a\nb"}),
                "target",
            ),
            (
                serde_json::json!({"name": "b", "version_req": "^1", "registry": "javascript:1"}),
                "no address",
            ),
            (
                serde_json::json!({"name": "b", "version_req": "^1", "registry": "https://me:secret@h.example/"}),
                "password",
            ),
        ] {
            let refused = with(dependency).unwrap_err();
            assert!(
                refused.contains(why) && !refused.contains("secret"),
                "{refused}"
            );
        }
        let made = with(serde_json::json!({
            "name": "b", "version_req": ">=1, <2", "registry": "sparse+https://h.example/index/", "explicit_name_in_toml": "c",
            "target": "cfg(unix)", "features": ["x"]
        }));
        assert_eq!(made.unwrap().dependencies[0].name, "c");
    }

    #[test]
    fn features_have_the_syntax_of_cargo() {
        let with = |value: &str| {
            of(serde_json::json!({"name": "a", "vers": "1.0.0", "features": {"f": [value]}}))
        };
        for value in ["g", "dep:b", "b/c", "b?/c", "c++20", "1.0"] {
            assert!(with(value).is_ok(), "{value}");
        }
        for value in ["", "dep:", "dep:b/c", "/c", "b/", "b??/c", "a b"] {
            assert!(with(value).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_metadata_make_the_rules_panic(name in "\\PC*", vers in "\\PC*", req in "\\PC*", text in "\\PC*") {
            let _ = of(serde_json::json!({
                "name": name, "vers": vers, "rust_version": text, "links": text, "features": {&text: [&text]},
                "deps": [{"name": text, "version_req": req, "registry": text, "target": text, "features": [text]}]
            }));
            let _ = check_registry(&text);
        }
    }
}
