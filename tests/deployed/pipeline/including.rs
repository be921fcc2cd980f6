//! The job in projects of other people: how it is included, and what its inputs and the project's variables say.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use super::{Project, Scene};
use crate::support::lighttpd::Lighttpd;
use crate::support::repo::git;

const SYNC: &str = "ci/sync.gitlab-ci.yml";

/// Inputs, a value for each, and the variable that it must become.
const INPUTS: [(&str, &str, &str); 11] = [
    (
        "upstream",
        "https://upstream.example/i",
        "FERRY_UPSTREAM_URL",
    ),
    ("upstream_branch", "main", "FERRY_UPSTREAM_BRANCH"),
    ("mirror", "git@gitlab.example:a/b c.git", "FERRY_MIRROR_URL"),
    ("branch", "index", "FERRY_MIRROR_BRANCH"),
    ("history", "merge", "FERRY_MIRROR_HISTORY"),
    (
        "author",
        "A \"R\" O'Bot & `Co` <r@ferry.example>",
        "FERRY_MIRROR_AUTHOR",
    ),
    ("keep", "my/*,[a-b]/**", "FERRY_MIRROR_KEEP"),
    (
        "mail_smtp",
        "smtp://u@smtp.example:587?tls=required",
        "FERRY_MAIL_SMTP",
    ),
    ("mail_from", "Ferry <f@ferry.example>", "FERRY_MAIL_FROM"),
    ("mail_to", "a@b.example, c@d.example", "FERRY_MAIL_TO"),
    ("mail_repeat_after", "1h 30m", "FERRY_MAIL_REPEAT_AFTER"),
];

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
    let job = include_str!("../../../ci/sync.gitlab-ci.yml");
    let component = include_str!("../../../templates/sync.yml");
    assert!(job == component, "cp {SYNC} templates/sync.yml");
}

#[test]
fn a_mirror_can_be_all_inputs() {
    let Some(scene) = Project::with_own(&[SYNC]).and_then(Scene::of) else {
        return;
    };
    let (upstream, mirror) = (scene.upstream_url(), scene.mirror_url());
    let text = format!(
        "stages: [carry]\ninclude:\n  - local: {SYNC}\n    inputs:\n      job: carry\n      stage: carry\n      \
         upstream: {upstream}\n      mirror: {mirror}\n      history: snapshot\n      keep: my/*,la/te/late1\n"
    );
    scene.project.write(".gitlab-ci.yml", &text);
    scene.project.commit();
    assert_carries(&scene, "carry");
    let mirror = &scene.world.mirror;
    assert!(mirror.read("la/te/late0").is_some());
    assert!(mirror.read("la/te/late1").is_none(), "it is kept as it is");
    let second_parent = git(mirror.path(), &["log", "-1", "--format=%s", "master^2"]);
    assert!(second_parent.starts_with("Stand in"), "{second_parent}");
}

#[test]
fn every_input_reaches_its_variable_as_it_is() {
    let Some(project) = Project::with_own(&[SYNC]) else {
        return;
    };
    let inputs: String = INPUTS
        .iter()
        .map(|(input, value, _)| format!("      {input}: {}\n", Value::from(*value)))
        .collect();
    let text = format!(
        "include:\n  - local: {SYNC}\n    inputs:\n{inputs}\
         sync:\n  before_script:\n    - crates-ferry() {{ env | grep ^FERRY_; }}\n"
    );
    project.write(".gitlab-ci.yml", &text);
    project.commit();
    let ended = project.run("api", "sync");
    assert!(ended.is_green, "{}", ended.log);
    let mut expected: Vec<String> = INPUTS
        .iter()
        .map(|(_, value, variable)| format!("sync > {variable}={value}"))
        .chain([String::from("sync > FERRY_MAIL_STATE=.ferry/mail.json")])
        .collect();
    let mut shown: Vec<&str> = ended
        .log
        .lines()
        .filter(|line| line.starts_with("sync > FERRY_"))
        .collect();
    expected.sort();
    shown.sort_unstable();
    assert_eq!(shown, expected);
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

#[test]
fn a_project_on_any_host_includes_the_file_by_its_url() {
    let Some(scene) =
        Project::empty("https://gitlab.example.com/other/project.git").and_then(Scene::of)
    else {
        return;
    };
    let text = format!(
        "include:\n  - remote: {}\n    inputs:\n      upstream: {}\n      mirror: {}\n",
        serve_once(include_str!("../../../ci/sync.gitlab-ci.yml")),
        scene.upstream_url(),
        scene.mirror_url()
    );
    scene.project.write(".gitlab-ci.yml", &text);
    scene.project.commit();
    assert_carries(&scene, "sync");
}

/// Serves a file over HTTP to the first who asks, and returns its URL.
fn serve_once(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let head = BufReader::new(&stream).lines();
        head.map_while(Result::ok).find(String::is_empty);
        let length = text.len();
        write!(
            &stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        )
        .unwrap();
    });
    format!("http://127.0.0.1:{port}/ci/sync.gitlab-ci.yml")
}
