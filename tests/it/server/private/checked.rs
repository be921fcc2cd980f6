//! `crates-ferry check` of a private registry: whether its repository can be read and written, and its files stay; nothing is changed.

use serde_json::Value;

use super::{Registry, Version};
use crate::support::daemon::GitDaemon;
use crate::support::repo::git;
use crate::support::s3::{Refuses, S3};

/// Runs the command; returns its exit code and its probes.
fn check(registry: &Registry, pairs: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let output = registry
        .site
        .run_with(pairs, &["--format", "json", "check"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let probes = json["probes"].as_array().unwrap().clone();
    (output.status.code().unwrap(), probes)
}

/// Returns status, detail and advice of a probe.
fn of<'p>(probes: &'p [Value], name: &str) -> [&'p str; 3] {
    let probe = probes.iter().find(|probe| probe["name"] == name);
    let probe = probe.unwrap_or_else(|| panic!("no {name} in {probes:#?}"));
    ["status", "detail", "advice"].map(|key| probe[key].as_str().unwrap_or_default())
}

#[test]
fn a_repository_that_can_be_read_and_pushed_to_passes_and_stays_as_it_was() {
    let registry = Registry::new();
    let daemon = GitDaemon::start(registry.site.folder.path());
    let url = format!("git://127.0.0.1:{}/private.git", daemon.port());
    let pairs = [("FERRY_PRIVATE_INDEX", url.as_str())];
    let (code, probes) = check(&registry, &pairs);
    assert_eq!(code, 0, "{probes:#?}");
    let [status, detail, _] = of(&probes, "private index");
    assert_eq!(status, "passed");
    assert!(detail.contains("has no branch"), "{detail}");
    assert_eq!(of(&probes, "private push")[0], "passed");
    // There is no mirror, and that is no mistake.
    assert_eq!(of(&probes, "mirror")[0], "skipped");

    let server = registry.serve(&[]);
    let core = Version {
        name: "acme-core",
        version: "1.0.0",
        content: "",
    };
    assert_eq!(
        core.publish(&server, &registry.publisher("alice")).status,
        200
    );
    let before = git(&registry.repository, &["for-each-ref"]);
    let (_, probes) = check(&registry, &pairs);
    let tip = git(&registry.repository, &["rev-parse", "--short=7", "HEAD"]);
    let [_, detail, _] = of(&probes, "private index");
    assert!(detail.contains(&tip), "{detail}");
    assert_eq!(git(&registry.repository, &["for-each-ref"]), before);

    git(
        &registry.repository,
        &["config", "daemon.receivepack", "false"],
    );
    let (code, probes) = check(&registry, &pairs);
    assert_eq!((code, of(&probes, "private index")[0]), (1, "passed"));
    assert_eq!(of(&probes, "private push")[0], "failed");

    let absent = format!("{url}-none");
    let (code, probes) = check(&registry, &[("FERRY_PRIVATE_INDEX", &absent)]);
    assert_eq!((code, of(&probes, "private index")[0]), (1, "failed"));
    assert_eq!(of(&probes, "private push")[0], "skipped");
}

#[test]
fn a_lifecycle_rule_that_would_take_private_files_is_told() {
    let registry = Registry::new();
    let index = registry.repository.display().to_string();
    let folder = registry.site.folder.path().join("s3");
    let told = |s3: &S3| {
        let variables = s3.variables();
        let mut pairs: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        pairs.push(("FERRY_PRIVATE_INDEX", &index));
        let (code, probes) = check(&registry, &pairs);
        assert_eq!(of(&probes, "private files")[0], "passed", "{probes:#?}");
        let rules = probes.iter().filter(|probe| probe["name"] == "lifecycle");
        let rules: Vec<_> = rules
            .map(|probe| {
                [&probe["status"], &probe["detail"]].map(|text| text.as_str().unwrap().to_owned())
            })
            .collect();
        let [of_state, of_private] = rules.try_into().unwrap();
        (code, of_state, of_private)
    };
    let expiring = |prefix: &str| {
        let rule = format!(
            "<Rule><ID>old</ID><Filter><Prefix>{prefix}</Prefix></Filter><Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>"
        );
        told(&S3::with_lifecycle(&folder, &rule))
    };
    // All of the bucket, or a part of what is private.
    let (code, [of_state, detail], [of_private, _]) = expiring("kept/");
    assert_eq!((code, &*of_state, &*of_private), (1, "failed", "failed"));
    let wanted = "the lifecycle rule `old` expires objects whose names begin with `kept/`, also below s3://crates/kept/here/state";
    assert!(detail.starts_with(wanted), "{detail}");
    let (code, [of_state, _], [of_private, detail]) = expiring("kept/here/private/ac/");
    assert_eq!((code, &*of_state, &*of_private), (1, "passed", "failed"));
    assert!(
        detail.contains("below s3://crates/kept/here/private, which"),
        "{detail}"
    );
    // Others.
    let (code, [of_state, _], [of_private, _]) = expiring("kept/here/privately");
    assert_eq!((code, &*of_state, &*of_private), (0, "passed", "passed"));
    // A server that does not say: the stand-in without rules knows no such call.
    let (code, [of_state, detail], [of_private, _]) = told(&S3::start(&folder));
    assert_eq!((code, &*of_state, &*of_private), (0, "skipped", "skipped"));
    assert!(
        detail.contains("does not tell its lifecycle rules (NotImplemented"),
        "{detail}"
    );
    let none = Refuses::Query("lifecycle", "NoSuchLifecycleConfiguration");
    let (code, [of_state, _], [of_private, _]) = told(&S3::refusing(&folder, none));
    assert_eq!((code, &*of_state, &*of_private), (0, "passed", "passed"));
}
