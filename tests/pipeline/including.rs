//! The job in projects of other people: how it is included, and what its inputs and the project's variables say.

use crate::support::lighttpd::Lighttpd;
use crate::support::repo::git;
use crate::{Project, Scene};

const SYNC: &str = "ci/sync.gitlab-ci.yml";

/// Syncs by a job of that name, which must carry the three commits.
fn assert_carries(scene: &Scene, job: &str) {
    let before = scene.world.mirror.tip();
    assert_eq!(scene.project.jobs("push"), [""; 0], "{job}");
    let ended = scene.project.run("schedule", job);
    assert!(ended.is_green, "{}", ended.log);
    assert!(ended.log.contains("> merge: 3 commits"), "{}", ended.log);
    assert_ne!(scene.world.mirror.tip(), before);
    assert_eq!(scene.project.report(job).unwrap()["outcome"], "merge");
}

#[test]
fn the_component_is_the_job() {
    let job = include_str!("../../ci/sync.gitlab-ci.yml");
    let component = include_str!("../../templates/sync.yml");
    assert!(job == component, "cp {SYNC} templates/sync.yml");
}

#[test]
fn everything_can_be_said_by_inputs() {
    let Some(scene) = Project::with_own(&[SYNC]).and_then(Scene::of) else {
        return;
    };
    let include = format!(
        "stages: [carry]\ninclude:\n  - local: {SYNC}\n    inputs:\n      job: carry index\n      stage: carry\n      \
         upstream: {}\n      mirror: {}\n      author: A \"Robot\" <robot@ferry.example>\n      keep: my/*,ours/$CI\n",
        scene.upstream_url(),
        scene.mirror_url()
    );
    scene.project.write(".gitlab-ci.yml", &include);
    scene.project.commit();
    let ended = scene.project.run("pipeline", "carry index");
    assert!(ended.is_green, "{}", ended.log);
    let mirror = scene.world.mirror.path();
    let author = git(mirror, &["log", "-1", "--format=%an <%ae>", "master"]);
    assert_eq!(author, "A \"Robot\" <robot@ferry.example>");
}

#[test]
fn a_variable_wins_over_an_input_wherever_it_is_set() {
    let Some(mut scene) = Project::with_own(&[SYNC]).and_then(Scene::of) else {
        return;
    };
    let (upstream, mirror) = (scene.upstream_url(), scene.mirror_url());
    // One at the top of the file, one in the settings, and one input left at its default.
    let text = format!(
        "variables:\n  FERRY_UPSTREAM_URL: {upstream}\n  FERRY_MIRROR_AUTHOR: Top <top@ferry.example>\ninclude:\n  \
         - local: {SYNC}\n    inputs:\n      upstream: git://127.0.0.1:1/input.git\n      \
         mirror: git://127.0.0.1:1/input.git\n"
    );
    scene.project.set("FERRY_MIRROR_URL", mirror);
    scene.project.write(".gitlab-ci.yml", &text);
    scene.project.commit();
    assert_carries(&scene, "sync");
    let mirror = scene.world.mirror.path();
    let author = git(mirror, &["log", "-1", "--format=%ae", "master"]);
    assert_eq!(author, "top@ferry.example");
}

#[test]
fn of_the_projects_defaults_the_job_takes_the_runners_tags_alone() {
    let Some(scene) = Project::with_own(&[SYNC]).and_then(Scene::of) else {
        return;
    };
    let text = format!(
        "default:\n  tags: [docker]\n  before_script: [not-in-our-image]\n  after_script: [not-in-our-image]\n\
         include:\n  - local: {SYNC}\n"
    );
    scene.project.write(".gitlab-ci.yml", &text);
    scene.project.commit();
    let preview = scene.project.preview("trigger");
    let job = &preview[preview.find("\nsync:").unwrap()..];
    assert!(job.contains("tags:\n    - docker\n"), "{job}");
    assert!(!job.contains("not-in-our-image"), "{job}");
}

#[test]
fn another_project_on_the_same_host_includes_the_file_or_the_component() {
    let Some(first) = Project::with_own(&[SYNC, "templates/sync.yml"]) else {
        return;
    };
    let host = tempfile::tempdir().unwrap();
    let ferry = host.path().join("rust/crates-ferry.git");
    first.commit();
    first.push_to(&ferry);
    let Some(server) = Lighttpd::start(host.path(), None) else {
        return;
    };
    let url = server.url("other/project.git");
    let address = url.split('/').nth(2).unwrap();
    for include in [
        format!("project: git/rust/crates-ferry\n    ref: main\n    file: {SYNC}"),
        format!("component: {address}/git/rust/crates-ferry/sync@main"),
    ] {
        let Some(scene) = Project::empty(&url).and_then(Scene::of) else {
            return;
        };
        let inputs = format!(
            "upstream: {}\n      mirror: {}",
            scene.upstream_url(),
            scene.mirror_url()
        );
        let text = format!("include:\n  - {include}\n    inputs:\n      {inputs}\n");
        scene.project.write(".gitlab-ci.yml", &text);
        scene.project.commit();
        assert_carries(&scene, "sync");
    }
}
