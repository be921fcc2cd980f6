//! The job that publishes a crate by the token that GitLab gives it; a stand-in signs that.

use std::path::PathBuf;

use serde_json::Value;

use super::Project;
use crate::support::issuer::{Issuer, SigningKey};
use crate::support::repo::git;
use crate::support::server::{Server, Site, printed};
use crate::support::upstream::{bare, index_path};

const PUBLISH: &str = "ci/publish.gitlab-ci.yml";

/// A project with a crate, and a server that lets its jobs publish it.
struct Scene {
    project: Project,
    server: Server,
    site: Site,
    index: PathBuf,
    key: SigningKey,
    issuer: Issuer,
}

impl Scene {
    fn new() -> Option<Self> {
        let mut project = Project::with_own(&[PUBLISH])?;
        let key = SigningKey::ec("a");
        let issuer = Issuer::start(&[&key]);
        let site = Site::new();
        let index = bare(site.folder.path(), "private.git");
        let rule = format!(
            "issuer={} audience=crates-ferry project=rust/* crates=acme-*",
            issuer.url
        );
        let server = site.serve(&[
            ("FERRY_PRIVATE_INDEX", &index.display().to_string()),
            ("FERRY_PRIVATE_TRUSTED", &rule),
        ]);
        project.write(
            ".gitlab-ci.yml",
            &format!(
                "include:\n  - local: {PUBLISH}\npublish:\n  extends: .crates-ferry-publish\n"
            ),
        );
        // The files of gitlab-ci-local itself.
        project.write(".gitignore", ".gitlab-ci-local*\n");
        project.write("src/lib.rs", "//! One.\n");
        project.set("CRATES_FERRY_URL", server.url(""));
        project.set("CRATES_FERRY_PUBLISH", "--color never");
        project.predefine("CI_COMMIT_TAG", "v1.0.0");
        project.predefine("CI_COMMIT_REF_PROTECTED", "true");
        Some(Self {
            project,
            server,
            site,
            index,
            key,
            issuer,
        })
    }

    /// Makes the crate of the project one of this name.
    fn package(&self, name: &str) {
        self.project.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\ndescription = \"One\"\nlicense = \"MIT\"\n"
            ),
        );
        self.project.commit();
    }

    /// Lets GitLab give the next job this token.
    fn give(&mut self, jwt: String) {
        self.project.set("CRATES_FERRY_JWT", jwt);
    }

    fn log(&self) -> String {
        git(&self.index, &["log", "--format=%an: %s"])
    }
}

#[test]
fn a_protected_tag_publishes_its_crate_with_no_stored_token() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    scene.package("acme-core");
    let jwt = scene.key.sign(&scene.issuer.claims("1"));
    scene.give(jwt.clone());
    let ended = scene.project.run("push", "publish");
    assert!(ended.is_green, "{}", ended.log);
    assert_eq!(scene.log(), "127.0.0.1/rust/core: Create crate `acme-core`");
    let path = format!("HEAD:{}", index_path("acme-core"));
    let line: Value = serde_json::from_str(&git(&scene.index, &["show", &path])).unwrap();
    assert_eq!(
        (&line["name"], &line["vers"]),
        (&"acme-core".into(), &"1.0.0".into())
    );
    // Neither the token of GitLab nor the one for it is in the log, and the latter was revoked.
    assert!(
        !ended.log.contains(&jwt) && !ended.log.contains("ferry_tp_"),
        "{}",
        ended.log
    );
    scene.server.wait_for("revoked", || {
        scene
            .server
            .log()
            .contains("127.0.0.1/rust/core revoked its token")
    });
    let listed = printed(&scene.site.run(&["token", "ls"]), 0);
    assert!(!listed.contains("rust/core"), "{listed}");

    // The same token is worth nothing any more.
    let again = scene.project.run("push", "publish");
    assert!(
        !again.is_green && again.log.contains("the token has been used already"),
        "{}",
        again.log
    );
    assert_eq!(scene.log().lines().count(), 1);
}

#[test]
fn a_job_that_no_rule_names_is_red_and_says_why() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    scene.package("other");
    let mut of_another = scene.issuer.claims("1");
    of_another["project_path"] = "web/shop".into();
    for (claims, why) in [
        (
            scene.issuer.claims("2"),
            "does not have the scope `publish:other`",
        ),
        (of_another, "no rule of private.trusted"),
    ] {
        let jwt = scene.key.sign(&claims);
        scene.give(jwt);
        let ended = scene.project.run("push", "publish");
        assert!(
            !ended.is_green && ended.log.contains(why),
            "{why}: {}",
            ended.log
        );
    }
    assert_eq!(git(&scene.index, &["for-each-ref"]), "");
}

#[test]
fn only_a_protected_tag_starts_the_job() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    scene.package("acme-core");
    assert_eq!(scene.project.jobs("push"), ["publish"]);
    scene.project.predefine("CI_COMMIT_REF_PROTECTED", "false");
    assert_eq!(scene.project.jobs("push"), [""; 0]);
    scene.project.predefine("CI_COMMIT_REF_PROTECTED", "true");
    scene.project.predefine("CI_COMMIT_TAG", "");
    assert_eq!(scene.project.jobs("push"), [""; 0]);
}
