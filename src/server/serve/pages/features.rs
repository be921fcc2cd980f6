//! The features of a version, and what each switches on, in words.

use std::collections::BTreeSet;

use super::text::{Within, clean};
use crate::index::release::Release;

/// How many bytes the rows take, with what the template adds to each.
const BYTES: usize = 8 << 10;
const MARKUP: usize = 120;

/// A feature.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) name: String,
    /// Whether `default` switches it on itself.
    pub(super) is_default: bool,
    pub(super) enables: String,
}

/// Returns the features, `default` first, as far as the page has room.
pub(super) fn features(release: &Release) -> Within<Feature> {
    let none = Vec::new();
    let default = release.features.get("default").unwrap_or(&none);
    let mut all: Vec<_> = release.features.iter().collect();
    all.sort_by_key(|(name, _)| *name != "default");
    let written = all
        .into_iter()
        .map(|(name, enables)| (name.as_str(), told(enables)));
    let implied = implied(release).into_iter();
    let implied = implied.map(|name| (name, format!("dependency {name}")));
    let features = written.chain(implied).map(|(name, enables)| Feature {
        name: clean(name),
        is_default: default.iter().any(|other| other == name),
        enables: clean(&enables),
    });
    Within::new(features, BYTES, |feature| {
        MARKUP + feature.name.len() + feature.enables.len()
    })
}

/// Says what a feature switches on, by kind: other features, optional dependencies, features of dependencies.
fn told(enables: &[String]) -> String {
    let (mut features, mut dependencies, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for enabled in enables {
        if let Some(name) = enabled.strip_prefix("dep:") {
            dependencies.push(name);
        } else if let Some((of, feature)) = enabled.split_once('/') {
            theirs.push(match of.strip_suffix('?') {
                Some(of) => format!("{feature} of {of} where that is used"),
                None => format!("{feature} of {of}"),
            });
        } else {
            features.push(enabled.as_str());
        }
    }
    let noun = match dependencies.len() {
        1 => "dependency",
        _ => "dependencies",
    };
    let dependencies = dependencies.join(", ");
    let dependencies = (!dependencies.is_empty()).then(|| format!("{noun} {dependencies}"));
    let kinds = [
        Some(features.join(", ")),
        dependencies,
        Some(theirs.join(", ")),
    ];
    let kinds = kinds.into_iter().flatten().filter(|kind| !kind.is_empty());
    kinds.collect::<Vec<_>>().join(" · ")
}

/// Returns the features that cargo makes of optional dependencies that no feature names with `dep:`.
fn implied(release: &Release) -> BTreeSet<&str> {
    let named: BTreeSet<_> = release
        .features
        .values()
        .flatten()
        .filter_map(|enabled| enabled.strip_prefix("dep:"))
        .collect();
    let optional = release
        .dependencies
        .iter()
        .filter(|dependency| dependency.is_optional);
    let names =
        optional.map(|dependency| dependency.renamed.as_ref().unwrap_or(&dependency.package));
    let names = names.map(String::as_str);
    names
        .filter(|name| !named.contains(name) && !release.features.contains_key(*name))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::index::release::Releases;

    #[test]
    fn features_say_what_they_switch_on() {
        let line = r#"{"name":"a","vers":"1.0.0","cksum":"","features":{"default":["std"],"std":["alloc","b?/std","c/std","dep:b"],"alloc":[]},
            "deps":[{"name":"b","req":"^1","optional":true},{"name":"d","package":"e","req":"^1","optional":true},{"name":"c","req":"^1"}]}"#;
        let release = Releases::of(line.replace('\n', "").into()).read(0).unwrap();
        let features = features(&release);
        let seen: Vec<_> = features
            .rows
            .iter()
            .map(|row| (row.name.as_str(), row.is_default, row.enables.as_str()))
            .collect();
        let expected = [
            ("default", false, "std"),
            ("alloc", false, ""),
            (
                "std",
                true,
                "alloc · dependency b · std of b where that is used, std of c",
            ),
            ("d", false, "dependency d"),
        ];
        assert_eq!(seen, expected);
    }
}
