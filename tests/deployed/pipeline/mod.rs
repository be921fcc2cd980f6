//! The pipelines, as gitlab-ci-local runs them: an upstream on a git daemon, a mirror on a real sshd, the job in a shell.

mod failing;
mod in_the_image;
mod including;
mod mailing;
mod project;
mod publishing;

use crate::support::ferry::empty_mirror;
use crate::support::repo::git;
use crate::support::sides::World;
use crate::support::sshd::{Options, Sshd};

use self::project::{OWN_FILES, Project};

/// A project that syncs a mirror over ssh.
struct Scene {
    world: World,
    sshd: Sshd,
    project: Project,
}

impl Scene {
    /// A copy of this project in which three variables are set, and the upstream.
    fn of_own_files() -> Option<Self> {
        let mut scene = Self::of(Project::with_own(&OWN_FILES)?)?;
        let (upstream, mirror) = (scene.upstream_url(), scene.mirror_url());
        scene.project.set("FERRY_UPSTREAM_URL", upstream);
        scene.project.set("FERRY_MIRROR_URL", mirror);
        scene.project.commit();
        Some(scene)
    }

    /// A project without files that has the keys.
    fn of(mut project: Project) -> Option<Self> {
        let mut world = World::empty();
        world.upstream.publish_many("crate", 40);
        let program = assert_cmd::cargo::cargo_bin!("crates-ferry");
        assert_cmd::Command::new(program)
            .env_clear()
            .envs(world.ferry.variables().iter().cloned())
            .arg("init")
            .assert()
            .success();
        let sshd = Sshd::start(&Options::new(world.folder()))?;
        project.set_file("SSH_PRIVATE_KEY", sshd.private_key_text());
        project.set_file("SSH_KNOWN_HOSTS", sshd.known_hosts_line());
        world.upstream.publish_many("late", 3);
        Some(Self {
            world,
            sshd,
            project,
        })
    }

    /// Lets the project have the job run these commands first.
    fn before_script(&self, commands: &[&str]) {
        let commands: String = commands
            .iter()
            .map(|line| format!("    - {line}\n"))
            .collect();
        let text = format!("\nsync:\n  before_script:\n{commands}");
        self.project.append(".gitlab-ci.yml", &text);
        self.project.commit();
    }

    fn upstream_url(&self) -> String {
        format!("git://127.0.0.1:{}/upstream.git", self.world.daemon.port())
    }

    fn mirror_url(&self) -> String {
        self.sshd.url("mirror.git")
    }
}

#[test]
fn a_copy_of_this_project_with_its_variables_is_a_whole_mirror() {
    let Some(scene) = Scene::of_own_files() else {
        return;
    };
    let before = scene.world.mirror.tip();
    let ended = scene.project.run("trigger", "sync");
    assert!(ended.is_green, "{}", ended.log);
    for part in [
        "> merge: 3 commits",
        "crates    late0, late1, late2",
        "overlay   config.json",
    ] {
        assert!(ended.log.contains(part), "{}", ended.log);
    }
    let after = scene.world.mirror.tip();
    assert_ne!(after, before);
    let report = scene.project.report("sync").unwrap();
    assert_eq!(report["outcome"], "merge");
    assert_eq!(report["after"], after.as_str());

    let again = scene.project.run("schedule", "sync");
    assert!(again.is_green && again.log.contains("> up-to-date"));
    assert_eq!(scene.world.mirror.tip(), after);
    assert_eq!(
        scene.project.report("sync").unwrap()["outcome"],
        "up-to-date"
    );
}

#[test]
fn a_change_is_checked_and_everything_else_syncs_and_does_no_more() {
    let Some(project) = Project::with_own(&OWN_FILES) else {
        return;
    };
    project.commit();
    for source in ["schedule", "trigger", "web", "api", "pipeline"] {
        assert_eq!(project.jobs(source), ["sync"], "{source}");
    }
    for source in ["push", "merge_request_event"] {
        assert_eq!(project.jobs(source), ["check", "build image"], "{source}");
    }
    for source in ["external", "parent_pipeline", "chat"] {
        assert!(project.jobs(source).is_empty(), "{source}");
    }
}

#[test]
fn another_command_for_one_run_is_a_variable() {
    let Some(mut scene) = Scene::of_own_files() else {
        return;
    };
    let before = scene.world.mirror.tip();
    let command = "sync --dry-run --ours la/te";
    scene.project.set("CRATES_FERRY_COMMAND", command);
    let ended = scene.project.run("web", "sync");
    assert!(ended.is_green, "{}", ended.log);
    assert!(ended.log.contains("merge (dry run, nothing was pushed)"));
    assert_eq!(scene.world.mirror.tip(), before);
    assert_eq!(scene.project.report("sync").unwrap()["dry_run"], true);
}

#[test]
fn the_first_commit_is_made_by_the_same_job() {
    let Some(mut scene) = Scene::of_own_files() else {
        return;
    };
    let mirror = empty_mirror(scene.world.folder(), "new.git");
    scene
        .project
        .set("FERRY_MIRROR_URL", scene.sshd.url("new.git"));
    let command = "init --history snapshot";
    scene.project.set("CRATES_FERRY_COMMAND", command);
    let ended = scene.project.run("web", "sync");
    assert!(ended.is_green, "{}", ended.log);
    let subject = git(&mirror, &["log", "-1", "--format=%s", "master"]);
    assert!(!subject.is_empty());
    scene.project.set("CRATES_FERRY_COMMAND", "");
    let ended = scene.project.run("schedule", "sync");
    assert!(ended.log.contains("up-to-date"), "{}", ended.log);
}
