//! The job in the container image, by gitlab-ci-local's docker executor. `ci/check-image` builds the image and runs these.

use super::mailing::refusing_and_mailing;
use super::project::{Docker, OWN_FILES};
use super::{Project, Scene};

/// A project whose job runs in the image that `ci/check-image` built; none where it did not.
fn scene() -> Option<(Scene, Docker)> {
    let docker = Docker::built()?;
    let scene = Scene::of(Project::with_own(&OWN_FILES[1..])?)?;
    let include = format!(
        "include:\n  - local: {}\n    inputs:\n      image: {}\n      upstream: {}\n      mirror: {}\n",
        OWN_FILES[1],
        docker.image,
        scene.upstream_url(),
        scene.mirror_url()
    );
    scene.project.write(".gitlab-ci.yml", &include);
    scene.project.commit();
    Some((scene, docker))
}

#[test]
fn the_job_carries_in_the_image() {
    let Some((scene, docker)) = scene() else {
        return;
    };
    let before = scene.world.mirror.tip();
    let ended = scene.project.run_in(&docker, "schedule", "sync");
    assert!(ended.is_green, "{}", ended.log);
    assert!(ended.log.contains("merge: 3 commits"), "{}", ended.log);
    assert_ne!(scene.world.mirror.tip(), before);
    assert_eq!(scene.project.report("sync").unwrap()["outcome"], "merge");
}

#[test]
fn a_job_that_fails_in_the_image_is_red_and_mailed_once() {
    let Some((mut scene, docker)) = scene() else {
        return;
    };
    let Some(exim) = refusing_and_mailing(&mut scene) else {
        return;
    };
    let before = scene.world.mirror.tip();
    let ended = scene.project.run_in(&docker, "schedule", "sync");
    assert!(!ended.is_green, "{}", ended.log);
    assert!(ended.log.contains("error[permission]: "), "{}", ended.log);
    assert_eq!(scene.world.mirror.tip(), before);
    assert_eq!(
        scene.project.report("sync").unwrap()["error"]["kind"],
        "permission"
    );
    let mail = &exim.messages(1)[0];
    assert!(mail.contains("Subject: sync failed: "), "{mail}");
    let again = scene.project.run_in(&docker, "schedule", "sync");
    assert!(!again.is_green, "{}", again.log);
    assert_eq!(exim.messages(1).len(), 1, "{}", again.log);
}
