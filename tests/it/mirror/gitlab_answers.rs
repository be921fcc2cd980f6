//! GitLab's own answers, in its words and its frame, at both moments at which it gives them: when a service is opened
//! (gitlab-shell, or Rails over HTTP) and when a push is judged (the pre-receive hook).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::git::transport::http::script;
use crate::support::client::limits;
use crate::support::ferry::Ferry;
use crate::support::scene::{Scene, Transport};
use crate::support::sshd::{Options, Sshd};
use crates_ferry::error::Kind;
use crates_ferry::git::transport::{BasicAuth, http::HttpRemote};
use crates_ferry::git::transport::{Service, Traffic};
use secrecy::SecretString;
use serde_json::Value;

/// GitLab's words, and what the program must say of them: kind, exit code, a part of the advice.
type Case = (&'static str, &'static str, i32, &'static str);

const WHEN_OPENED: [Case; 6] = [
    (
        "This deploy key does not have write access to this project.",
        "permission",
        3,
        "Grant write permissions",
    ),
    (
        "The repository is temporarily read-only. Please try again later.",
        "server",
        1,
        "Run it again later",
    ),
    (
        "Git push is not allowed because this GitLab instance is currently in (read-only) maintenance mode.",
        "server",
        1,
        "Run it again later",
    ),
    ("Internal API unreachable", "server", 1, "in a few minutes"),
    ("Your account has been blocked.", "auth", 3, "unblocked"),
    (
        "You can't push code to an archived project.",
        "permission",
        3,
        "Unarchive",
    ),
];

const WHEN_JUDGED: [Case; 8] = [
    (
        "You are not allowed to push code to protected branches on this project.",
        "permission",
        3,
        "Protected branches",
    ),
    (
        "Author 'crates-ferry@localhost' is not a member of team",
        "permission",
        3,
        "FERRY_MIRROR_AUTHOR",
    ),
    (
        "You cannot push commits for 'a@b.example'. You can only push commits if the committer email is one of your own verified emails.",
        "permission",
        3,
        "history: snapshot",
    ),
    (
        "Commit message 'Carry not found' does not follow the pattern 'TICKET'",
        "permission",
        3,
        "Push rules",
    ),
    (
        "Your push has been rejected, because this repository has exceeded its size limit of 10 GB by 660 MB. Please contact your GitLab administrator for more information.",
        "permission",
        3,
        "Retrying does not help",
    ),
    ("Internal API error (500)", "server", 1, "in a few minutes"),
    (
        "gitlab api is not accessible: 503",
        "server",
        1,
        "in a few minutes",
    ),
    (
        "You can't push code to a read-only GitLab instance.",
        "server",
        1,
        "Geo",
    ),
];

/// Syncs; asserts that it fails as the case says, with GitLab's words out of their frame.
fn assert_told(ferry: &Ferry, folder: &Path, (words, kind, code, advice): Case) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("crates-ferry"));
    command
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", folder)
        .current_dir(folder)
        .envs(ferry.variables().iter().cloned());
    let output = command.args(["sync", "--format", "json"]).output().unwrap();
    let object: Value = serde_json::from_slice(&output.stdout).expect(words);
    let error = &object["error"];
    assert_eq!(error["kind"], kind, "{words}: {error}");
    assert_eq!(output.status.code(), Some(code), "{words}: {error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{error}");
    for frame in ["==", "remote:", "/  /"] {
        assert!(!message.contains(frame), "{error}");
    }
    let told = error["advice"].as_str().unwrap();
    assert!(told.contains(advice), "{words}: {error}");
}

fn write_script(file: &Path, script: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, script).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Frames words as gitlab-shell does (internal/console/console.go).
fn framed(words: &str) -> String {
    let line = |text: &str| format!("remote: {text}\n");
    let divider = [line(""), line(&"=".repeat(72)), line("")].concat();
    [&divider, &line(words), &divider]
        .map(String::as_str)
        .concat()
}

/// Makes a login's command that refuses one service, or all of them (`git-`), with the words of the file `words`.
fn write_gate(folder: &Path, repos: &Path, service: &str) {
    let script = format!(
        r##"#!/bin/sh
case $SSH_ORIGINAL_COMMAND in {service}*) cat '{folder}/words' >&2; exit 1 ;; esac
PATH='{path}'; export PATH
cd '{repos}' && exec git shell -c "$(printf %s "$SSH_ORIGINAL_COMMAND" | sed "s#'/#'#")"
"##,
        folder = folder.display(),
        path = std::env::var("PATH").unwrap(),
        repos = repos.display(),
    );
    write_script(&folder.join("gate"), &script);
}

#[test]
fn gitlab_shells_refusal_of_a_service_is_told_with_its_kind_and_advice() {
    let scene = Scene::new("merge");
    let repos = scene.folder.path();
    let gate = tempfile::tempdir().unwrap();
    let config = format!("ForceCommand {}/gate\n", gate.path().display()).leak();
    let mut options = Options::new(repos);
    options.config = config;
    let Some(sshd) = Sshd::start(&options) else {
        return;
    };
    let mirror = scene.mirror_path();
    let ferry = Ferry::new(
        repos.join("upstream.git").to_str().unwrap(),
        sshd.url(mirror.file_name().unwrap().to_str().unwrap()),
    )
    .with("SSH_PRIVATE_KEY", sshd.private_key_text())
    .with("SSH_KNOWN_HOSTS", sshd.known_hosts_line());
    for service in ["git-receive-pack", "git-"] {
        write_gate(gate.path(), repos, service);
        for case in WHEN_OPENED {
            // gitlab-sshd says ERROR, gitlab-shell behind OpenSSH does not.
            for text in [case.0.to_owned(), format!("ERROR: {}\n", case.0)] {
                std::fs::write(gate.path().join("words"), framed(&text)).unwrap();
                assert_told(&ferry, repos, case);
            }
        }
    }
    assert_eq!(scene.mirror_tip(), scene.old);
}

#[test]
fn the_pre_receive_hooks_refusal_is_told_with_its_kind_and_advice() {
    for transport in [Transport::Git, Transport::Ssh, Transport::Http] {
        let Some(scene) = Scene::over(transport, "merge") else {
            continue;
        };
        for case in WHEN_JUDGED {
            let words = format!("GitLab: {}", case.0);
            for text in [format!("{words}\n"), framed(&words)] {
                let quoted = text.replace('\'', r"'\''");
                let script = format!("#!/bin/sh\nprintf '%s' '{quoted}' >&2\nexit 1\n");
                write_script(&scene.mirror_path().join("hooks/pre-receive"), &script);
                assert_told(&scene.ferry(), scene.folder.path(), case);
                scene.upstream.settle();
                scene.mirror.settle();
            }
        }
        assert_eq!(scene.mirror_tip(), scene.old);
    }
}

/// Asks for pushes as `user`; returns what an answer of 403 with these words becomes.
async fn forbidden(words: &str, user: &str) -> (Kind, String) {
    let server = script::Script::new().await;
    let credentials = BasicAuth {
        user: user.to_owned(),
        password: SecretString::from("secret"),
    };
    let url = url::Url::parse(&server.url("rust/index.git")).unwrap();
    let traffic = std::sync::Arc::new(Traffic::default());
    let remote = HttpRemote::new(&url, Some(credentials), &limits(), traffic).unwrap();
    let answer = script::answer("403 Forbidden", &[("Content-Type", "text/plain")], words);
    let asking = remote.advertisement(Service::ReceivePack, false);
    let (_, reader) = tokio::join!(server.answer(answer), asking);
    let error = reader.err().unwrap();
    assert_eq!(error.causes(), [words]);
    (error.kind(), error.advice().unwrap().to_owned())
}

#[tokio::test]
async fn over_http_the_words_decide_what_a_403_means() {
    for (words, kind, _, advice) in WHEN_OPENED {
        let (found, told) = forbidden(words, "oauth2").await;
        assert_eq!(found.name(), kind, "{words}");
        assert!(told.contains(advice), "{words}: {told}");
    }
}

#[tokio::test]
async fn a_jobs_token_is_told_of_its_setting_unless_the_trouble_is_the_hosts() {
    let denied = "You are not allowed to push code to this project.";
    let (kind, told) = forbidden(denied, "gitlab-ci-token").await;
    assert_eq!(kind, Kind::Permission);
    assert!(told.contains("Allow Git push requests"), "{told}");
    let moved = "The repository is temporarily read-only. Please try again later.";
    let (kind, told) = forbidden(moved, "gitlab-ci-token").await;
    assert_eq!(kind, Kind::Server);
    assert!(told.contains("Run it again later"), "{told}");
}
